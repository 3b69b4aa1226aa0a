"""A run's status as lines of a terminal, at most WIDTH characters each."""

import textwrap
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.reporting.pools import JudgeState, PoolState, number, seconds_text, size_text

if TYPE_CHECKING:
    from pipelines.status import RunStatus

WIDTH = 120
_MARGIN = 12
_POOL_HEAD = ("workers", "busy", "waits before it", "longest", "waiting", "rows/s", "cores", "memory", "GPU")
_JUDGE_HEAD = ("processes", "busy", "median", "95 %", "99 %", "in queue", "failed", "retries", "cores", "memory", "GPU")


def lines_of(status: "RunStatus") -> list[str]:
    """All of it."""
    of = f" of {status.total_steps}" if status.total_steps else ""
    ago = "no sign of life yet" if status.last_sign_s is None else f"last sign {seconds_text(status.last_sign_s)} ago"
    at = "no checkpoint yet" if status.checkpoint_step is None else f"checkpoint at {status.checkpoint_step}"
    lines = [f"{status.name}: {status.state}, {status.steps}{of} steps, {at}, {ago}"]
    lines += [line for trouble in status.troubles for line in _said("FAULT", trouble)]
    lines += _said("stream", _stream(status))
    if status.bottleneck:
        now = status.bottleneck
        lines += _said("now", f"{now.headline()} ({now.figures()})")
        if status.bottleneck_of_run and status.steps > 1:
            run = status.bottleneck_of_run
            lines += _said("all along", f"{'the same' if run.pool == now.pool else run.headline()} ({run.figures()})")
        lines += _said("change", now.cure)
    lines += _table("pool", _POOL_HEAD, [(pool.name, _pool_row(pool)) for pool in status.pools])
    lines += _table("judge", _JUDGE_HEAD, [(judge.name, _judge_row(judge)) for judge in status.judges])
    lines += _said("failed", _failed(status.judges, status.pools))
    if status.ledger:
        lines += _said("ledger", status.ledger.sentence())
        dropped = Counter(status.ledger.reasons).most_common()
        lines += _said("dropped", ", ".join(f"{reason} {count}" for reason, count in dropped) or "none")
    lines += [line for sentence in status.quarantined for line in _said("left out", sentence)]
    lines += [line for event in status.scaled for line in _said("scaled", f"{_clock(event.time_s)} {event.sentence()}")]
    lines += [line for event in status.events for line in _said("event", event)]
    return lines + (_said("log", f"warnings of Ray and others: {status.frameworks_log}") if status.frameworks_log else [])


def _stream(status: "RunStatus") -> str:
    shown = [("reward/mean", "reward {:.3f}"), ("stream/rows_per_s", "{:.1f} rows/s"), ("stream/step_s", "{:.1f} s a step")]
    shown += [("stream/learner_wait_s", "of which the learner waits {:.1f} s")]
    shown += [("stream/staleness_mean", "staleness {:.1f} on average"), ("stream/staleness_max", "{:.0f} at most")]
    return ", ".join(text.format(status.metrics[name]) for name, text in shown if name in status.metrics)


def _pool_row(pool: PoolState) -> tuple[str, ...]:
    return (
        number(pool.workers, "{:.0f}"),
        number(pool.busy_share, "{:.0%}"),
        seconds_text(pool.queue_age_s),
        seconds_text(pool.queue_age_max_s),
        number(pool.queue_depth),
        number(pool.rows_per_s),
        number(pool.cpu_cores),
        size_text(pool.rss_mib),
        size_text(pool.gpu_mib),
    )


def _judge_row(judge: JudgeState) -> tuple[str, ...]:
    return (
        number(judge.processes, "{:.0f}"),
        number(judge.busy_share, "{:.0%}"),
        seconds_text(judge.latency_p50_s),
        seconds_text(judge.latency_p95_s),
        seconds_text(judge.latency_p99_s),
        seconds_text(judge.queue_age_s),
        f"{judge.failed}/{judge.verdicts}",
        str(judge.retries),
        number(judge.cpu_cores),
        size_text(judge.rss_mib),
        size_text(judge.gpu_mib),
    )


def _failed(judges: Sequence[JudgeState], pools: Sequence[PoolState]) -> str:
    """Verdicts that failed, by judge and reason, and calls that were made again."""
    said = [f"{judge.name} {reason} {count}" for judge in judges for reason, count in judge.reasons.items()]
    again = sum(pool.retries for pool in pools)
    if not judges:
        return ""
    return ", ".join([*(said or ["no verdict"]), *([f"the panel was asked again {again} times"] if again else [])])


def _said(word: str, text: str) -> list[str]:
    """`  word   text`, on as many lines as it takes; none where there is nothing to say."""
    wrapped = textwrap.wrap(text, WIDTH - _MARGIN, break_on_hyphens=False)
    return [f"  {word if not place else '':<{_MARGIN - 2}}{line}" for place, line in enumerate(wrapped)]


def _table(title: str, head: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """Columns that line up; those in which nothing is known are left out."""
    if not rows:
        return []
    kept = [place for place in range(len(head)) if any(row[place] != "-" for _, row in rows)]
    first = max(_MARGIN - 2, *(len(name) + 2 for name, _ in rows))
    table = [(title, [head[place] for place in kept]), *((name, [row[place] for place in kept]) for name, row in rows)]
    widths = [max(len(row[place]) for _, row in table) for place in range(len(kept))]
    return [
        _cut(f"  {name:<{first}}" + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))) for name, row in table
    ]


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"


def _clock(time_s: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(time_s))
