"""The gate in front of a policy's rollouts: how old its weights may be.

Invariants:
- A rollout of step s is made with a version of at least s - K (exactly s - K with `exact_staleness`), whichever actor makes it and however
  often Ray Data executes its block.
- Who waits at the gate holds nothing up. Blocks that were lost with a node are made again, behind later ones that have to wait until those
  are learned from: an actor that waited with one of them and did nothing else would wait for itself.

    call of block 108 (step 54) --waits for version 52--+
    call of block 102 (step 51, lost) ------------------+--> one at a time: weights, rollouts
"""

import time
from dataclasses import dataclass
from typing import Any

import ray

from auricle.learning.staleness import StalenessConfig, required_version

CALLS_QUEUED = 2
"""Blocks that an actor is given at a time: one to work on, one to go on with."""
CALLS_AT_ONCE = CALLS_QUEUED + 2
"""Calls that an actor runs at a time: the blocks that it was given may all wait at the gate, and lost ones are made again besides."""


@dataclass(frozen=True)
class Passed:
    """What the gate granted: a version, the reference of its weights, and the seconds waited for it."""

    version: int
    weights: Any
    waited_s: float


class Gate:
    """May be waited at by several threads."""

    def __init__(self, store: Any, staleness: StalenessConfig, timeout_s: float) -> None:
        """store: the weight store's actor (`actors.weights`)."""
        self._store, self._staleness, self._timeout_s = store, staleness, timeout_s

    def wait(self, step: int) -> Passed:
        """The version that a rollout of `step` is made with. Raises DeadlineError, or what Ray says of a store that is gone."""
        began = time.monotonic()
        needed = required_version(step, self._staleness.max_staleness)
        answer = self._store.wait.remote(needed, self._staleness.exact_staleness, self._timeout_s)
        granted, [weights] = ray.get(answer, timeout=self._timeout_s + 30)
        return Passed(granted, weights, time.monotonic() - began)
