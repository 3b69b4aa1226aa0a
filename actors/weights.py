"""The weight store: versions of the policy, for the rollout pool's gate.

Invariants:
- Versions are published in order, each once; publishing the same version again with the same bytes is a repetition and harmless.
- `wait(version, exact)` answers with exactly that version, or with the newest one that is at least it; it never answers with less.
- The store owns the objects, so a learner's death does not take published weights with it. It keeps the newest `keep` versions.

    learner rank 0 --publish(v)--> store <--wait(step - K)-- rollout actors
"""

import asyncio
import time
from typing import Any

import numpy as np
import ray

from actors.pulse import own_pulse
from auricle.errors import DeadlineError
from auricle.pulse import during


class WeightStore:
    """An async Ray actor: `WeightStore.options(...).remote(keep)` through `ray.remote(num_cpus=0)`."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._versions: dict[int, Any] = {}
        self._latest = -1
        self._changed = asyncio.Condition()
        self._waiting: list[int] = []
        own_pulse("weight store")

    async def publish(self, version: int, weights: dict[str, np.ndarray]) -> None:
        """Make `weights` available as `version`, and forget the oldest beyond `keep`."""
        self._versions[version] = ray.put(weights)
        self._latest = max(self._latest, version)
        for old in sorted(self._versions)[: -self._keep]:
            del self._versions[old]
        async with self._changed:
            self._changed.notify_all()

    async def wait(self, version: int, exact: bool, timeout_s: float) -> tuple[int, list[Any]]:
        """The version granted and its weights' object reference (in a list, so that Ray passes it on unresolved).

        Raises DeadlineError where nothing is published for timeout_s, and where an exact version is already forgotten. (A rollout may be
        asked for several versions ahead: each one that comes shows that the learner pool moves.)
        """
        self._waiting.append(version)
        try:
            with during(f"a rollout waits for version {version}"):
                while self._latest < version:
                    await self._next(self._latest, version, timeout_s)
        finally:
            self._waiting.remove(version)
        granted = version if exact else self._latest
        if granted not in self._versions:
            raise DeadlineError(
                f"policy version {granted} is no longer kept (kept: {sorted(self._versions)}); raise staleness.max_staleness"
            )
        return granted, [self._versions[granted]]

    async def _next(self, seen: int, wanted: int, timeout_s: float) -> None:
        """Wait for a version newer than `seen`."""
        began = time.monotonic()
        async with self._changed:
            try:
                await asyncio.wait_for(self._changed.wait_for(lambda: self._latest > seen), timeout_s)
            except TimeoutError:
                raise DeadlineError(
                    f"policy version {wanted} was not published, and no other within {time.monotonic() - began:.0f} s (newest: "
                    f"{self._latest}); the learner pool stands still"
                ) from None

    async def snapshot(self) -> dict[int, list[Any]]:
        """All kept versions, for a checkpoint."""
        return {version: [ref] for version, ref in self._versions.items()}

    async def latest(self) -> int:
        """The newest published version; -1 before the first."""
        return self._latest

    async def state(self) -> str:
        """What is kept, and who waits, in a sentence."""
        asked = f"rollouts wait at the gate for versions {sorted(self._waiting)}" if self._waiting else "no rollout waits at the gate"
        return f"newest version {self._latest}, kept {sorted(self._versions)}; {asked}"
