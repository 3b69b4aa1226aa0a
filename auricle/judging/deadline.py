"""A deadline whose clock stands still while there is nobody to judge: a pool that sleeps at zero wakes, or a model is loaded.

Deadline(60, grace_s=300): 60 s of waiting in line and of judging, and beside them 300 s at most for waking
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self


class Deadline:
    """`async with Deadline(limit_s, grace_s) as deadline: ... with deadline.paused(): ...`. Raises TimeoutError where either is spent."""

    def __init__(self, limit_s: float, grace_s: float = 0.0) -> None:
        self._left_s, self._grace_s = limit_s, grace_s
        self._began_s = 0.0
        self.asleep = False
        """Whether the clock stood still at the last look: after a TimeoutError it says which of the two was spent."""

    async def __aenter__(self) -> Self:
        self._timeout = asyncio.timeout(None)
        await self._timeout.__aenter__()
        self._run(self._left_s)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._timeout.__aexit__(kind, error, trace)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What is waited for in here is taken from the grace."""
        self._left_s -= time.monotonic() - self._began_s
        self._run(self._grace_s)
        self.asleep = True
        try:
            yield
        finally:
            if not self._timeout.expired():
                self.asleep = False
                self._grace_s -= time.monotonic() - self._began_s
                self._run(self._left_s)

    def _run(self, seconds: float) -> None:
        self._began_s = time.monotonic()
        self._timeout.reschedule(asyncio.get_running_loop().time() + seconds)
