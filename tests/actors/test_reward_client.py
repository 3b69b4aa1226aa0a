"""The reward client: one deadline for a block, however often it asks; a failure is a verdict, never an exception."""

import asyncio
import json
import time

import numpy as np
import pytest
from ray.exceptions import RayError

from actors.reward_client import RewardStage
from actors.settings import RewardConfig
from auricle.judging.panel import JudgeConfig, PanelConfig
from auricle.usage import Usage, from_texts, usage_column

PANEL = PanelConfig(judges=(JudgeConfig(name="probe", kind="tests.judges:BandJudge"),))


class Handle:
    """A Serve handle whose calls do, one after another, what `plan` says: `hang`, `die` or `answer`."""

    def __init__(self, plan):
        self.plan, self.calls = plan, 0
        self.judge, self.usage = self, Told()

    async def remote(self, requests):
        what = self.plan[min(self.calls, len(self.plan) - 1)]
        self.calls += 1
        if what == "hang":
            await asyncio.Event().wait()
        if what == "die":
            raise RayError("the replica died")
        return [{"probe": {"state": "scored", "score": 3.0, "rationale": "", "dimensions": {}}} for _ in requests]


class Told:
    """What the panel says of its judges' processes."""

    async def remote(self):
        return [Usage("probe", "elsewhere:1", 5.0, 100.0, 3.0, calls=2)]


def judged(plan, monkeypatch, **options):
    handle = Handle(plan)
    monkeypatch.setattr("actors.reward_client.serve.get_app_handle", lambda name: handle)
    stage = RewardStage(RewardConfig(pause_s=0.01, **options), PANEL, "panel")
    rows = 2
    batch = {
        "rollout_id": np.arange(rows),
        "step": np.zeros(rows, int),
        "scene_id": np.array(["a", "a"], dtype=object),
        "fault": np.array(["", ""], dtype=object),
        "enhanced": np.zeros((rows, 1600), np.float32),
        "reference_enhanced": np.array([b"", b""], dtype=object),
        "sample_rate_hz": np.full(rows, 16_000),
        "knot_times_s": np.tile(np.linspace(0, 0.1, 3), (rows, 1)),
        "made_at_s": np.full(rows, time.time() - 40.0),
        "usage": usage_column([Usage("rollout", "here:2", 5.0, 50.0, 1.0)], rows),
    }

    async def first():
        return await anext(stage(batch))

    return handle, asyncio.run(first())


def test_a_panel_that_hangs_costs_one_deadline_and_not_one_a_try(monkeypatch):
    handle, block = judged(["hang"], monkeypatch, timeout_s=0.2, attempts=4)
    assert handle.calls == 1
    assert np.isnan(block["parts"]).all()
    verdict = json.loads(block["verdicts"][0])["probe"]
    assert (verdict["state"], verdict["reason"], verdict["attempts"]) == ("failed", "unavailable", 1)
    assert "within 0.2 s" in verdict["detail"]


def test_a_replica_that_dies_is_asked_again_within_the_deadline(monkeypatch):
    handle, block = judged(["die", "die", "answer"], monkeypatch, timeout_s=30.0)
    assert handle.calls == 3
    assert block["parts"].tolist() == [[3.0], [3.0]]
    assert block["retries"].tolist() == [2.0, 2.0]


def test_a_block_tells_how_long_it_waited_and_which_processes_worked_on_it(monkeypatch):
    _, block = judged(["die", "answer"], monkeypatch, timeout_s=30.0)
    assert block["reward_wait_s"].tolist() == pytest.approx([40.0, 40.0], abs=20.0)
    assert (block["judged_at_s"] > block["made_at_s"]).all()
    told = {usage.pool: usage for usage in from_texts(block["usage"])}
    assert set(told) == {"rollout", "reward", "probe"}
    assert told["reward"].rss_mib > 10
    assert block["usage"][1] == ""


@pytest.mark.parametrize("attempts", [1, 3])
def test_tries_are_bounded(monkeypatch, attempts):
    handle, block = judged(["die"], monkeypatch, timeout_s=30.0, attempts=attempts)
    assert handle.calls == attempts
    assert "the replica died" in json.loads(block["verdicts"][1])["probe"]["detail"]
