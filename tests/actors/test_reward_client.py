"""The reward client: one deadline for a block, however often it asks; a failure is a verdict, never an exception."""

import asyncio
import json
import time

import numpy as np
import pytest
from ray.exceptions import RayError

from actors.coordinator import RankReport, RunCoordinator, partial_folder
from actors.pool_sums import verdicts_of
from actors.reward_client import RewardStage
from actors.settings import RewardConfig
from actors.stream_learner import ledger_entries
from auricle.errors import PoolError
from auricle.judging.local import LocalBench
from auricle.judging.panel import JudgeConfig, PanelConfig
from auricle.judging.sitting import Sitting
from auricle.learning.budget import FailureBudgetConfig
from auricle.learning.outcome import RowOutcome
from auricle.learning.quarantine import QuarantineConfig
from auricle.ledger import account, read
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


def rollouts():
    rows = 2
    return {
        "rollout_id": np.arange(rows),
        "step": np.zeros(rows, int),
        "scene_id": np.array(["a", "a"], dtype=object),
        "sample": np.arange(rows),
        "version": np.zeros(rows, int),
        "fault": np.array(["", ""], dtype=object),
        "enhanced": (0.1 * np.random.default_rng(0).standard_normal((rows, 1600))).astype(np.float32),
        "reference_enhanced": np.array([b"", b""], dtype=object),
        "sample_rate_hz": np.full(rows, 16_000),
        "knot_times_s": np.tile(np.linspace(0, 0.1, 3), (rows, 1)),
        "made_at_s": np.full(rows, time.time() - 40.0),
        "usage": usage_column([Usage("rollout", "here:2", 5.0, 50.0, 1.0)], rows),
    }


def judged(plan, monkeypatch, *, exact=False, **options):
    handle = Handle(plan)
    monkeypatch.setattr("actors.reward_client.serve.get_app_handle", lambda name: handle)
    stage = RewardStage(RewardConfig(pause_s=0.01, **options), PANEL, "panel", exact=exact)

    async def first():
        return await anext(stage(rollouts()))

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


@pytest.mark.parametrize(("plan", "why"), [("hang", "within 0.2 s"), ("die", "the replica died")])
def test_in_an_exact_run_a_verdict_that_is_missing_by_accident_breaks_the_stream(monkeypatch, plan, why):
    with pytest.raises(PoolError, match=f"(?s){why}.*block of rollout 0.*raise the judge's deadline_s"):
        judged([plan], monkeypatch, exact=True, timeout_s=0.2 if plan == "hang" else 30.0, attempts=2)
    assert judged(["answer"], monkeypatch, exact=True)[1]["parts"].tolist() == [[3.0], [3.0]]


class Counting(LocalBench):
    """How many clips the judge was asked for."""

    asked = 0

    async def judge(self, clips, deadline):
        self.asked += len(clips)
        return await super().judge(clips, deadline)


def test_a_block_that_is_judged_twice_has_one_verdict_and_one_entry(monkeypatch, run_folder):
    """Ray Data executes a block at least once, and a rank may report a step twice: neither asks a judge anew nor books twice."""
    bench = Counting(PANEL.judges[0])
    sitting = Sitting(PANEL, {"probe": bench})
    monkeypatch.setattr("actors.reward_client.serve.get_app_handle", lambda name: SittingHandle(sitting))
    stage = RewardStage(RewardConfig(), PANEL, "panel")
    coordinator = RunCoordinator(
        str(run_folder),
        world_size=1,
        first_step=0,
        phase_end_step=1,
        end_step=1,
        global_batch=2,
        max_staleness=0,
        checkpoint_every=1,
        budget=FailureBudgetConfig(),
        quarantine=QuarantineConfig(),
        scenes=1,
    )

    async def story():
        blocks = [await anext(stage(rollouts())) for _ in range(2)]
        for block in blocks:
            outcomes = [RowOutcome(row, "trained", "", float(part), 0.0) for row, [part] in enumerate(block["parts"])]
            await coordinator.step_done(0, RankReport(0, {}, {}, ledger_entries(block, outcomes, verdicts_of(block))))
        partial_folder(run_folder, 1).mkdir(parents=True)
        await coordinator.commit(1)
        return blocks

    first, second = asyncio.run(story())
    bench.close()
    assert first["verdicts"].tolist() == second["verdicts"].tolist()
    assert bench.asked == 2
    assert read(run_folder / "ledger")["rollout_id"].to_pylist() == [0, 1]
    assert account(run_folder / "ledger").balanced


class SittingHandle:
    """A Serve handle over a sitting in this process."""

    def __init__(self, sitting):
        self.judge, self.usage, self._sitting = self, Told(), sitting

    async def remote(self, requests):
        return await self._sitting.judge(requests)
