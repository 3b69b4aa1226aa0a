"""How well two raters agree: correlations and errors of scores, F1 of decisions, overlap of time spans."""

from collections.abc import Callable, Collection, Sequence

import numpy as np
import scipy
from jaxtyping import Bool, Float

from auricle.errors import MetricError

Interval = tuple[float, float]


def pearson(left: Sequence[float] | Float[np.ndarray, " n"], right: Sequence[float] | Float[np.ndarray, " n"]) -> float:
    """Pearson's correlation (PCC), -1 to 1; NaN where one side is constant."""
    a, b = _paired(left, right)
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a @ a) * (b @ b))
    return float(np.clip((a @ b) / scale, -1.0, 1.0)) if scale > 0 else float("nan")


def spearman(left: Sequence[float] | Float[np.ndarray, " n"], right: Sequence[float] | Float[np.ndarray, " n"]) -> float:
    """Spearman's rank correlation (SRCC), ties given their mean rank; NaN where one side is constant."""
    a, b = _paired(left, right)
    return pearson(scipy.stats.rankdata(a), scipy.stats.rankdata(b))


def mean_absolute_error(left: Sequence[float] | Float[np.ndarray, " n"], right: Sequence[float] | Float[np.ndarray, " n"]) -> float:
    """Mean absolute error (MAE), in the scores' unit."""
    a, b = _paired(left, right)
    return float(np.abs(a - b).mean())


def root_mean_square_error(left: Sequence[float] | Float[np.ndarray, " n"], right: Sequence[float] | Float[np.ndarray, " n"]) -> float:
    """Root mean square error (RMSE), in the scores' unit."""
    a, b = _paired(left, right)
    return float(np.sqrt(np.square(a - b).mean()))


CORRELATIONS: dict[str, Callable[..., float]] = {
    "pearson": pearson,
    "spearman": spearman,
    "mae": mean_absolute_error,
    "rmse": root_mean_square_error,
}
"""The measures of agreement between scores, by name."""


def f1(truth: Sequence[bool] | Bool[np.ndarray, " n"], predicted: Sequence[bool] | Bool[np.ndarray, " n"]) -> float:
    """F1 of yes/no decisions, 0-1; NaN where nothing is true and nothing was predicted."""
    a, b = np.asarray(truth, dtype=bool), np.asarray(predicted, dtype=bool)
    if a.shape != b.shape or a.ndim != 1:
        raise MetricError(f"f1: shapes {a.shape} and {b.shape}; expected two lists of the same length")
    positives = np.count_nonzero(a) + np.count_nonzero(b)
    return float(2 * np.count_nonzero(a & b) / positives) if positives else float("nan")


def span_iou(truth: Collection[Interval], predicted: Collection[Interval]) -> float:
    """Intersection over union in time of two sets of (start_s, end_s); spans of one set may overlap. NaN where both are empty."""
    a, b = _merged(truth), _merged(predicted)
    both = sum(max(0.0, min(p_end, t_end) - max(p_start, t_start)) for t_start, t_end in a for p_start, p_end in b)
    union = _length(a) + _length(b) - both
    return both / union if union > 0 else float("nan")


def _merged(spans: Collection[Interval]) -> list[Interval]:
    merged: list[Interval] = []
    for start, end in sorted(spans):
        if end < start:
            raise MetricError(f"span_iou: the span ({start}, {end}) ends before it starts")
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _length(spans: Sequence[Interval]) -> float:
    return sum(end - start for start, end in spans)


def _paired(left: object, right: object) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(left, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape or len(a) < 2:
        raise MetricError(f"agreement: shapes {a.shape} and {b.shape}; expected two lists of the same length, of at least 2 scores")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise MetricError("agreement: a score is NaN or infinite; leave failed judgements out, and count them")
    return a, b
