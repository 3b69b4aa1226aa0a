"""Serve's side of scaling by queue age: the policy that asks the board, inside Serve's own wrapper; without Ray."""

import asyncio
import subprocess
import sys
from types import SimpleNamespace

import pytest
from ray.serve._private.autoscaling_state import _resolve_policy_callable
from ray.serve.autoscaling_policy import _apply_autoscaling_config

from actors import pool_policy
from actors.judge_pool import shared_deployment
from actors.judges import judge_deployment, pool_options
from actors.pool_policy import QueueAgePolicy, board_name
from auricle.judging.panel import JudgeConfig, SharedPoolConfig

JUDGE = JudgeConfig(name="sleepy", kind="tests.judging.odd_judges:LevelJudge", min_replicas=0, max_replicas=5)


class Board:
    """As the actor's handle: `decide.remote` is awaited."""

    def __init__(self, wants):
        self.wants, self.asked, self.decide = wants, [], self

    async def remote(self, pool, running, target):
        self.asked.append((pool, running, target))
        return self.wants


@pytest.fixture
def board(monkeypatch):
    """A board under the right name, asked as often as Serve comes by."""
    board = Board(0)
    boards = {board_name("panel"): board}

    def get_actor(name, namespace):
        if name not in boards:
            raise ValueError(f"no actor {name}")
        return boards[name]

    monkeypatch.setattr(pool_policy.ray, "get_actor", get_actor)
    monkeypatch.setattr(pool_policy, "ASK_EVERY_S", 0.0)
    return board


def _context(running, target, app="panel"):
    config = pool_options(JUDGE, 5.0)["autoscaling_config"]
    values = {"deployment_name": "sleepy", "app_name": app, "current_num_replicas": running, "target_num_replicas": target}
    return SimpleNamespace(**values, config=config, policy_state={}, total_num_requests=0)


async def _asked(policy, context, times=4):
    """What Serve takes as its target after some of its rounds."""
    for _ in range(times):
        context.target_num_replicas, context.policy_state = policy(context)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    return context.target_num_replicas


def test_what_the_board_says_is_serves_target_at_once_and_in_both_directions(board):
    for running, target, wants in ((0, 0, 1), (1, 1, 4), (2, 4, 4), (4, 4, 2), (1, 1, 0), (0, 0, 0)):
        # What Serve unpickles is a copy of the module, whose `ray` is the patched one all the same.
        policy = _apply_autoscaling_config(_resolve_policy_callable(pool_options(JUDGE, 5.0)["autoscaling_config"].policy))
        board.wants = wants
        assert asyncio.run(_asked(policy, _context(running, target))) == wants
    assert board.asked[0] == ("sleepy", 0, 0)


def test_where_nobody_answers_a_pool_stays_as_it_is(board):
    assert asyncio.run(_asked(QueueAgePolicy(), _context(2, 3, app="another"))) == 3
    assert board.asked == []


def test_serves_controller_needs_nothing_of_ours():
    """It may have been started by somebody else's job, without this package."""
    blob = pool_options(JUDGE, 5.0)["autoscaling_config"].policy.get_serialized_policy_def()
    missing = "sys.modules['actors'] = sys.modules['auricle'] = None"  # as if they were not installed, wherever this checkout lies
    code = f"import sys, pickle; {missing}; print(type(pickle.loads({blob!r})()).__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/", timeout=120, env={"PATH": "/usr/bin:/bin"})
    assert done.stdout.strip() == "QueueAgePolicy", done.stderr


def test_a_pool_of_fixed_size_asks_nobody():
    options = pool_options(JudgeConfig(name="fixed", kind=JUDGE.kind, min_replicas=2, max_replicas=2), 5.0)
    assert options["num_replicas"] == 2
    assert "autoscaling_config" not in options
    assert judge_deployment(JUDGE) is not None


@pytest.mark.parametrize(("deadline_s", "grace_s"), [(5.0, 60.0), (600.0, 600.0)])
def test_a_process_that_is_taken_away_may_finish_whatever_its_judge_may_take(deadline_s: float, grace_s: float) -> None:
    assert pool_options(JUDGE, deadline_s)["graceful_shutdown_timeout_s"] == grace_s
    tenants = [JudgeConfig(name=name, kind=JUDGE.kind, shared="ears", deadline_s=deadline_s) for name in ("one", "two")]
    shared = shared_deployment(SharedPoolConfig(name="ears", max_replicas=2), tenants)
    assert shared._bound_deployment._deployment_config.graceful_shutdown_timeout_s == grace_s
