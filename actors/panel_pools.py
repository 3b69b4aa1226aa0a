"""The pools of one panel, as its own process sees them: a queue for each, and what the board (actors.pool_board) says of their sizes.

A pool of fixed size has a queue too, whose places are always those of all its processes.
"""

import asyncio
import logging
import uuid
from collections import deque
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError

from actors.pool_board import MOST_EVENTS, PoolBoard, scaling_pools
from actors.pool_policy import NAMESPACE, board_name
from auricle.judging.call_queue import CallQueue
from auricle.judging.panel import JudgeConfig, PanelConfig, SharedPoolConfig
from auricle.judging.registry import find_judge
from auricle.judging.scaling import ScaleEvent

REPORT_EVERY_S = 0.25
CALL_TIMEOUT_S = 10.0

_log = logging.getLogger(__name__)


class PanelPools:
    """All queues of a panel; `queues` has them by pool."""

    def __init__(self, config: PanelConfig, app_name: str) -> None:
        self._config, self._app_name, self._name = config, app_name, uuid.uuid4().hex
        self._pools = {pool.name: pool for pool in config.pools}
        self._scaling = {pool.name for pool in scaling_pools(config)}
        self._all = {pool.name: together(config, pool) for pool in config.pools}
        self._sizes = {name: (pool.min_replicas, pool.min_replicas) for name, pool in self._pools.items()}
        self._events: deque[ScaleEvent] = deque(maxlen=MOST_EVENTS)
        # A pool that may sleep is taken to be asleep until the board says otherwise.
        self.queues = {name: CallQueue(self._places(name)) for name in self._pools}
        self._board: ActorHandle[PoolBoard] | None = None
        self._following: asyncio.Task[None] | None = None

    def follow(self) -> None:
        """Begin to tell the board of the queues, where a pool may grow; further calls do nothing. Needs a running event loop."""
        if self._scaling and (self._following is None or self._following.done()):
            self._following = asyncio.get_running_loop().create_task(self._follow())

    def seen(self) -> dict[str, Any]:
        """Every pool's figures as they are now, and the last changes, oldest first, as plain values.

        `{"panel": which process of the panel this is, "pools": {name: {replicas, target, queue_age_s, queue_depth, at_work}},
        "events": [ScaleEvent.record()]}`. replicas: of a pool of fixed size, those that it was given.
        """
        pools = {}
        for name, queue in self.queues.items():
            state, (running, target) = queue.state(), self._sizes[name]
            figures = {"replicas": running, "target": target, "queue_age_s": state.age_s, "queue_depth": state.depth}
            pools[name] = figures | {"at_work": state.at_work}
        return {"panel": self._name, "pools": pools, "events": [event.record() for event in self._events]}

    async def _follow(self) -> None:
        while True:
            try:
                await self._report()
            except (RayError, TimeoutError) as error:
                _log.warning("the board of pools does not answer (%s); making another", type(error).__name__)
                self._board = None
            await asyncio.sleep(REPORT_EVERY_S)

    async def _report(self) -> None:
        last = self._events[-1].number if self._events else -1
        if self._board is None:
            # Made by this process, so that it goes with it. get_if_exists: a board that is only slow is the same one.
            options = {"name": board_name(self._app_name), "namespace": NAMESPACE, "num_cpus": 0, "get_if_exists": True}
            self._board = ray.remote(PoolBoard).options(**options).remote(self._config.model_dump(mode="json"), last + 1)
        queues = {name: self.queues[name].state() for name in self._scaling}
        sizes, events = await asyncio.wait_for(self._board.report.remote(queues, last), CALL_TIMEOUT_S)
        self._events.extend(events)
        for name, size in sizes.items():
            if name not in self.queues:
                continue  # the board of the panel that this one takes the place of; it goes with that
            self._sizes[name] = size
            self.queues[name].set_places(self._places(name))

    def _places(self, name: str) -> int:
        """A pool that may still grow takes few calls, so that the others wait where all processes, also new ones, can get at them."""
        pool = self._pools[name]
        # A pool that never sleeps and has lost its processes is no sleeper: its calls run into their deadline, or are repeated.
        running = max(self._sizes[name][0], pool.min_replicas)
        in_hand = self._all[name] if running >= pool.max_replicas else min(pool.scaling.calls_in_hand, self._all[name])
        return running * in_hand


def together(config: PanelConfig, pool: JudgeConfig | SharedPoolConfig) -> int:
    """Calls that one process of a pool has use for: those that it judges together, and as many that are ready behind them."""
    judges = [pool] if isinstance(pool, JudgeConfig) else [judge for judge in config.judges if judge.shared == pool.name]
    return sum(2 * (1 if judge.alone else max(judge.batch_calls, find_judge(judge.kind_or_name).concurrent)) for judge in judges)
