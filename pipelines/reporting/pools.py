"""How each pool and each judge of a run is doing, read from its steps' metrics: what `auricle status` and the report show."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

Metrics = Mapping[str, float | None]

POOLS = ("rollout", "reward", "learner")


@dataclass(frozen=True)
class PoolState:
    """A pool of the stream in the last steps; None: not known. Units are in the names; what each is: `pipelines.finetune_metrics`."""

    name: str
    workers: float | None = None
    processes: float | None = None
    busy_share: float | None = None
    queue_age_s: float | None = None
    queue_age_max_s: float | None = None
    queue_depth: float | None = None
    rows_per_s: float | None = None
    rows_per_s_busy: float | None = None
    cpu_cores: float | None = None
    rss_mib: float | None = None
    gpu_mib: float | None = None
    retries: int = 0
    """Over the whole run."""


@dataclass(frozen=True)
class JudgeState:
    """A judge: its processes and latencies in the last steps, its verdicts over the whole run. reasons: of failed verdicts."""

    name: str
    processes: float | None = None
    busy_share: float | None = None
    queue_age_s: float | None = None
    queue_depth: float | None = None
    latency_p50_s: float | None = None
    latency_p95_s: float | None = None
    latency_p99_s: float | None = None
    cpu_cores: float | None = None
    rss_mib: float | None = None
    gpu_mib: float | None = None
    verdicts: int = 0
    failed: int = 0
    retries: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)


_OVER_THE_RUN = {"retries", "verdicts", "failed"}


def pools_of(steps: Sequence[Metrics]) -> list[PoolState]:
    """The stream's pools, in their order. steps: the metrics of all steps, oldest first."""
    return [PoolState(**_state(PoolState, "pool", name, steps)) for name in names_of(steps[-1:], "pool", POOLS)]


def judges_of(steps: Sequence[Metrics]) -> list[JudgeState]:
    """The judges that gave verdicts, also those of which the last steps have none."""
    totals = totals_of(steps)
    found = []
    for name in names_of(steps, "judge"):
        prefix = f"judge/{name}/failures/"
        reasons = {key.removeprefix(prefix): round(count) for key, count in totals.items() if key.startswith(prefix)}
        found.append(JudgeState(**_state(JudgeState, "judge", name, steps), reasons=dict(Counter(reasons).most_common())))
    return found


def names_of(steps: Sequence[Metrics], kind: str, first: Sequence[str] = ()) -> list[str]:
    """Names of pools or judges in the metrics; `first` in that order before the others."""
    names = dict.fromkeys(name.split("/")[1] for metrics in steps for name in metrics if name.startswith(f"{kind}/"))
    return [name for name in first if name in names] + [name for name in names if name not in first]


def totals_of(steps: Sequence[Metrics]) -> dict[str, float]:
    """Counts of all steps added up: `failures/REASON` (rollouts dropped), `judge/NAME/failures/REASON`, verdicts, retries."""
    totals: dict[str, float] = {}
    for metrics in steps:
        for name, value in metrics.items():
            if value and ("failures/" in name or name.rpartition("/")[2] in _OVER_THE_RUN):
                totals[name] = totals.get(name, 0.0) + value
    return totals


def _state(cls: type, kind: str, name: str, steps: Sequence[Metrics]) -> dict[str, Any]:
    last, totals, prefix = steps[-1], totals_of(steps), f"{kind}/{name}/"
    values: dict[str, Any] = {"name": name}
    for known in (one.name for one in fields(cls)):
        if known in _OVER_THE_RUN:
            values[known] = round(totals.get(prefix + known, 0.0))
        elif last.get(prefix + known) is not None:
            values[known] = last[prefix + known]
    return values


def size_text(mib: float | None) -> str:
    """`1.2 GiB`; `-` where it is not known."""
    return "-" if mib is None else f"{mib:.0f} MiB" if mib < 1000 else f"{mib / 1024:.1f} GiB"


def seconds_text(seconds: float | None) -> str:
    """`0.12 s`, `3.4 s`, `65 s`, `12 min`; `-` where it is not known."""
    if seconds is None:
        return "-"
    digits = 2 if seconds < 1 else 1 if seconds < 20 else 0
    return f"{seconds:.{digits}f} s" if seconds < 300 else f"{seconds / 60:.0f} min"


def number(value: float | None, form: str = "{:.1f}") -> str:
    """`-` where it is not known."""
    return "-" if value is None else form.format(value)
