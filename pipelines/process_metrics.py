"""What the processes of each pool use: how many there are, CPU cores, memory, GPU memory; of judges also their busy share and queue."""

from collections import deque
from collections.abc import Iterable, Sequence

from actors.pool_sums import POOLS
from auricle.usage import Usage


class Processes:
    """The processes that worked on the last steps' rows. A process of which no row tells for so long is gone (or has nothing to do)."""

    def __init__(self, window: int) -> None:
        """window: steps."""
        self._window, self._step = window, 0
        self._samples: dict[tuple[str, str], deque[tuple[int, Usage]]] = {}

    def add(self, usages: Iterable[Usage]) -> dict[str, float]:
        """Metrics of one step: `pool/NAME/...` of the stream's pools, `judge/NAME/...` of the others."""
        self._step += 1
        for usage in usages:
            self._samples.setdefault((usage.pool, usage.key), deque()).append((self._step, usage))
        by_pool: dict[str, list[Sequence[Usage]]] = {}
        for (pool, key), samples in list(self._samples.items()):
            while samples and samples[0][0] <= self._step - self._window:
                samples.popleft()
            if samples:
                by_pool.setdefault(pool, []).append([usage for _, usage in samples])
            else:
                del self._samples[pool, key]
        metrics: dict[str, float] = {}
        for pool, processes in by_pool.items():
            prefix = f"pool/{pool}" if pool in POOLS else f"judge/{pool}"
            metrics |= {f"{prefix}/{name}": value for name, value in used(processes).items()}
        return metrics


def used(processes: Sequence[Sequence[Usage]]) -> dict[str, float]:
    """What processes, each with its samples in order, come to together. Rates are those between a process's first and last sample.

    Of judges: busy_share (mean of the processes), queue_age_s (a call's mean wait for its turn), queue_depth (calls waiting, on average).
    """
    last = [samples[-1] for samples in processes]
    spans = [(samples[0], samples[-1], samples[-1].time_s - samples[0].time_s) for samples in processes]
    known = [(first, now, seconds) for first, now, seconds in spans if seconds > 0]
    metrics = {"processes": float(len(processes)), "rss_mib": sum(usage.rss_mib for usage in last)}
    if any(usage.gpu_mib for usage in last):
        metrics["gpu_mib"] = sum(usage.gpu_mib for usage in last)
    if known:
        # A child that ended takes its CPU time with it: then the difference says nothing, and is no less than none.
        metrics["cpu_cores"] = sum(max(0.0, now.cpu_s - first.cpu_s) / seconds for first, now, seconds in known)
    if any(usage.calls for usage in last):
        calls = sum(now.calls - first.calls for first, now, _ in known)
        if known:
            metrics["queue_depth"] = sum(max(0.0, now.waited_s - first.waited_s) / seconds for first, now, seconds in known)
            metrics["busy_share"] = sum((now.busy_s - first.busy_s) / seconds for first, now, seconds in known) / len(known)
        if calls > 0:
            metrics["queue_age_s"] = sum(max(0.0, now.waited_s - first.waited_s) for first, now, _ in known) / calls
    return metrics
