"""An exact run is a function of its configuration: again, on other numbers of actors and judges, or killed and resumed, to the bit; with
another number of learner ranks but for the order of their sums.

One of its scenes can never be judged, so that this holds for what becomes of such scenes, too.
"""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file

from auricle.ledger import account, read
from pipelines.run_folder import RunFolder
from tests.jobs import command, kill_tree, make_workplace, run, started, wait_for_file, wait_for_steps

STEPS = 8
TOLD = ("rollout_id", "step", "scene_id", "sample", "version", "state", "reason", "reward")


def exact(workplace, name, *, actors=1, judges=1, late=""):
    """A run whose judge says another thing in other company, so that it is exact only where every clip is judged alone.

    late: a file; where it is given one verdict misses its deadline, which is four times `deadline_s`.
    """
    options = f"options={{was_late='{late}', late_s=30.0}}, deadline_s={5.0 if late else 60.0}"
    judge = f"{{name='probe', kind='tests.judges:LateJudge', min_replicas={judges}, max_replicas={judges}, {options}}}"
    # Stage 2, whose checkpoints are cut up by rank: other numbers of ranks need DeepSpeed's universal form.
    settings = (
        "staleness.exact_staleness=true",
        "learner.zero_stage=2",
        f"finetune.steps={STEPS}",
        f"rollout.actors={actors}",
        f"panel.judges=[{judge}]",
        "quarantine.after=1",
        "guard.scenes=3",  # one of the three held-out scenes cannot be judged either
    )
    return command(workplace, name, *settings, "reward.blocks_in_flight=3", "finetune.keep_checkpoints=9")


def resume(workplace, name, *more):
    again = [part for setting in more for part in ("--set", setting)]
    done = run([*command(workplace, "x")[:3], "--resume", str(workplace / "runs" / name), *again])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """With the undisturbed run in it."""
    folder = tmp_path_factory.mktemp("exact")
    make_workplace(folder)
    done = run(exact(folder, "undisturbed"))
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def told(folder):
    """The ledger, but for when and in how many tries."""
    rows = read(folder / "ledger").to_pylist()
    timing = ("latency_s", "attempts")
    verdicts = [{key: value for key, value in one.items() if key not in timing} for row in rows for one in row["verdicts"]]
    return [[row[name] for name in TOLD] for row in rows], verdicts


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
    assert told(mine.path) == told(other.path)
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
def test_other_numbers_of_rollout_actors_and_judges_and_a_missed_deadline_change_nothing(workplace, tmp_path):
    done = run(exact(workplace, "wide", actors=2, judges=3, late=tmp_path / "was-late"))
    assert done.returncode == 0, done.stdout + done.stderr
    events = [record["event"] for record in RunFolder(workplace / "runs" / "wide").lines("events.jsonl")]
    assert any("'probe' gave no verdict (timeout" in event and "restart 1 of" in event for event in events), events
    assert_the_same(workplace, "wide")


FIRST_RENAME, SECOND_POINTER = r"1|partial-step-000002 -> .*/step-000002$", r"2|last\.json\.tmp -> .*last\.json$"


@pytest.mark.slow
@pytest.mark.timeout(1800)  # four jobs, one after the other
def test_killed_whole_again_and_again_it_ends_the_same(workplace, tmp_path):
    """While its first checkpoint is made final, while the pointer moves to its second one, and at a step; resumed each time."""
    name = "killed"
    folder = workplace / "runs" / name
    again = [*command(workplace, "x")[:3], "--resume", str(folder)]
    moments = (
        (exact(workplace, name), FIRST_RENAME, [".partial-step-000002"]),
        (again, SECOND_POINTER, ["step-000002", "step-000004"]),
    )
    for arguments, moment, left in moments:
        there = tmp_path / f"there-{len(left)}"
        with started(arguments, freeze=f"{there}|{moment}") as process:
            wait_for_file(there, process)
            kill_tree(process)
        assert sorted(path.name for path in (folder / "checkpoints").iterdir() if path.is_dir()) == left
        sums = account(folder / "ledger")
        assert sums.trained + sums.dropped == 8 * len(left)  # the part of the checkpoint that was not final is there
    with started(again) as process:
        wait_for_steps(folder, 5, process)
        kill_tree(process)
    assert (RunFolder(folder).last_checkpoint() or (0, None))[0] < STEPS
    resume(workplace, name)
    assert_the_same(workplace, name)


@pytest.mark.slow
def test_resumed_with_another_number_of_ranks_and_back_it_learns_the_same(workplace):
    folder, other = workplace / "runs" / "ranks", workplace / "runs" / "undisturbed"
    shutil.copytree(other, folder)
    (folder / "checkpoints" / "last.json").write_text(json.dumps({"step": 4, "folder": "step-000004"}))  # as if it had come so far
    for ranks, steps in ((2, 6), (1, STEPS)):
        resume(workplace, "ranks", f"learner_pool.ranks={ranks}", f"finetune.steps={steps}")
        written = folder / "checkpoints" / f"step-{steps:06d}"
        assert json.loads((written / "engine" / "engine.json").read_text())["world_size"] == ranks
        weights = load_file(written / "enhancer" / "model.safetensors")
        for name, value in load_file(other / written.relative_to(folder) / "enhancer" / "model.safetensors").items():
            np.testing.assert_allclose(weights[name], value, atol=1e-5, err_msg=name)
    mine, theirs = (read(run / "ledger") for run in (folder, other))
    assert mine.select(TOLD[:-1]).to_pylist() == theirs.select(TOLD[:-1]).to_pylist()
    np.testing.assert_allclose(mine["reward"].to_numpy(), theirs["reward"].to_numpy(), atol=1e-4)
    assert account(folder / "ledger").balanced
