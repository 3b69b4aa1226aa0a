"""Who waits at the gate holds nothing up: blocks that were lost are made again behind those that have to wait for them."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import ray

from actors.gate import Gate
from actors.rollout import RolloutStage
from actors.settings import RolloutConfig
from actors.stream import Stage, StreamPlan, start_stages
from actors.weights import WeightStore
from auricle.audio import write_audio
from auricle.enhancers.checkpoint import load_enhancer
from auricle.errors import DeadlineError
from auricle.learning.schedule import RolloutSchedule
from auricle.learning.staleness import StalenessConfig
from auricle.scenes.scene import Scene
from tests.actors.rows import CLIP_S, EXPLORATION, SAMPLE_RATE_HZ, small_enhancer


class NothingLeftOut:
    """What the coordinator says of scenes that are left out."""

    def quarantined(self, version):
        return ()


class DeafStore:
    """A weight store that loses what it is asked, while versions may come or not."""

    def __init__(self, versions):
        self._versions = iter(versions)

    async def wait(self, version, exact, timeout_s):
        await asyncio.sleep(60)

    async def latest(self):
        return next(self._versions)


class Meeting:
    """A call comes back only while another one is there."""

    def __init__(self):
        self._barrier = threading.Barrier(2)

    def __call__(self, batch):
        self._barrier.wait(30)
        return batch


@pytest.mark.parametrize("exact", [False, True])
def test_a_block_that_is_made_again_passes_one_that_waits(ray_local, tmp_path, exact):
    """With K = 1 step 3 waits for version 2, for which step 1 is still to be learned from."""
    write_audio(tmp_path / "S.wav", np.random.default_rng(0).normal(0, 0.1, round(CLIP_S * SAMPLE_RATE_HZ)), SAMPLE_RATE_HZ)
    folder = small_enhancer(tmp_path / "enhancer")
    weights = {name: value.numpy() for name, value in load_enhancer(folder).state_dict().items()}
    store, coordinator = ray.remote(num_cpus=0)(WeightStore).remote(3), ray.remote(num_cpus=0)(NothingLeftOut).remote()
    ray.get([store.publish.remote(version, weights) for version in (0, 1)])
    stage = RolloutStage(
        RolloutConfig(clip_s=CLIP_S, gate_timeout_s=60),
        RolloutSchedule(0, 1, 1, 2),
        [Scene("S", "train", tmp_path / "S.wav")],
        str(folder),
        EXPLORATION,
        store,
        coordinator,
        first_block=0,
        rows_per_block=2,
        staleness=StalenessConfig(max_staleness=1, exact_staleness=exact),
        with_target=False,
        with_reference=False,
    )
    with ThreadPoolExecutor(2) as threads:
        later = threads.submit(stage, {"id": np.array([3])})
        again = threads.submit(stage, {"id": np.array([1])}).result(timeout=30)
        assert not later.done()
        ray.get(store.publish.remote(2, weights))
        rows = later.result(timeout=30)
    assert again["version"].tolist() == ([0, 0] if exact else [1, 1])
    assert rows["version"].tolist() == [2, 2]
    ray.kill(store)


def test_a_call_that_the_store_has_lost_ends_once_no_version_comes(ray_local, monkeypatch):
    monkeypatch.setattr("actors.gate.SPARE_S", 0.5)
    store = ray.remote(num_cpus=0)(DeafStore).remote([3, 4, 4])
    ray.get(store.__ray_ready__.remote())
    with pytest.raises(DeadlineError, match="answers, but not the call of step 9; newest version 4"):
        Gate(store, StalenessConfig(max_staleness=1), 0.1).wait(9)
    ray.kill(store)


def test_a_gated_stage_runs_several_calls_of_an_actor_at_a_time(ray_local):
    plan = StreamPlan(RolloutSchedule(0, 1, 1, 1), 0, 4, 1, 1)
    [rows] = start_stages(plan, [Stage(Meeting, gated=True)])
    assert sorted(int(row["id"]) for row in rows.iter_rows()) == [0, 1, 2, 3]
