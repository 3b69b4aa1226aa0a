"""The guard: metrics that are measured on held-out scenes and never optimised.

A run is stopped when the panel's score has risen while a guard metric has clearly fallen (Goodhart's law: the judge is being fooled).
The checkpoint kept as the best is the one with the highest panel score among those whose guards stand.

A metric guards where the start has scores of it on enough held-out scenes (`scenes_needed`): of one scene no fall can be told from noise,
and its failing later would say nothing. What has scores on fewer is measured, and never judged by; where that is every metric, or the
panel, the measurement is no starting point.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from auricle.config import Config
from auricle.metrics.intervals import mean_error

LEAST_PAIRED = 0.5
"""Share of the scenes with a score at the start that must have one later: else nothing is known of the guard, and it does not stand."""
LEAST_SCENES = 5
"""Held-out scenes with a score at the start that make a metric a guard; where fewer than ten are measured, half of them."""


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
    """Consecutive measurements with a guard fallen, and the panel risen, that stop the run; or with a guard without scores."""
    timeout_s: PositiveFloat = 900.0
    """Longest time for one measurement, in seconds: then it is lost, and the meter is started anew."""


@dataclass(frozen=True)
class Measurement:
    """Scores of the same held-out scenes, in the same order, after `step` steps: metric -> [scenes], NaN where it failed.

    `panel` is the panel's score; the others are guards. clusters: each scene's speaker (the scene itself where nobody knows), whose scenes
    are no independent witnesses; empty: every scene for itself. notes: what people should know of it, such as scenes that were left out.
    """

    step: int
    scores: Mapping[str, Sequence[float]]
    clusters: Sequence[str] = ()
    notes: Sequence[str] = ()

    @property
    def scenes(self) -> int:
        """Held-out scenes measured, those that failed included."""
        return max((len(values) for values in self.scores.values()), default=0)

    def known(self, name: str) -> np.ndarray:
        """Places of the scenes that have this score."""
        return np.flatnonzero(np.isfinite(np.asarray(self.scores.get(name, ()), float)))

    def means(self) -> dict[str, float]:
        """Each score's mean over the scenes where it is known; scores known nowhere are left out."""
        known = {name: [value for value in values if np.isfinite(value)] for name, values in self.scores.items()}
        return {name: float(np.mean(values)) for name, values in known.items() if values}


def scenes_needed(scenes: int) -> int:
    """Scores on so many of the held-out scenes make a metric a guard: LEAST_SCENES, or half of fewer than ten; never fewer than two."""
    return max(2, min(LEAST_SCENES, math.ceil(scenes / 2)))


def guarding(start: Measurement, config: GuardConfig) -> tuple[str, ...]:
    """The metrics whose fall since the start can be told."""
    return tuple(name for name in config.tolerance if len(start.known(name)) >= scenes_needed(start.scenes))


def emptiness(measurement: Measurement, config: GuardConfig) -> str:
    """Why nothing can be judged by a measurement, in one sentence; empty where something can. Of the start more is asked (`guarding`)."""
    scenes, panel = measurement.scenes, len(measurement.known("panel"))
    if not panel:
        return "the panel gave no score on any held-out scene"
    known = {name: len(measurement.known(name)) for name in config.tolerance}
    if not any(known.values()):
        return f"no guard metric ({', '.join(config.tolerance)}) gave a score on any held-out scene"
    if measurement.step:
        return ""
    needed = scenes_needed(scenes)
    if panel < needed:
        return f"the panel gave a score on only {panel} of {scenes} held-out scenes; a start needs {needed}"
    if not guarding(measurement, config):
        said = ", ".join(f"{name} on {count}" for name, count in known.items() if count)
        return (
            f"no guard metric gave scores on enough of the {scenes} held-out scenes to tell a fall by ({said}; needed: {needed}); give "
            "more held-out scenes, or metrics that can be had on them (guard.metrics)"
        )
    return ""


def weaknesses(start: Measurement, config: GuardConfig) -> list[str]:
    """What people should know of the starting point, in sentences: metrics that guard nothing, and those that see some scenes only."""
    strong, scenes = guarding(start, config), start.scenes
    known = {name: len(start.known(name)) for name in config.metrics if name in config.tolerance}
    sentences = []
    if absent := [name for name, count in known.items() if not count]:
        sentences.append(f"{', '.join(absent)} gave no score at the start on any held-out scene, so it guards nothing")
    for name, count in known.items():
        if 0 < count < scenes and name not in strong:
            sentences.append(
                f"{name} was scored on only {count} of {scenes} held-out scenes at the start (needed: {scenes_needed(scenes)}), so it "
                "guards nothing: no fall of it stops the run, and it has no say in which checkpoint is the best"
            )
    if some := [f"{name} on {known[name]}" for name in strong if known.get(name, scenes) < scenes]:
        sentences.append(f"of {scenes} held-out scenes the start has scores of {', '.join(some)} only; the others are not guarded by it")
    return sentences


@dataclass(frozen=True)
class Judgement:
    """What a measurement means.

    change: metric -> mean paired change since the start. fallen, unknown: guards that clearly fell, and those that had scores at the start
    and have none now (or on too few scenes): nobody can say that they stand. sentence is set where the run has to stop.
    """

    step: int
    change: dict[str, float]
    fallen: tuple[str, ...]
    unknown: tuple[str, ...]
    is_best: bool
    sentence: str = ""


class GuardMonitor:
    """A pure state machine over measurements; the first one is the starting point."""

    def __init__(self, config: GuardConfig) -> None:
        self._config = config
        self._start: Measurement | None = None
        self._guarding: tuple[str, ...] = ()
        self._best = -np.inf
        self._strikes = self._blind = 0

    def add(self, measurement: Measurement) -> Judgement:
        """Take the next measurement. A guard has fallen where its mean paired change, plus two standard errors, lies below -tolerance;
        the panel has risen where its mean paired change is above zero. Raises ValueError where the first one is no starting point."""
        if self._start is None:
            if measurement.step != 0:
                raise ValueError(f"the first measurement is of step {measurement.step}; the guard needs the pretrained policy's, of step 0")
            if empty := emptiness(measurement, self._config):
                raise ValueError(f"the pretrained policy's measurement is no starting point: {empty}")
            self._start, self._guarding = measurement, guarding(measurement, self._config)
        change, error = {}, {}
        for name, values in measurement.scores.items():
            if name in self._start.scores:  # else it failed on every scene then, and there is nothing to compare with
                change[name], error[name] = paired_change(self._start.scores[name], values, self._start.clusters)
        unknown = self._unknown(self._start, measurement)
        limits = {name: self._config.tolerance[name] for name in self._guarding if name in change and name not in unknown}
        fallen = tuple(name for name, borne in limits.items() if change[name] + 2 * error[name] < -borne)
        # One lucky scene is no panel: neither a best checkpoint nor a rise can be told from too few of them.
        panel = change.get("panel", float("nan")) if _paired_enough(self._start, measurement, "panel") else float("nan")
        self._strikes = self._strikes + 1 if fallen and panel > 0 else 0
        self._blind = self._blind + 1 if unknown else 0
        # Stricter than `fallen`: what may be noise does not stop a run, but does not make a best checkpoint either.
        borne = not unknown and all(change[name] >= -limit for name, limit in limits.items() if np.isfinite(change[name]))
        is_best = bool(borne and panel > self._best)
        if is_best:
            self._best = panel
        sentence = ""
        if self._strikes >= self._config.patience:
            sentence = self._explain(change, fallen, measurement.step)
        elif self._blind >= self._config.patience:
            sentence = (
                f"stopped by the guard after step {measurement.step}: {', '.join(unknown)} gave no scores any more on most of the held-out "
                f"scenes, {self._blind} measurements running; whether the judge is being fooled cannot be told"
            )
        return Judgement(measurement.step, change, fallen, unknown, is_best, sentence)

    def _unknown(self, start: Measurement, now: Measurement) -> tuple[str, ...]:
        """Guards that had scores at the start and now have none on too many of those scenes."""
        return tuple(name for name in self._guarding if not _paired_enough(start, now, name))

    def _explain(self, change: Mapping[str, float], fallen: Sequence[str], step: int) -> str:
        falls = ", ".join(f"{name} fell by {-change[name]:.3f} (borne: {self._config.tolerance[name]:g})" for name in fallen)
        return (
            f"stopped by the guard after step {step}: on held-out scenes the panel's score rose by {change['panel']:.3f} while {falls}, "
            f"{self._strikes} measurements running; the judge is being fooled. The best checkpoint before that is kept "
            "(checkpoints/best.json)"
        )


def _paired_enough(start: Measurement, now: Measurement, name: str) -> bool:
    """Whether a score is known both times on most of the scenes where it was known at the start."""
    before = start.known(name)
    return len(np.intersect1d(before, now.known(name))) >= max(1.0, LEAST_PAIRED * len(before))


def paired_change(before: Sequence[float], after: Sequence[float], clusters: Sequence[str] = ()) -> tuple[float, float]:
    """Mean of after - before over the scenes where both are known, and its standard error (infinite for fewer than two).

    Scenes of one speaker share what a policy does to that voice, so the error is the larger one of that over scenes and that over whole
    speakers (clusters): of two or three speakers the latter alone would be close to nothing as often as not.
    """
    difference = np.asarray(after, float) - np.asarray(before, float)
    if not np.isfinite(difference).any():
        return float("nan"), float("inf")
    mean, error = mean_error(difference)
    if clusters:
        by_speaker = mean_error(difference, clusters)[1]
        error = max(error, by_speaker) if np.isfinite(by_speaker) else error
    return mean, error
