"""What a judge's processes say of themselves with every answer, and what the panel makes of it: memory, time at work, calls, waits."""

import threading
import time
from dataclasses import replace

from auricle.judging.judge import Identity
from auricle.judging.verdict import Verdict
from auricle.usage import Usage

GONE_S = 120.0
"""A process that gave no answer for so long is not told of any more."""

Reply = tuple[list[Verdict], Identity, Usage, float]
"""Verdicts, what they came from, what the process uses, and the seconds that this call was at work."""


class Worked:
    """How long at least one call was at work; for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls, self._began, self._seconds = 0, 0.0, 0.0

    def begin(self) -> None:
        """A call begins."""
        with self._lock:
            if not self._calls:
                self._began = time.monotonic()
            self._calls += 1

    def end(self) -> None:
        """A call has ended."""
        with self._lock:
            self._calls -= 1
            if not self._calls:
                self._seconds += time.monotonic() - self._began

    @property
    def seconds(self) -> float:
        """Until now."""
        with self._lock:
            return self._seconds + (time.monotonic() - self._began if self._calls else 0.0)


class Replies:
    """What the panel's calls to one judge came to, process by process."""

    def __init__(self) -> None:
        self._usages: dict[str, Usage] = {}

    def take(self, reply: Reply, began: float) -> tuple[list[Verdict], Identity]:
        """Note a call that began at `began` (monotonic); the rest of its reply. What it was not at work it waited, the way included."""
        verdicts, identity, usage, worked_s = reply
        before = self._usages.get(usage.key, usage)
        waited_s = before.waited_s + max(0.0, time.monotonic() - began - worked_s)
        self._usages[usage.key] = replace(usage, calls=before.calls + 1, waited_s=waited_s)
        return verdicts, identity

    def usages(self, judge: str) -> list[Usage]:
        """Of each process that answered lately."""
        self._usages = {key: usage for key, usage in self._usages.items() if time.time() - usage.time_s < GONE_S}
        return [replace(usage, pool=judge) for usage in self._usages.values()]
