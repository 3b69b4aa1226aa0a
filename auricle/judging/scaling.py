"""How many processes a pool of judges should have: by how long blocks wait for it, not by how many calls it holds.

`decide` is a pure function; `PoolScaler` remembers what it needs of the past, and notes every change with its reason.

    queue (age, depth, at work) --+
    processes (running, asked) ---+--> decide --> Decision(processes, reason) --> ScaleEvent, where it is a change
    times since ... --------------+
"""

import math
import time
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from auricle.config import Config
from auricle.judging.call_queue import QueueState

MOST_AT_ONCE = 2.0
"""A pool grows at most by this factor at a time: what is starting has not had its say yet."""
SETTLES_S = 2.0
"""How long Serve may take to ask for what was decided; until then the decision counts, not what Serve says."""


class ScalingConfig(Config):
    """When a pool that may grow (max_replicas above min_replicas) grows and shrinks."""

    target_queue_age_s: PositiveFloat = 5.0
    """The pool grows while the oldest block has waited longer than this for a process, in seconds. From zero one comes at once."""
    calls_in_hand: PositiveInt = 2
    """Calls that one process takes while the pool may still grow; the others wait in the panel's queue, whose age is looked at. A pool at
    its largest takes all that it can judge together."""
    upscale_delay_s: NonNegativeFloat = 5.0
    """Least time between two raises, in seconds: about what a process needs to start."""
    downscale_delay_s: NonNegativeFloat = 60.0
    """The pool shrinks to what its calls have filled at most in this time, in seconds."""
    idle_to_zero_s: NonNegativeFloat = 300.0
    """With min_replicas = 0: the last process goes after so long without any call, in seconds."""
    wake_timeout_s: PositiveFloat = 60.0
    """How long a block may wait for the first process of a pool at zero (and in a shared pool for the judge to be loaded), in seconds. This
    is not counted in the judge's deadline_s. With nodes that have to start first: minutes."""


@dataclass(frozen=True)
class Bounds:
    """Fewest and most processes."""

    least: int
    most: int


@dataclass(frozen=True)
class Seen:
    """What a decision looks at. running: processes that judge. target: those asked for; the difference is starting, or waits for a node.

    needed_lately: the most processes that the calls of the last `downscale_delay_s` would have filled.
    """

    queue: QueueState
    running: int
    target: int
    since_change_s: float
    needed_lately: int
    idle_s: float

    def needed(self, calls_in_hand: int) -> int:
        """Processes that all calls there are would fill."""
        return math.ceil((self.queue.depth + self.queue.at_work) / calls_in_hand)


@dataclass(frozen=True)
class Decision:
    """How many processes there should be, and why."""

    replicas: int
    reason: str


@dataclass(frozen=True)
class ScaleEvent:
    """A pool that was told to grow or shrink; a line of scaling.jsonl. time_s: of the epoch. number: counts the events of a panel."""

    number: int
    time_s: float
    pool: str
    from_replicas: int
    to_replicas: int
    running: int
    reason: str
    queue_age_s: float
    queue_depth: int
    at_work: int

    def record(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def decide(seen: Seen, bounds: Bounds, config: ScalingConfig) -> Decision:
    """Grow on an old queue, shrink when fewer would do, else stay."""
    if not bounds.least <= seen.target <= bounds.most:
        return Decision(min(max(seen.target, bounds.least), bounds.most), f"bounds are {bounds.least} to {bounds.most}")
    needed = seen.needed(config.calls_in_hand)
    if seen.target == 0:
        waits = f"{seen.queue.depth} waiting and no process is up"
        return Decision(1, waits) if seen.queue.depth else Decision(0, "asleep, nothing waits")
    if seen.queue.age_s > config.target_queue_age_s:
        return _grown(seen, bounds, config, needed)
    return _shrunk(seen, bounds, config, needed)


def _grown(seen: Seen, bounds: Bounds, config: ScalingConfig, needed: int) -> Decision:
    late = f"oldest has waited {seen.queue.age_s:.1f} s, target {config.target_queue_age_s:g} s"
    if seen.target >= bounds.most:
        return Decision(seen.target, f"{late}; at max_replicas")
    if needed <= seen.target:
        return Decision(seen.target, f"{late}; {seen.target - seen.running} starting are enough for the {seen.queue.depth} that wait")
    if seen.since_change_s < config.upscale_delay_s:
        return Decision(seen.target, f"{late}; the last change is {seen.since_change_s:.1f} s ago")
    factor = min(seen.queue.age_s / config.target_queue_age_s, MOST_AT_ONCE)
    return Decision(min(math.ceil(seen.target * factor), needed, bounds.most), late)


def _shrunk(seen: Seen, bounds: Bounds, config: ScalingConfig, needed: int) -> Decision:
    if needed == 0 and bounds.least == 0 and seen.target == 1:
        if seen.idle_s >= config.idle_to_zero_s:
            return Decision(0, f"no call for {seen.idle_s:.0f} s")
        return Decision(1, f"no call for {seen.idle_s:.0f} s, of {config.idle_to_zero_s:g} s")
    enough = max(seen.needed_lately, needed, bounds.least, 1)
    if enough < seen.target and seen.since_change_s >= config.downscale_delay_s:
        return Decision(enough, f"{enough} would have done for {config.downscale_delay_s:g} s")
    return Decision(seen.target, "in time")


class PoolScaler:
    """One pool's memory. All times from one clock, which tests may wind themselves."""

    def __init__(self, pool: str, bounds: Bounds, config: ScalingConfig) -> None:
        self._pool, self._bounds, self._config = pool, bounds, config
        self._wanted: int | None = None
        self._told: tuple[int, int] | None = None
        self._changed_s = self._busy_s = 0.0
        self._needs: deque[tuple[float, int]] = deque()  # falling: the first is the largest of the window

    def step(self, now_s: float, queue: QueueState, running: int, target: int, number: int = 0) -> tuple[int, ScaleEvent | None]:
        """How many processes there should be from now on, and the event where this is a change."""
        if self._wanted is None:
            self._changed_s = self._busy_s = now_s
        if self._told and self._told[1] == target:
            self._told = None  # taken up
        if self._wanted is None or now_s - self._changed_s >= SETTLES_S:
            self._wanted = target
        seen = self._seen(now_s, queue, running, self._wanted)
        decision = decide(seen, self._bounds, self._config)
        if decision.replicas == self._wanted:
            return self._wanted, None
        change = (self._wanted, decision.replicas)
        if change == self._told:  # Serve has not done it yet: asked for again, and told once
            self._wanted, self._changed_s = decision.replicas, now_s
            return self._wanted, None
        self._told = change
        event = ScaleEvent(
            number,
            time.time(),
            self._pool,
            self._wanted,
            decision.replicas,
            running,
            decision.reason,
            round(queue.age_s, 3),
            queue.depth,
            queue.at_work,
        )
        self._wanted, self._changed_s = decision.replicas, now_s
        return self._wanted, event

    def _seen(self, now_s: float, queue: QueueState, running: int, target: int) -> Seen:
        needed = math.ceil((queue.depth + queue.at_work) / self._config.calls_in_hand)
        if needed:
            self._busy_s = now_s
        while self._needs and self._needs[-1][1] <= needed:
            self._needs.pop()
        self._needs.append((now_s, needed))
        while now_s - self._needs[0][0] > self._config.downscale_delay_s:
            self._needs.popleft()
        return Seen(queue, running, target, now_s - self._changed_s, self._needs[0][1], now_s - self._busy_s)
