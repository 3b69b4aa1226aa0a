"""How metrics are called and printed for people: label, unit, digits. One table for display, evaluation, report and comparison."""

import math
from dataclasses import dataclass

GUARDS = ("pesq", "stoi", "si_sdr", "dnsmos_ovrl", "dnsmos_fast_ovrl")
"""The metrics that a run's verdict names where they had no vote in the reward."""

FEWEST_SHOWN = 3
"""Of fewer speakers no interval is shown: Student's quantile for two is 13 standard errors, and of one there is none."""


@dataclass(frozen=True)
class Measure:
    """label: for headings. unit: empty for scores without one. digits: after the decimal point, of values and of changes."""

    label: str
    unit: str = ""
    digits: int = 3
    change_digits: int = 3

    def text(self, value: float) -> str:
        """A value; with a true minus sign, so that columns of figures line up."""
        return f"{value:.{self.digits}f}".replace("-", "\N{MINUS SIGN}")

    def change_text(self, change: float) -> str:
        """A difference of two values, with its sign."""
        return f"{change:+.{self.change_digits}f}".replace("-", "\N{MINUS SIGN}")

    def interval_text(self, low: float | None, high: float | None, clusters: int) -> str:
        """A confidence interval of a difference over so many speakers, in brackets; of fewer than FEWEST_SHOWN it says that instead."""
        if low is None or high is None or clusters < FEWEST_SHOWN or not (math.isfinite(low) and math.isfinite(high)):
            return f"[n < {FEWEST_SHOWN} speakers]" if clusters < FEWEST_SHOWN else "[unknown]"
        return f"[{self.change_text(low)}, {self.change_text(high)}]"


_MEASURES = {
    "panel": Measure("panel"),
    "reward": Measure("reward"),
    "pesq": Measure("PESQ", digits=2),
    "stoi": Measure("STOI"),
    "estoi": Measure("ESTOI"),
    "si_sdr": Measure("SI-SDR", "dB", 2, 2),
    "si_sdr_db": Measure("SI-SDR", "dB", 2, 2),
    "dnsmos": Measure("DNSMOS", digits=2),
    "dnsmos_ovrl": Measure("DNSMOS overall", digits=2),
    "dnsmos_fast_ovrl": Measure("DNSMOS overall (one pass)", digits=2),
    "dnsmos_sig": Measure("DNSMOS speech", digits=2),
    "dnsmos_bak": Measure("DNSMOS background", digits=2),
    "dnsmos_p808": Measure("DNSMOS P.808", digits=2),
    "listener": Measure("listener"),
    "expected": Measure("listener's score", digits=2),
    "sentiment": Measure("words' sentiment", digits=2),
}


def measure(name: str) -> Measure:
    """The measure called `name`; an unknown one is shown under its own name."""
    return _MEASURES.get(name) or _MEASURES.get(name.rsplit("/", 1)[-1]) or Measure(name.replace("_", " "))


def in_order(names: object) -> list[str]:
    """Metric names with the well-known ones first, in their usual order, then the others by alphabet."""
    known = {name: place for place, name in enumerate(_MEASURES)}
    return sorted(names, key=lambda name: (known.get(name, len(known)), name))  # type: ignore[call-overload]


def duration_text(seconds: float) -> str:
    """`75` as `1:15`, `3700` as `1:01:40`."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
