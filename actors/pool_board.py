"""Where a panel's queues meet Serve's autoscaler: an actor between the panel's process, where calls wait, and the controller.

    Panel --report(queues)--> PoolBoard <--decide(pool, running, target)-- QueueAgePolicy (Serve's controller)
          <--running, events--    |
                                  +-- auricle.judging.scaling.PoolScaler, one a pool

Invariant: where the panel has said nothing for `SILENCE_S`, no pool changes. The panel owns the board, and makes it anew where it dies.
"""

import time
from collections import deque
from typing import Any

from auricle.judging.call_queue import QueueState
from auricle.judging.panel import JudgeConfig, PanelConfig, SharedPoolConfig
from auricle.judging.scaling import Bounds, PoolScaler, ScaleEvent

SILENCE_S = 5.0
MOST_EVENTS = 100


def scaling_pools(config: PanelConfig) -> list[JudgeConfig | SharedPoolConfig]:
    """The pools that may grow and shrink."""
    return [pool for pool in config.pools if pool.max_replicas > pool.min_replicas]


class PoolBoard:
    """Plain class; the panel makes a Ray actor of it."""

    def __init__(self, config: dict[str, Any], first_event: int = 0) -> None:
        panel = PanelConfig.model_validate(config)
        self._scalers = {
            pool.name: PoolScaler(pool.name, Bounds(pool.min_replicas, pool.max_replicas), pool.scaling) for pool in scaling_pools(panel)
        }
        self._queues: dict[str, QueueState] = {}
        self._running = dict.fromkeys(self._scalers, 0)
        self._target = dict.fromkeys(self._scalers, 0)
        self._heard_s = 0.0
        self._next, self._events = first_event, deque[ScaleEvent](maxlen=MOST_EVENTS)

    def report(self, queues: dict[str, QueueState], after: int = -1) -> tuple[dict[str, tuple[int, int]], list[ScaleEvent]]:
        """From the panel. Returns each pool's processes that run and that are asked for, and the events whose number is above `after`."""
        self._queues, self._heard_s = queues, time.monotonic()
        sizes = {pool: (self._running[pool], self._target[pool]) for pool in self._scalers}
        return sizes, [event for event in self._events if event.number > after]

    def decide(self, pool: str, running: int, target: int) -> int:
        """From Serve's controller: how many processes the pool should have from now on."""
        self._running[pool] = running
        now_s = time.monotonic()
        if pool in self._queues and now_s - self._heard_s < SILENCE_S:
            target, event = self._scalers[pool].step(now_s, self._queues[pool], running, target, self._next)
            if event is not None:
                self._events.append(event)
                self._next += 1
        self._target[pool] = target
        return target
