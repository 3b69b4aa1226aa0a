"""Figures with their intervals, drawn again by utterance."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from scipy.stats import binomtest

from auricle.metrics.intervals import Estimate, mean_interval

RESAMPLES = 1000


def mean(values: np.ndarray) -> float:
    """The mean of the finite values; NaN where there is none."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")


def mean_of(values: np.ndarray, clusters: Sequence[Hashable]) -> Estimate | None:
    """Their mean with its interval; None where nothing is finite."""
    return mean_interval(values, clusters, resamples=RESAMPLES) if np.isfinite(values).any() else None


def share_of(hits: Iterable[float | bool], clusters: Sequence[Hashable]) -> Estimate | None:
    """A share with its interval, drawn by cluster; where all are alike, Wilson's for as many independent cases as there are clusters."""
    values = np.array([float(hit) for hit in hits])
    if not len(values):
        return None
    if values.min() == values.max():
        wilson = proportion(round(values[0] * len(set(clusters))), len(set(clusters)))
        return Estimate(float(values[0]), wilson.low, wilson.high, len(values), len(set(clusters)))
    found = mean_interval(values, clusters, resamples=RESAMPLES)
    return replace(found, low=max(0.0, found.low), high=min(1.0, found.high))


def proportion(successes: int, cases: int) -> Estimate:
    """A share of independent cases, with Wilson's interval."""
    found = binomtest(successes, cases).proportion_ci(method="wilson")
    return Estimate(successes / cases, float(found.low), float(found.high), cases, cases)


def magnitude(estimate: Estimate | None, around: float = 0.0) -> Estimate | None:
    """How far a figure is from `around`, whichever way."""
    if estimate is None:
        return None
    low, high = estimate.low - around, estimate.high - around
    near = 0.0 if low <= 0.0 <= high else min(abs(low), abs(high))
    return Estimate(abs(estimate.value - around), near, max(abs(low), abs(high)), estimate.rows, estimate.clusters, estimate.left_out)
