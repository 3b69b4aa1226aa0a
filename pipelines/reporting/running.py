"""How a run ran, for its report: which pool held the others up and what to change, pools and judges in charts and tables."""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pipelines.reporting.bottleneck import Bottleneck, averaged, find_bottleneck
from pipelines.reporting.plot import Chart, Mark, Series, line_chart
from pipelines.reporting.pools import JudgeState, PoolState, judges_of, names_of, number, pools_of, seconds_text, size_text
from pipelines.reporting.runs import RunRecord
from pipelines.scaling import ScaleEvent

Table = list[list[str]]
"""Headings, then rows."""

_POOLS = ("rollout", "reward", "learner")
_BEFORE = {"rollout": "rollout (at the gate)", "reward": "reward (made)", "learner": "learner (judged)"}


@dataclass(frozen=True)
class Running:
    """over_the_run, now: which pool held the others up; None where nothing is known. scaled: when and why sizes changed."""

    over_the_run: Bottleneck | None
    now: Bottleneck | None
    pools: Sequence[PoolState]
    judges: Sequence[JudgeState]
    charts: Sequence[Chart]
    scaled: Sequence[tuple[str, str]]

    @property
    def is_known(self) -> bool:
        """Whether there is anything to show."""
        return self.now is not None or bool(self.charts)


def running(record: RunRecord) -> Running:
    """All of it, from the run's metrics and scalings."""
    steps: list[Mapping[str, float | None]] = [line["metrics"] for line in record.steps]
    last = {name: value for name, value in steps[-1].items() if value is not None} if steps else {}
    return Running(
        over_the_run=find_bottleneck(averaged(steps)),
        now=find_bottleneck(last),
        pools=pools_of(steps) if steps else (),
        judges=judges_of(steps) if steps else (),
        charts=[chart for chart in _charts(record, steps) if chart is not None],
        scaled=[(f"{datetime.fromtimestamp(event.time_s, tz=UTC):%Y-%m-%d %H:%M:%S} UTC", event.sentence()) for event in record.scaled],
    )


def marks_of(steps: Sequence[Mapping[str, object]], events: Sequence[ScaleEvent]) -> list[Mark]:
    """Scale events on the axis of steps: between the step that had ended and the next one."""
    timed = [(float(line["time_s"]), float(line["step"])) for line in steps if "time_s" in line]  # type: ignore[arg-type]
    times = [time_s for time_s, _ in timed]
    return [Mark(timed[max(0, bisect_right(times, event.time_s) - 1)][1], event.sentence()) for event in events] if timed else []


def pool_rows(pools: Sequence[PoolState]) -> Table:
    """Headings, then a row a pool; columns of which nothing is known are left out."""
    return _known(
        {
            "pool": [pool.name for pool in pools],
            "workers": [number(pool.workers, "{:.0f}") for pool in pools],
            "processes": [number(pool.processes, "{:.0f}") for pool in pools],
            "busy": [number(pool.busy_share, "{:.0%}") for pool in pools],
            "a block waits": [seconds_text(pool.queue_age_s) for pool in pools],
            "longest": [seconds_text(pool.queue_age_max_s) for pool in pools],
            "waiting": [number(pool.queue_depth) for pool in pools],
            "rows/s": [number(pool.rows_per_s) for pool in pools],
            "rows/s at most": [number(pool.rows_per_s_busy) for pool in pools],
            "cores": [number(pool.cpu_cores) for pool in pools],
            "memory": [size_text(pool.rss_mib) for pool in pools],
            "GPU memory": [size_text(pool.gpu_mib) for pool in pools],
        }
    )


def judge_rows(judges: Sequence[JudgeState]) -> Table:
    """Headings, then a row a judge; columns of which nothing is known are left out."""
    return _known(
        {
            "judge": [judge.name for judge in judges],
            "processes": [number(judge.processes, "{:.0f}") for judge in judges],
            "busy": [number(judge.busy_share, "{:.0%}") for judge in judges],
            "a call waits": [seconds_text(judge.queue_age_s) for judge in judges],
            "waiting": [number(judge.queue_depth) for judge in judges],
            "median": [seconds_text(judge.latency_p50_s) for judge in judges],
            "95 %": [seconds_text(judge.latency_p95_s) for judge in judges],
            "99 %": [seconds_text(judge.latency_p99_s) for judge in judges],
            "verdicts": [f"{judge.verdicts:,}" for judge in judges],
            "failed": [f"{judge.failed:,}" for judge in judges],
            "why": [", ".join(f"{reason} {count}" for reason, count in judge.reasons.items()) or "-" for judge in judges],
            "retries": [f"{judge.retries:,}" for judge in judges],
            "CPU cores": [number(judge.cpu_cores) for judge in judges],
            "memory": [size_text(judge.rss_mib) for judge in judges],
            "GPU memory": [size_text(judge.gpu_mib) for judge in judges],
        }
    )


def _known(columns: Mapping[str, Sequence[str]]) -> Table:
    kept = {name: values for name, values in columns.items() if any(value != "-" for value in values)}
    rows = [list(row) for row in zip(*kept.values(), strict=True)]
    return [list(kept), *[[value if value != "-" else "\N{EN DASH}" for value in row] for row in rows]] if kept else []


def _charts(record: RunRecord, steps: Sequence[Mapping[str, float | None]]) -> list[Chart | None]:
    judges = names_of(steps, "judge")
    marks = marks_of(record.steps, record.scaled)
    failed = [name for name in record.metric_names("judge/") if "/failures/" in name]
    dropped = record.metric_names("failures/")

    def of_pools(what: str, labels: Mapping[str, str] | None = None) -> list[Series]:
        return [record.series(f"pool/{pool}/{what}", (labels or {}).get(pool, pool)) for pool in _POOLS]

    def of_judges(what: str) -> list[Series]:
        return [record.series(f"judge/{judge}/{what}", judge) for judge in judges]

    return [
        line_chart("Busy share of each pool", of_pools("busy_share"), digits=2, y_range=(0.0, 1.0), marks=marks),
        line_chart("A block's wait before each pool (s)", of_pools("queue_age_s", _BEFORE), digits=1, marks=marks),
        line_chart("Blocks waiting before each pool", of_pools("queue_depth", _BEFORE), digits=1, marks=marks),
        line_chart("Processes", _processes(record, judges), digits=0, y_range=(0.0, 1.0), marks=marks),
        line_chart("Judges' latency: 95 % within (s)", of_judges("latency_p95_s"), digits=2, y_range=(0.0, 0.1), marks=marks),
        line_chart("A call's wait for each judge (s)", of_judges("queue_age_s"), digits=2, y_range=(0.0, 0.1), marks=marks),
        _counts("Failed verdicts a step", [_counted(record, name, _judge_and_reason(name)) for name in failed]),
        _counts("Dropped rollouts a step", [_counted(record, name, name.removeprefix("failures/")) for name in dropped]),
        line_chart("Staleness in policy versions", [record.series(f"stream/staleness_{name}", name) for name in ("mean", "max")], digits=1),
        line_chart("Rows a second", [record.series("stream/rows_per_s", "rows/s")], digits=1, y_range=(0.0, 0.1), smooth=True),
        line_chart("Seconds of a step, but the first", _step_times(record), digits=1, y_range=(0.0, 0.1)),
        line_chart("Memory (GiB)", _memory(record, judges), digits=1, y_range=(0.0, 0.1)),
    ]


def _processes(record: RunRecord, judges: Sequence[str]) -> list[Series]:
    return [record.series(f"pool/{pool}/processes", pool) for pool in _POOLS] + [
        record.series(f"judge/{judge}/processes", judge) for judge in judges
    ]


def _memory(record: RunRecord, judges: Sequence[str]) -> list[Series]:
    names = [(f"pool/{pool}/rss_mib", pool) for pool in _POOLS] + [(f"judge/{judge}/rss_mib", judge) for judge in judges]
    series = [record.series(name, label) for name, label in names]
    return [Series(one.name, one.x, [value / 1024 for value in one.y]) for one in series]


def _step_times(record: RunRecord) -> list[Series]:
    """Without the first step, which is as long as the pools took to start."""
    series = [record.series("stream/step_s", "step"), record.series("stream/learner_wait_s", "of which the learner waits")]
    return [Series(one.name, one.x[1:], one.y[1:]) for one in series]


def _counted(record: RunRecord, name: str, label: str) -> Series:
    """A count that is left out of the steps in which it is nought."""
    series = record.series(name, label)
    return Series(label, series.x, [0.0 if math.isnan(value) else value for value in series.y])


def _counts(title: str, series: Sequence[Series]) -> Chart | None:
    """A single line has no legend: the title says what it is."""
    return line_chart(f"{title}: {series[0].name}" if len(series) == 1 else title, series, digits=0)


def _judge_and_reason(name: str) -> str:
    _, judge, _, reason = name.split("/", 3)
    return f"{judge} {reason}"
