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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import ray
import torch

from auricle.errors import DeadlineError
from auricle.learning.staleness import StalenessConfig, required_version

CALLS_QUEUED = 2
"""Blocks that an actor is given at a time: one to work on, one to go on with."""
CALLS_AT_ONCE = CALLS_QUEUED + 2
"""Calls that an actor runs at a time: the blocks that it was given may all wait at the gate, and lost ones are made again besides."""
SPARE_S = 30.0
"""What the store's own deadline is given to be told of."""


@dataclass(frozen=True)
class Passed:
    """What the gate granted: a version, the reference of its weights, and the seconds waited for it."""

    version: int
    weights: Any
    waited_s: float


def one_worker() -> ThreadPoolExecutor:
    """The thread that works behind the gate, one block at a time: always the same, with one thread of torch's own."""
    return ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,))


class Gate:
    """May be waited at by several threads."""

    def __init__(self, store: Any, staleness: StalenessConfig, timeout_s: float) -> None:
        """store: the weight store's actor (`actors.weights`)."""
        self._store, self._staleness, self._timeout_s = store, staleness, timeout_s

    def newest(self, step: int, passed: Passed) -> Passed:
        """What is granted now to one who has passed and then waited for others: in an exact run the same."""
        if self._staleness.exact_staleness:
            return passed
        return replace(self.wait(step), waited_s=passed.waited_s)

    def wait(self, step: int) -> Passed:
        """The version that a rollout of `step` is made with. Raises DeadlineError where no new version comes for `timeout_s`, or what Ray
        says of a store that is gone or does not answer.
        """
        began = time.monotonic()
        needed = required_version(step, self._staleness.max_staleness)
        answer, newest = self._store.wait.remote(needed, self._staleness.exact_staleness, self._timeout_s), -1
        while not ray.wait([answer], timeout=self._timeout_s + SPARE_S)[0]:
            before, newest = newest, ray.get(self._store.latest.remote(), timeout=SPARE_S)
            if newest <= before:
                raise DeadlineError(f"the weight store answers, but not the call of step {step}; newest version {newest}")
        granted, [weights] = ray.get(answer, timeout=SPARE_S)
        return Passed(granted, weights, time.monotonic() - began)
