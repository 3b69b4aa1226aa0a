"""The main job away from home: on three typed nodes, and from an object store; the weights are those of one machine, to the bit."""

import shutil
import signal

import numpy as np
import pytest
import ray
from ray._private import state
from safetensors.numpy import load_file

from auricle.ledger import account, read
from auricle.object_store import ObjectStore
from benchmarks.nodes import RESOURCES, can_hide, typed_nodes
from pipelines.run_folder import RunFolder
from pipelines.run_store import fetch, read_index
from tests.bucket import DIE_AT, FOLDER
from tests.jobs import command, make_workplace, run

STEPS = 4
TOLD = ("rollout_id", "step", "scene_id", "sample", "version", "state", "reason", "reward")
POOLS = {"RolloutStage": "rollout", ":probe": "reward", "LearnerRank": "learner", "RunCoordinator": "reward", "WeightStore": "reward"}
"""Where the actors belong whose class contains the word; the head is the judges' node."""


def job(workplace, name, *more, pinned=False):
    """An exact run; pinned: every pool asks for its type of node."""
    resources = RESOURCES if pinned else {name: {} for name in RESOURCES}
    judge = f"{{name='probe', kind='tests.judges:CompanyJudge', resources={toml(resources['reward'])}}}"
    pools = [f"rollout.resources={toml(resources['rollout'])}", f"learner_pool.resources={toml(resources['learner'])}"]
    size = ["staleness.exact_staleness=true", f"finetune.steps={STEPS}", "finetune.samples=0"]
    return command(workplace, name, *size, f"panel.judges=[{judge}]", *pools, *more)


def toml(table):
    return "{" + ", ".join(f"{key}={value}" for key, value in table.items()) + "}"


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """With the run of one machine in it."""
    folder = tmp_path_factory.mktemp("nodes")
    make_workplace(folder)
    done = run(job(folder, "one"))
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def assert_as_on_one_machine(workplace, folder):
    """Weights of the last checkpoint, and the whole ledger."""
    other, one = RunFolder.open(folder), RunFolder.open(workplace / "runs" / "one")
    weights = []
    for found in (other, one):
        step, checkpoint = found.last_checkpoint()
        assert step == STEPS
        weights.append(load_file(checkpoint / "enhancer" / "model.safetensors"))
    assert weights[0].keys() == weights[1].keys()
    assert not [name for name in weights[0] if not np.array_equal(weights[0][name], weights[1][name])]
    assert read(other.path / "ledger").select(TOLD).to_pylist() == read(one.path / "ledger").select(TOLD).to_pylist()
    assert account(other.path / "ledger").balanced


@pytest.mark.slow
@pytest.mark.skipif(not can_hide(), reason="this user may not give processes mounts of their own")
def test_on_three_typed_nodes_every_pool_lives_where_it_belongs(workplace):
    """The learner's node does not see the folder of runs: checkpoints come from there and go there through Ray."""
    ray.shutdown()
    with typed_nodes(hidden=workplace / "runs") as nodes:
        begun = run(job(workplace, "three", f"cluster.address={nodes.address}", "finetune.steps=2", pinned=True))
        assert begun.returncode == 0, begun.stdout + begun.stderr
        folder = workplace / "runs" / "three"
        resumed = run([*job(workplace, "x")[:3], "--resume", str(folder), "--set", f"finetune.steps={STEPS}"])
        assert resumed.returncode == 0, resumed.stdout + resumed.stderr
        ray.init(address=nodes.address, log_to_driver=False)
        actors = [(actor["ActorClassName"], actor["Address"]["NodeID"]) for actor in state.actors().values()]
        ray.shutdown()
    for word, where in POOLS.items():
        assert {node for name, node in actors if word in name} == {nodes.node_ids[where]}, (word, actors)
    assert_as_on_one_machine(workplace, folder)


@pytest.mark.slow
def test_killed_while_a_checkpoint_goes_into_its_store_a_run_goes_on_from_there_on_an_empty_machine(workplace, tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path))
    uri = "bucket://b/runs/kept"
    known = ["-m", "tests.bucket", "pipelines.finetune"]
    first = job(workplace, "kept", "run.store=bucket://b/runs")
    with monkeypatch.context() as patch:
        patch.setenv(DIE_AT, f"runs/kept/checkpoints/step-{STEPS:06d}")
        killed = run([first[0], *known, *first[3:]])
    assert killed.returncode == -signal.SIGKILL, killed.stdout + killed.stderr
    index = read_index(ObjectStore(uri))
    assert index["checkpoints"].get("checkpoints/last.json", {"step": 0})["step"] < STEPS
    assert any(key.startswith(f"checkpoints/step-{STEPS:06d}-") for key in ObjectStore(uri).keys("checkpoints"))  # the half of it
    shutil.rmtree(workplace / "runs" / "kept")

    resumed = run([first[0], *known, "--resume", uri])
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert_as_on_one_machine(workplace, workplace / "runs" / "kept")
    assert_as_on_one_machine(workplace, fetch(ObjectStore(uri), tmp_path / "elsewhere" / "kept"))
