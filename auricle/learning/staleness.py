"""How old the weights may be that made a rollout: a gate that is a pure function of the rollout's step.

Version v is the policy after v learner steps; step s is trained when the version is s, and makes version s + 1. A rollout of step s made by
version v is `s - v` versions stale. With a bound K it may be made once version s - K is published: `at least` that version in general, and
exactly that one where a run has to be reproducible whatever the timing. A retried block asks the same question and gets the same answer.
"""

import math

from auricle.config import Config
from auricle.errors import ConfigError


class StalenessConfig(Config):
    """The bound on the age of a rollout's weights."""

    max_staleness: int = 4
    """Policy versions a rollout may lag behind the step that trains on it, 0 or more. 0: fully synchronous."""
    exact_staleness: bool = False
    """Use exactly version `step - max_staleness`, let finetune's judges hear one clip at a time, and let reason's engines keep nothing of
    earlier prompts, so that what is learned does not depend on timing: done again, on other numbers of rollout actors and judges, or killed
    and resumed, a run has the same weights and ledger to the bit at every step. Deadlines of judging are longer for it, and a verdict that
    misses one breaks the phase, which begins again at its last checkpoint, rather than dropping a rollout. When the guard stops it, and
    which checkpoint it finds best, still hang on when measurements are ready. Costs freshness and speed."""


def required_version(step: int, max_staleness: int) -> int:
    """The oldest version that may make a rollout of `step`; 0 is the version a run starts from."""
    if step < 0 or max_staleness < 0:
        raise ConfigError(f"step = {step}, max_staleness = {max_staleness}: neither can be negative")
    return max(0, step - max_staleness)


def may_use(version: int, step: int, max_staleness: int, *, exact: bool = False) -> bool:
    """Whether weights of `version` may make a rollout of `step`."""
    required = required_version(step, max_staleness)
    return version == required if exact else required <= version <= step


def suggested_max_staleness(rollout_s: float, reward_s: float, learner_s: float, overhead_s: float = 0.3) -> int:
    """The bound that keeps the learner busy: the versions that pass while a rollout is made and judged, and two to spare.

    Times are seconds per step's batch, as the pools deliver it (docs/design.md, the stream's measurement).
    """
    if learner_s <= 0:
        raise ConfigError(f"learner_s = {learner_s}: the learner's seconds per step must be positive")
    return math.ceil((rollout_s + reward_s + overhead_s) / learner_s) + 2
