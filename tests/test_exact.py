"""An exact run is a function of its configuration: again, on other numbers of actors and judges, or killed and resumed, to the bit.

One of its scenes can never be judged, so that this holds for what becomes of such scenes, too.
"""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from auricle.ledger import account, read
from pipelines.run_folder import RunFolder
from tests.jobs import command, kill_tree, make_workplace, run, started, wait_for_steps

STEPS = 8
TOLD = ("rollout_id", "step", "scene_id", "sample", "version", "state", "reason", "reward")


def exact(workplace, name, *, actors=1, judges=1):
    """A run whose judge says another thing in other company, so that it is exact only where every clip is judged alone."""
    judge = f"{{name='probe', kind='tests.judges:PickyJudge', min_replicas={judges}, max_replicas={judges}}}"
    settings = ("staleness.exact_staleness=true", f"finetune.steps={STEPS}", f"rollout.actors={actors}", f"panel.judges=[{judge}]")
    # One of the three held-out scenes cannot be judged either.
    return command(workplace, name, *settings, "reward.blocks_in_flight=3", "quarantine.after=1", "guard.scenes=3")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """With the undisturbed run in it."""
    folder = tmp_path_factory.mktemp("exact")
    make_workplace(folder)
    done = run(exact(folder, "undisturbed"))
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def assert_the_same(workplace, name):
    """Weights of every checkpoint that both have, the last among them, and the whole ledger."""
    mine, other = RunFolder(workplace / "runs" / name), RunFolder(workplace / "runs" / "undisturbed")
    assert mine.last_checkpoint()[0] == other.last_checkpoint()[0] == STEPS
    files = sorted(path.relative_to(other.path) for path in other.path.glob("checkpoints/*/enhancer/model.safetensors"))
    assert files
    for file in files:
        left, right = load_file(mine.path / file), load_file(other.path / file)
        assert left.keys() == right.keys()
        assert not [key for key in left if not np.array_equal(left[key], right[key])], file
    assert read(mine.path / "ledger").select(TOLD).to_pylist() == read(other.path / "ledger").select(TOLD).to_pylist()
    assert account(mine.path / "ledger").balanced
    assert (mine.path / "quarantine.json").read_text() == (other.path / "quarantine.json").read_text()


@pytest.mark.slow
def test_a_scene_that_cannot_be_judged_is_left_out_once_the_weights_are_new_enough(workplace):
    """It is in steps 1, 4 and 7. Step 1 decides, and its decision goes with version 3; step 4 is made with version 2."""
    run_folder = RunFolder(workplace / "runs" / "undisturbed")
    rows = read(run_folder.path / "ledger", ["step", "scene_id", "state", "reason"]).to_pylist()
    left_out = {(row["step"], row["scene_id"], row["reason"]) for row in rows if row["state"] == "dropped"}
    assert left_out == {(1, "S00002", "failed_verdict"), (4, "S00002", "failed_verdict"), (7, "S00002", "quarantined")}
    [scene] = json.loads((run_folder.path / "quarantine.json").read_text())["scenes"]
    assert scene == {"scene_id": "S00002", "step": 1, "failures": 1, "reason": "failed_verdict (probe: bad_clip)"}
    events = "".join(record["event"] for record in run_folder.lines("events.jsonl"))
    assert "scene S00002 is quarantined: it failed in 1 step, last in step 1: failed_verdict (probe: bad_clip)" in events


@pytest.mark.slow
def test_other_numbers_of_rollout_actors_and_judges_change_nothing(workplace):
    done = run(exact(workplace, "wide", actors=2, judges=3))
    assert done.returncode == 0, done.stdout + done.stderr
    assert_the_same(workplace, "wide")


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 5])
def test_killed_whole_and_resumed_it_ends_the_same(workplace, steps):
    name = f"killed-{steps}"
    with started(exact(workplace, name)) as process:
        wait_for_steps(workplace / "runs" / name, steps, process)
        kill_tree(process)
    resumed = run([*command(workplace, "x")[:3], "--resume", str(workplace / "runs" / name)])
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert_the_same(workplace, name)
