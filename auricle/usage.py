"""What a process of a pool uses: memory, CPU time, GPU memory. It measures itself, and says so with its rows or its answers.

A sample costs milliseconds (children have to be looked for among all processes), so it is taken every SAMPLE_EVERY_S at most; between two
samples the last one is told again.
"""

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np
import psutil

SAMPLE_EVERY_S = 2.0
_MIB = 1 << 20


@dataclass(frozen=True)
class Usage:
    """One process, its children included, at one time.

    pool: rollout, reward, learner, or a judge's name. key: host and process id. time_s: of the epoch. rss_mib: resident, shared pages
    included. cpu_s: CPU time since its start. gpu_mib: what torch holds on its GPUs. Of judges alone, since the start: busy_s with a call
    at work, calls answered, and waited_s, the time that these waited for their turn.
    """

    pool: str
    key: str
    time_s: float
    rss_mib: float
    cpu_s: float
    gpu_mib: float = 0.0
    busy_s: float = 0.0
    calls: int = 0
    waited_s: float = 0.0


class UsageMeter:
    """Measures the process it lives in. May be asked from several threads."""

    def __init__(self, pool: str) -> None:
        self._pool, self._key = pool, f"{socket.gethostname()}:{os.getpid()}"
        self._process = psutil.Process()
        self._lock = threading.Lock()
        self._last: Usage | None = None

    def sample(self) -> Usage:
        """The process's usage, at most SAMPLE_EVERY_S old."""
        with self._lock:
            if self._last is None or time.time() - self._last.time_s >= SAMPLE_EVERY_S:
                self._last = self._measured()
            return self._last

    def _measured(self) -> Usage:
        memory = cpu_s = 0.0
        for process in (self._process, *self._process.children(recursive=True)):
            try:
                with process.oneshot():
                    times = process.cpu_times()
                    memory, cpu_s = memory + process.memory_info().rss, cpu_s + times.user + times.system
            except (psutil.NoSuchProcess, psutil.AccessDenied):  # a child that ended meanwhile
                continue
        return Usage(self._pool, self._key, time.time(), round(memory / _MIB, 1), round(cpu_s, 3), round(_gpu_bytes() / _MIB, 1))


def usage_column(usages: Iterable[Usage], rows: int) -> np.ndarray:
    """A column of the stream: the first row of a block tells of the processes that worked on it, the others are empty."""
    return np.array([json.dumps([asdict(usage) for usage in usages]), *[""] * (rows - 1)], dtype=object)


def from_texts(texts: Iterable[str]) -> list[Usage]:
    """The newest usage of each process of each pool, from a column of the stream."""
    return newest(Usage(**record) for text in texts if text for record in json.loads(text))


def newest(usages: Iterable[Usage]) -> list[Usage]:
    """The newest usage of each process of each pool."""
    found: dict[tuple[str, str], Usage] = {}
    for usage in usages:
        before = found.get((usage.pool, usage.key))
        if before is None or usage.time_s >= before.time_s:
            found[usage.pool, usage.key] = usage
    return list(found.values())


def _gpu_bytes() -> int:
    """Of torch's allocator in this process. A process that never used a GPU, or torch, must not begin to for this."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return 0
    return sum(torch.cuda.memory_reserved(device) for device in range(torch.cuda.device_count()))
