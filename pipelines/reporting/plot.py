"""Line charts as inline SVG: no script, no image, colours from the page's style sheet, so that light and dark both fit.

Classes a page styles: `grid`, `axis`, `tick`, `zero`, `line sN`, `faint sN`, `dot sN`, `start` and `mark` (dashed, level and upright).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 460, 240
COLOURS = 6
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 22, 12, 30
_MOST_DOTS = 40
_MOST_POINTS = 800


@dataclass(frozen=True)
class Series:
    """One line. x: steps; y: values, NaN where there is none (a gap in the line)."""

    name: str
    x: Sequence[float]
    y: Sequence[float]

    def points(self) -> list[tuple[float, float]]:
        """The finite points; of very long series every n-th, with the last one."""
        points = [(x, y) for x, y in zip(self.x, self.y, strict=True) if math.isfinite(y)]
        every = max(1, math.ceil(len(points) / _MOST_POINTS))
        return points if every == 1 else [*points[:-1:every], points[-1]]


@dataclass(frozen=True)
class Mark:
    """Something that happened at a place of the x axis: a dashed upright line, whose text shows under the pointer."""

    x: float
    text: str


@dataclass(frozen=True)
class Chart:
    """A chart ready for the page. summary: the same in a sentence, for those who do not see it. legend: colour and name of each line."""

    title: str
    svg: str
    summary: str
    legend: tuple[tuple[int, str], ...]


def line_chart(
    title: str,
    series: Sequence[Series],
    *,
    unit: str = "",
    digits: int = 3,
    smooth: bool = False,
    start: float | None = None,
    y_range: tuple[float, float] | None = None,
    marks: Sequence[Mark] = (),
) -> Chart | None:
    """Lines over learner steps; None where no series has a point. A series keeps its colour where others are empty.

    smooth: draw the values faintly and their running mean strongly. start: a dashed line at that value. y_range: limits shown at least.
    marks: those beyond the lines' ends are drawn at the end.
    """
    coloured = [(number % COLOURS, one) for number, one in enumerate(series) if one.points()]
    series = [one for _, one in coloured]
    if not series:
        return None
    xs = [x for one in series for x, _ in one.points()]
    ys = [y for one in series for _, y in one.points()] + ([start] if start is not None else [])
    low, high = y_range or (min(ys), max(ys))
    x_ticks, y_ticks = nice_ticks(min(xs), max(xs), 5), nice_ticks(min(low, *ys), max(high, *ys), 4)
    scale = _Scale(min(xs), max(xs), y_ticks[0], y_ticks[-1])
    parts = [*_grid(scale, [x for x in x_ticks if min(xs) <= x <= max(xs)], y_ticks)]
    if start is not None:
        y = scale.y(start)
        parts.append(f'<line class="start" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
    for mark in marks:
        x = scale.x(min(max(mark.x, min(xs)), max(xs)))
        line = f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}">'
        parts.append(f"{line}<title>{escape(mark.text)}</title></line>")
    for colour, one in coloured:
        parts += _draw(scale, one, colour, smooth=smooth and len(one.points()) >= 12)
    summary = f"{title}. " + " ".join(_sentence(one, unit, digits) for one in series)
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(summary)}"><title>{escape(title)}</title>'
    svg = f"{head}{''.join(parts)}</svg>"
    return Chart(title, svg, summary, tuple((colour, one.name) for colour, one in coloured))


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` round numbers that enclose [low, high]; a constant gets room on both sides."""
    if high - low < 1e-12 * max(1.0, abs(high)):
        pad = abs(high) * 0.1 or 1.0
        low, high = low - pad, high + pad
    raw = (high - low) / max(1, count)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def running_mean(values: Sequence[float], window: int) -> list[float]:
    """Means of the last `window` finite values at each place (fewer at the start); NaN before the first."""
    means: list[float] = []
    recent: list[float] = []
    for value in values:
        if math.isfinite(value):
            recent = [*recent, value][-window:]
        means.append(sum(recent) / len(recent) if recent else math.nan)
    return means


@dataclass(frozen=True)
class _Scale:
    x_low: float
    x_high: float
    y_low: float
    y_high: float

    def x(self, value: float) -> float:
        span = self.x_high - self.x_low
        share = (value - self.x_low) / span if span else 0.5
        return _LEFT + share * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - _BOTTOM - (value - self.y_low) / (self.y_high - self.y_low) * (HEIGHT - _TOP - _BOTTOM)


def _grid(scale: _Scale, x_ticks: Sequence[float], y_ticks: Sequence[float]) -> list[str]:
    parts = []
    for value in y_ticks:
        y, kind = scale.y(value), "zero" if value == 0 else "grid"
        parts.append(f'<line class="{kind}" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_tick_text(value)}</text>')
    for value in x_ticks:
        x = scale.x(value)
        parts.append(f'<text class="tick" x="{x:.1f}" y="{HEIGHT - 10}" text-anchor="middle">{_tick_text(value)}</text>')
    return parts


def _draw(scale: _Scale, series: Series, number: int, *, smooth: bool) -> list[str]:
    points = series.points()
    parts = []
    if smooth:
        parts.append(_path(scale, points, f"faint s{number}"))
        means = running_mean([y for _, y in points], max(3, len(points) // 12))
        points = [(x, y) for (x, _), y in zip(points, means, strict=True)]
    parts.append(_path(scale, points, f"line s{number}"))
    if not smooth and len(points) <= _MOST_DOTS:
        parts += [f'<circle class="dot s{number}" cx="{scale.x(x):.1f}" cy="{scale.y(y):.1f}" r="3"/>' for x, y in points]
    return parts


def _path(scale: _Scale, points: Sequence[tuple[float, float]], kind: str) -> str:
    return f'<polyline class="{kind}" points="{" ".join(f"{scale.x(x):.1f},{scale.y(y):.1f}" for x, y in points)}"/>'


def _sentence(series: Series, unit: str, digits: int) -> str:
    points = series.points()
    first, last = points[0][1], points[-1][1]
    low, high = min(y for _, y in points), max(y for _, y in points)
    unit = f" {unit}" if unit else ""
    return f"{series.name}: from {first:.{digits}f} to {last:.{digits}f}{unit} (lowest {low:.{digits}f}, highest {high:.{digits}f})."


def _tick_text(value: float) -> str:
    return f"{value:.6g}".replace("-", "\N{MINUS SIGN}")
