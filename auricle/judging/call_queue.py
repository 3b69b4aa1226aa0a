"""Calls that wait for a pool of judges: first come, first served, and nobody is let in while no process is up.

Invariants (one event loop):
- At most `places` calls are inside; the others wait in the order in which they came.
- A call that is given up leaves at once, whether it waits or is inside; no place is lost.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class QueueState:
    """age_s: how long the oldest call has waited; 0 where none waits. depth: calls that wait. at_work: calls that were let in."""

    age_s: float = 0.0
    depth: int = 0
    at_work: int = 0


class CallQueue:
    """`async with queue.place(): ...`; `set_places` as processes come and go."""

    def __init__(self, places: int) -> None:
        self._places, self._inside = places, 0
        # Since when each call waits: for a place, or for a process to be up. Both are in the order in which they came.
        self._in_line: dict[asyncio.Future[None], float] = {}
        self._for_waking: dict[object, float] = {}
        self._awake = asyncio.Event()
        self.set_places(places)

    def set_places(self, places: int) -> None:
        """How many calls may be inside from now on. Fewer than are inside: none is thrown out."""
        self._places = places
        if places:
            self._awake.set()
        else:
            self._awake.clear()
        self._let_in()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait for a place, and give it back."""
        entry: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._in_line[entry] = time.monotonic()
        self._let_in()
        try:
            await entry
            yield
        finally:
            if self._in_line.pop(entry, None) is None and not entry.cancelled():  # it was let in
                self._inside -= 1
            self._let_in()

    @property
    def asleep(self) -> bool:
        """Whether no process is up."""
        return not self._places

    async def awake(self) -> None:
        """Wait until a process is up; returns at once where one is."""
        call = object()
        self._for_waking[call] = time.monotonic()
        try:
            await self._awake.wait()
        finally:
            del self._for_waking[call]

    def state(self) -> QueueState:
        """As it is now."""
        since_s = [next(iter(waiting.values())) for waiting in (self._in_line, self._for_waking) if waiting]
        age_s = time.monotonic() - min(since_s) if since_s else 0.0
        return QueueState(age_s, len(self._in_line) + len(self._for_waking), self._inside)

    def _let_in(self) -> None:
        while self._in_line and self._inside < self._places:
            entry = next(iter(self._in_line))
            del self._in_line[entry]
            if not entry.cancelled():
                self._inside += 1
                entry.set_result(None)
