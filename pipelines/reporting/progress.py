"""How far a job has come, as one value, and two pictures of it: a panel for terminals, a line for logs. Pure functions."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipelines.reporting.names import duration_text, in_order, measure

_BARS = "▁▂▃▄▅▆▇█"
_EVENTS_SHOWN = 4
_STEPS_FOR_RATE = 12


@dataclass
class Progress:
    """All that is shown. Times are seconds on one monotonic clock.

    step: learner steps done. rewards: one a step, oldest first. guard_first, guard_last: values of the first and the last measurement.
    """

    name: str
    total_steps: int
    started_s: float = 0.0
    phase: str = "starting"
    step: int = 0
    step_times_s: list[float] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    guard_first: dict[str, float] = field(default_factory=dict)
    guard_last: dict[str, float] = field(default_factory=dict)
    guard_step: int = 0
    failures: dict[str, float] = field(default_factory=dict)
    scene_id: str = ""
    words: str = ""
    events: list[str] = field(default_factory=list)

    def on_step(self, step: int, metrics: Mapping[str, float | None], now_s: float) -> None:
        """One learner step was done; `metrics` as in metrics.jsonl. Failures are counts of that step and are added up."""
        self.step, self.phase = step, ""
        self.step_times_s.append(now_s)
        self.metrics = {name: value for name, value in metrics.items() if value is not None}
        if "reward/mean" in self.metrics:
            self.rewards.append(self.metrics["reward/mean"])
        for name, value in self.metrics.items():
            if name.startswith("failures/") and value:
                reason = name.removeprefix("failures/")
                self.failures[reason] = self.failures.get(reason, 0) + value

    def on_guard(self, step: int, metrics: Mapping[str, float | None]) -> None:
        """The guards were measured."""
        self.guard_last = {name: value for name, value in metrics.items() if value is not None}
        self.guard_first = self.guard_first or dict(self.guard_last)
        self.guard_step = step

    def left_s(self, now_s: float) -> float | None:
        """Seconds until the last step at the rate of the last steps; None before there is a rate."""
        times = self.step_times_s[-_STEPS_FOR_RATE:]
        if len(times) < 2 or self.total_steps <= self.step:
            return None
        rate_s = (times[-1] - times[0]) / (len(times) - 1)
        return max(0.0, rate_s * (self.total_steps - self.step) - (now_s - times[-1]))


def render(progress: Progress, now_s: float) -> RenderableType:
    """The live panel."""
    rows = Table.grid(padding=(0, 2), expand=True)
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column(ratio=1)
    rows.add_row("step", _step_row(progress, now_s))
    for name, row in (
        ("reward", _reward_row(progress)),
        ("parts", _values_row(progress.metrics, "reward/part/")),
        ("guards", _guard_row(progress)),
        ("staleness", _staleness_row(progress)),
        ("busy", _busy_row(progress)),
        ("waits", _waits_row(progress)),
        ("failures", _failures_row(progress)),
        ("ledger", _ledger_row(progress)),
        ("listener", _words_row(progress)),
    ):
        if row is not None:
            rows.add_row(name, row)
    body: list[RenderableType] = [rows]
    if progress.events:
        body.append(Text("\n".join(f"• {event}" for event in progress.events[-_EVENTS_SHOWN:]), style="yellow"))
    return Panel(Group(*body), title=f"[bold]{progress.name}[/bold]", title_align="left", box=box.ROUNDED, border_style="cyan")


def plain_line(progress: Progress, now_s: float) -> str:
    """The same in one line of ASCII, for logs."""
    if progress.phase:
        return f"[{progress.name}] {progress.phase} ({duration_text(now_s - progress.started_s)})"
    m, parts = progress.metrics, [f"step {progress.step}/{progress.total_steps}"]
    left_s = progress.left_s(now_s)
    parts.append(duration_text(now_s - progress.started_s) + (f" (+{duration_text(left_s)})" if left_s is not None else ""))
    if progress.rewards:
        parts.append(f"reward {progress.rewards[-1]:.3f}")
    parts += [f"{measure(name).label} {value:.{measure(name).digits}f}" for name, value in _ordered(progress.guard_last)]
    if "stream/staleness_max" in m:
        parts.append(f"staleness {m['stream/staleness_max']:g}")
    busy = [f"{name} {share:.0%}" for name, share in _busy(m).items()]
    parts += [f"busy {' '.join(busy)}"] if busy else []
    waits = [f"{name} {age_s:.1f} s" for name, age_s in _waits(m).items()]
    parts += [f"waits {' '.join(waits)}"] if waits else []
    parts += (
        [f"failed {' '.join(f'{reason} {count:g}' for reason, count in sorted(progress.failures.items()))}"] if progress.failures else []
    )
    return f"[{progress.name}] " + " | ".join(parts)


def sparkline(values: list[float], width: int = 32) -> str:
    """The last `width` values as block characters, from the lowest to the highest of those shown."""
    shown = values[-width:]
    if not shown:
        return ""
    low, high = min(shown), max(shown)
    if high == low:
        return _BARS[3] * len(shown)
    return "".join(_BARS[round((value - low) / (high - low) * (len(_BARS) - 1))] for value in shown)


# --- the rows of the panel; None: nothing to show yet ------------------------------------------------------------------------------------


def _step_row(progress: Progress, now_s: float) -> RenderableType:
    row = Table.grid(padding=(0, 2))
    left_s = progress.left_s(now_s)
    elapsed = duration_text(now_s - progress.started_s)
    left = progress.phase or (f"{duration_text(left_s)} left" if left_s is not None else "")
    bar = ProgressBar(total=max(progress.total_steps, 1), completed=progress.step, width=28)
    row.add_row(Text(f"{progress.step} / {progress.total_steps}", style="bold"), bar, elapsed, Text(left, style="cyan"))
    return row


def _reward_row(progress: Progress) -> Text | None:
    if not progress.rewards:
        return None
    text = Text().append(f"{progress.rewards[-1]:.3f}", style="bold")
    spread = progress.metrics.get("reward/std")
    text.append(f" ± {spread:.3f}  " if spread is not None else "  ", style="dim")
    text.append(sparkline(progress.rewards), style="green")
    return text.append(f"  highest {max(progress.rewards):.3f}", style="dim")


def _values_row(metrics: Mapping[str, float], prefix: str) -> Text | None:
    values = {name.removeprefix(prefix): value for name, value in metrics.items() if name.startswith(prefix)}
    return Text("   ").join(Text(f"{name} {value:.3f}") for name, value in _ordered(values)) if values else None


def _guard_row(progress: Progress) -> Text | None:
    if not progress.guard_last:
        return None
    row = Text()
    for name, value in _ordered(progress.guard_last):
        how = measure(name)
        change = value - progress.guard_first.get(name, value)
        arrow, style = _arrow(change, how.digits)
        row.append(f"{how.label} {how.text(value)} ")
        row.append(f"{arrow} {how.change_text(change)}   ", style=style)
    return row.append(f"(step {progress.guard_step} against the start)", style="dim")


def _arrow(change: float, digits: int) -> tuple[str, str]:
    if abs(change) < 0.5 * 10**-digits:
        return "→", "dim"
    return ("↑", "green") if change > 0 else ("↓", "red")


def _staleness_row(progress: Progress) -> Text | None:
    mean, most = (progress.metrics.get(f"stream/staleness_{name}") for name in ("mean", "max"))
    return None if most is None else Text(f"mean {mean if mean is not None else most:.1f}   max {most:g} versions")


def _busy(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name.split("/")[1]: share for name, share in metrics.items() if name.startswith("pool/") and name.endswith("/busy_share")}


def _busy_row(progress: Progress) -> Text | None:
    row = Text()
    for name, share in _busy(progress.metrics).items():
        filled = round(10 * min(max(share, 0.0), 1.0))
        row.append(f"{name} ").append("█" * filled, style="magenta").append("░" * (10 - filled), style="grey37").append(f" {share:.0%}   ")
    return row if row.plain else None


def _waits(metrics: Mapping[str, float]) -> dict[str, float]:
    """Seconds that blocks wait before each pool where that is worth a word: a tenth of a step at least."""
    least_s = 0.1 * metrics.get("stream/step_s", 1.0)
    ages = {name.split("/")[1]: age_s for name, age_s in metrics.items() if name.startswith("pool/") and name.endswith("/queue_age_s")}
    return {"gate" if name == "rollout" else name: age_s for name, age_s in ages.items() if age_s >= least_s}


def _waits_row(progress: Progress) -> Text | None:
    waits = _waits(progress.metrics)
    said = "   ".join(f"{'at the gate' if name == 'gate' else f'before {name}'} {age_s:.1f} s" for name, age_s in waits.items())
    return Text(said) if waits else None


def _failures_row(progress: Progress) -> Text | None:
    if not progress.step_times_s:
        return None
    if not progress.failures:
        return Text("none", style="dim")
    return Text("   ".join(f"{reason} {count:g}" for reason, count in sorted(progress.failures.items())), style="red")


def _ledger_row(progress: Progress) -> Text | None:
    counts = {name: progress.metrics.get(f"ledger/{name}") for name in ("issued", "trained", "dropped", "in_flight")}
    if any(count is None for count in counts.values()):
        return None
    issued, trained, dropped, in_flight = (f"{count:,.0f}" for count in counts.values())
    return Text(f"issued {issued} = trained {trained} + dropped {dropped} + in flight {in_flight}")


def _words_row(progress: Progress) -> Text | None:
    return Text(f"{progress.scene_id}: “{progress.words.strip()}”", style="italic") if progress.words else None


def _ordered(values: Mapping[str, float]) -> list[tuple[str, float]]:
    return [(name, values[name]) for name in in_order(values)]
