"""The board between a panel's queues and Serve's autoscaler, and the panel's own side of it; without Ray."""

import asyncio

import pytest

from actors import pool_board
from actors.judges import ServeBench
from actors.panel_pools import PanelPools, together
from actors.pool_board import PoolBoard
from auricle.errors import JudgeUnavailableError
from auricle.judging.call_queue import CallQueue, QueueState
from auricle.judging.deadline import Deadline
from auricle.judging.judge import Identity
from auricle.judging.panel import JudgeConfig, PanelConfig, SharedPoolConfig
from auricle.judging.scaling import ScalingConfig
from auricle.judging.sitting import Sitting
from auricle.judging.verdict import Scored
from auricle.usage import Usage

ODD = "tests.judging.odd_judges:LevelJudge"
PANEL = PanelConfig(
    judges=(
        JudgeConfig(name="sleepy", kind=ODD, min_replicas=0, max_replicas=3, scaling=ScalingConfig(wake_timeout_s=60.0)),
        JudgeConfig(name="fixed", kind=ODD, max_replicas=2, min_replicas=2),
        JudgeConfig(name="guest", kind=ODD, shared="house"),
    ),
    shared=(SharedPoolConfig(name="house", max_replicas=4),),
)
CLIP = {"clip_id": "a", "audio": [0.1, -0.1] * 8000, "sample_rate_hz": 16_000, "reference": None}


@pytest.fixture
def board():
    return PoolBoard(PANEL.model_dump(mode="json"), first_event=7)


def test_a_block_that_waits_wakes_a_pool_and_the_panel_is_told_why(board):
    board.report({"sleepy": QueueState(), "house": QueueState()})
    assert board.decide("sleepy", 0, 0) == 0
    board.report({"sleepy": QueueState(0.1, 3, 0), "house": QueueState()})
    assert board.decide("sleepy", 0, 0) == 1
    sizes, [event] = board.report({"sleepy": QueueState(0.2, 3, 0), "house": QueueState()})
    assert sizes["sleepy"] == (0, 1)
    assert (event.number, event.pool, event.to_replicas, event.queue_depth) == (7, "sleepy", 1, 3)
    assert "3 waiting" in event.reason
    assert board.report({"sleepy": QueueState(), "house": QueueState()}, after=7)[1] == []


def test_pools_stay_as_they_are_while_the_panel_says_nothing(board, monkeypatch):
    assert board.decide("sleepy", 2, 2) == 2
    board.report({"sleepy": QueueState(0.1, 3, 0), "house": QueueState()})
    monkeypatch.setattr(pool_board, "SILENCE_S", 0.0)
    assert board.decide("sleepy", 0, 0) == 0


def test_only_pools_that_may_grow_are_on_the_board(board):
    sizes, _ = board.report({})
    assert set(sizes) == {"sleepy", "house"}


def test_a_pool_that_may_grow_takes_few_calls_and_at_its_largest_all_that_it_can_judge_together():
    pools = PanelPools(PANEL, "panel")
    assert [together(PANEL, pool) for pool in PANEL.pools] == [8, 8, 8]
    assert pools.queues["sleepy"].asleep
    assert (pools._places("fixed"), pools._places("house")) == (16, 2)
    pools._sizes["sleepy"] = (2, 3)
    assert pools._places("sleepy") == 4
    pools._sizes["sleepy"] = (3, 3)
    assert pools._places("sleepy") == 24
    seen = pools.seen()
    assert seen["pools"]["fixed"] == {"replicas": 2, "target": 2, "queue_age_s": 0.0, "queue_depth": 0, "at_work": 0}
    assert seen["events"] == []


class Handle:
    """A Serve handle that answers after `takes_s`."""

    def __init__(self, takes_s=0.0):
        self.takes_s, self.judge = takes_s, self

    async def remote(self, clips):
        await asyncio.sleep(self.takes_s)
        return [Scored(1.0)] * len(clips), Identity(), Usage("sleepy", "here:1", 1.0, 1.0, 1.0), self.takes_s


def _asked_while_asleep(*, wakes_after_s, takes_s, deadline_s, wake_timeout_s):
    scaling = ScalingConfig(wake_timeout_s=wake_timeout_s)
    judge = JudgeConfig(name="sleepy", kind=ODD, min_replicas=0, max_replicas=3, scaling=scaling, deadline_s=deadline_s)

    async def story():
        queue = CallQueue(0)
        asking = asyncio.create_task(Sitting(PanelConfig(judges=(judge,)), {"sleepy": ServeBench(Handle(takes_s), queue)}).judge([CLIP]))
        await asyncio.sleep(wakes_after_s)
        queue.set_places(2)
        [answer] = await asking
        assert queue.state() == QueueState()
        return answer["sleepy"]

    return asyncio.run(story())


def test_a_cold_start_is_not_counted_against_a_clip():
    assert _asked_while_asleep(wakes_after_s=1.0, takes_s=0.0, deadline_s=0.5, wake_timeout_s=60.0)["state"] == "scored"


def test_it_has_a_bound_of_its_own_and_the_time_at_work_has_its_deadline():
    cold = _asked_while_asleep(wakes_after_s=0.5, takes_s=0.0, deadline_s=60.0, wake_timeout_s=0.1)
    assert (cold["reason"], "did not wake within 0.1 s" in cold["detail"]) == ("timeout", True)
    slow = _asked_while_asleep(wakes_after_s=0.3, takes_s=60.0, deadline_s=0.1, wake_timeout_s=60.0)
    assert (slow["reason"], "no verdict within 0.1 s" in slow["detail"]) == ("timeout", True)


def test_calls_of_a_full_pool_wait_in_line_and_a_fault_gives_the_place_back():
    class Dying(Handle):
        async def remote(self, clips):
            from ray.exceptions import ActorDiedError

            raise ActorDiedError

    async def story():
        queue = CallQueue(1)
        with pytest.raises(JudgeUnavailableError, match="ActorDiedError"):
            await ServeBench(Dying(), queue).judge([], Deadline(60.0))
        bench = ServeBench(Handle(0.05), queue)
        calls = [asyncio.create_task(bench.judge([], Deadline(60.0))) for _ in range(3)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert (queue.state().depth, queue.state().at_work) == (2, 1)
        await asyncio.gather(*calls)
        assert queue.state() == QueueState()

    asyncio.run(story())
