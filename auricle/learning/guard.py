"""The guard: metrics that are measured on held-out scenes and never optimised.

A run is stopped when the panel's score has risen while a guard metric has clearly fallen (Goodhart's law: the judge is being fooled).
The checkpoint kept as the best is the one with the highest panel score among those whose guards stand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import NonNegativeFloat, PositiveInt

from auricle.config import Config


class GuardConfig(Config):
    """What is watched, how often, and how much of a fall is borne."""

    every: PositiveInt = 10
    """Steps between two measurements; a checkpoint is written at each."""
    scenes: PositiveInt = 24
    """Held-out scenes measured."""
    metrics: tuple[str, ...] = ("pesq", "stoi", "si_sdr", "dnsmos_fast_ovrl")
    """Metrics measured; the intrusive ones only where held-out scenes have clean targets. dnsmos_fast_ovrl is DNSMOS in one pass over the
    clip as it is, dnsmos_ovrl in the official windows, ten times slower."""
    stop: bool = True
    """Whether a fallen guard stops the run; false only writes it down."""
    tolerance: dict[str, NonNegativeFloat] = {"pesq": 0.05, "stoi": 0.01, "si_sdr": 0.5, "dnsmos_fast_ovrl": 0.05, "dnsmos_ovrl": 0.05}
    """Guard metrics, each with the mean fall that is borne, in the metric's own unit (SI-SDR: dB)."""
    patience: PositiveInt = 2
    """Consecutive measurements with a guard fallen, and the panel risen, that stop the run."""


@dataclass(frozen=True)
class Measurement:
    """Scores of the same held-out scenes, in the same order, after `step` steps: metric -> [scenes], NaN where it failed.

    `panel` is the panel's score; the others are guards.
    """

    step: int
    scores: Mapping[str, Sequence[float]]

    def means(self) -> dict[str, float]:
        """Each score's mean over the scenes where it is known; scores known nowhere are left out."""
        known = {name: [value for value in values if np.isfinite(value)] for name, values in self.scores.items()}
        return {name: float(np.mean(values)) for name, values in known.items() if values}


@dataclass(frozen=True)
class Judgement:
    """What a measurement means. change: metric -> mean paired change since the start; sentence is set where the run has to stop."""

    step: int
    change: dict[str, float]
    fallen: tuple[str, ...]
    is_best: bool
    sentence: str = ""


class GuardMonitor:
    """A pure state machine over measurements; the first one is the starting point."""

    def __init__(self, config: GuardConfig) -> None:
        self._config = config
        self._start: Measurement | None = None
        self._best = -np.inf
        self._strikes = 0

    def add(self, measurement: Measurement) -> Judgement:
        """Take the next measurement. A guard has fallen where its mean paired change, plus two standard errors, lies below -tolerance;
        the panel has risen where its mean paired change is above zero."""
        if self._start is None:
            if measurement.step != 0:
                raise ValueError(f"the first measurement is of step {measurement.step}; the guard needs the pretrained policy's, of step 0")
            self._start = measurement
        change, error = {}, {}
        for name, values in measurement.scores.items():
            if name in self._start.scores:  # else it failed on every scene then, and there is nothing to compare with
                change[name], error[name] = paired_change(self._start.scores[name], values)
        fallen = tuple(name for name, borne in self._config.tolerance.items() if name in change and change[name] + 2 * error[name] < -borne)
        panel = change.get("panel", 0.0)
        self._strikes = self._strikes + 1 if fallen and panel > 0 else 0
        # Stricter than `fallen`: what may be noise does not stop a run, but does not make a best checkpoint either.
        borne = all(change[name] >= -limit for name, limit in self._config.tolerance.items() if np.isfinite(change.get(name, np.nan)))
        is_best = borne and panel > self._best
        if is_best:
            self._best = panel
        sentence = self._explain(change, fallen, measurement.step) if self._strikes >= self._config.patience else ""
        return Judgement(measurement.step, change, fallen, is_best, sentence)

    def _explain(self, change: Mapping[str, float], fallen: Sequence[str], step: int) -> str:
        falls = ", ".join(f"{name} fell by {-change[name]:.3f} (borne: {self._config.tolerance[name]:g})" for name in fallen)
        return (
            f"stopped by the guard after step {step}: on held-out scenes the panel's score rose by {change['panel']:.3f} while {falls}, "
            f"{self._strikes} measurements running; the judge is being fooled. The best checkpoint before that is kept "
            "(checkpoints/best.json)"
        )


def paired_change(before: Sequence[float], after: Sequence[float]) -> tuple[float, float]:
    """Mean of after - before over the scenes where both are known, and its standard error (infinite for fewer than two)."""
    difference = np.asarray(after, float) - np.asarray(before, float)
    difference = difference[np.isfinite(difference)]
    if len(difference) == 0:
        return float("nan"), float("inf")
    error = float(difference.std(ddof=1) / np.sqrt(len(difference))) if len(difference) > 1 else float("inf")
    return float(difference.mean()), error
