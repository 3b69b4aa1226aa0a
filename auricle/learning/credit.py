"""Credit in time: a judge that says WHERE something is wrong blames the knots there, and not the whole clip.

With a coarse 1-5 score this raised the cosine between estimated and true gradient from .67 to .82 (docs/design.md); the baseline is taken
per knot among the samples of a scene, so that what all samples suffer from (the scene's own noise) blames none of them.
"""

import itertools
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64

from auricle.judging.verdict import Span


def span_penalties(
    spans: Sequence[Span], knot_times_s: Float64[np.ndarray, " knots"], artefact_weights: Mapping[str, float] | None = None
) -> Float32[np.ndarray, " knots"]:
    """Each knot's share of its influence that falls into a span, from 0 (none) down to -1 (all of it).

    A knot acts on the mask like a triangle that reaches its neighbours (linear interpolation), so a span is weighed by that triangle.
    artefact_weights: how bad each artefact is, 1 where it is not named; of overlapping spans the worst counts. Times outside the clip and
    reversed or non-finite spans are ignored.
    """
    times = np.asarray(knot_times_s, dtype=np.float64)
    penalties = np.zeros(len(times))
    if len(times) == 0:
        return penalties.astype(np.float32)
    left = np.diff(times, prepend=times[0])
    right = np.diff(times, append=times[-1])
    mass = np.maximum(left + right, 1e-9) / 2
    for low, high, weight in _worst_pieces(spans, artefact_weights or {}):
        covered = _triangle_integral(times, left, right, high) - _triangle_integral(times, left, right, low)
        penalties -= weight * covered / mass
    return np.clip(penalties, -1.0, 0.0).astype(np.float32)


def time_credit(
    penalties: Float[np.ndarray, "rows knots"], groups: Sequence[Hashable], valid: Bool[np.ndarray, " rows"], spread_floor: float
) -> Float64[np.ndarray, "rows knots"]:
    """Penalties minus their mean per knot among the valid samples of the same scene, in units of their spread over the batch.

    Rows that are not valid, and lone samples, get 0.
    """
    centred = np.zeros(penalties.shape, dtype=np.float64)
    for rows in group_rows(groups).values():
        used = rows[valid[rows] & np.isfinite(penalties[rows]).all(axis=1)]
        if len(used) >= 2:
            centred[used] = penalties[used] - penalties[used].mean(axis=0, dtype=np.float64)
    touched = centred[np.abs(centred).sum(axis=1) > 0]
    spread = float(np.sqrt(np.mean(np.square(touched)))) if touched.size else 0.0
    return centred / max(spread, spread_floor)


def group_rows(groups: Sequence[Hashable]) -> dict[Hashable, np.ndarray]:
    """The row numbers of each group, in the order of first appearance."""
    members: dict[Hashable, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    return {group: np.array(rows, dtype=np.int64) for group, rows in members.items()}


def _worst_pieces(spans: Sequence[Span], weights: Mapping[str, float]) -> list[tuple[float, float, float]]:
    """Disjoint pieces (start, end, weight), each with the weight of the worst span that covers it."""
    usable = [
        (span.start_s, span.end_s, weights.get(span.artefact, 1.0))
        for span in spans
        if np.isfinite([span.start_s, span.end_s]).all() and span.end_s > span.start_s
    ]
    edges = sorted({edge for start, end, _ in usable for edge in (start, end)})
    pieces = []
    for low, high in itertools.pairwise(edges):
        weight = max((w for start, end, w in usable if start <= low and high <= end), default=0.0)
        if weight > 0:
            pieces.append((low, high, weight))
    return pieces


def _triangle_integral(times: np.ndarray, left: np.ndarray, right: np.ndarray, until: float) -> np.ndarray:
    """The area of each knot's triangle (height 1, feet at its neighbours) to the left of `until`."""
    rising = np.clip(until - (times - left), 0.0, left)
    falling = np.clip((times + right) - until, 0.0, right)
    safe_left, safe_right = np.maximum(left, 1e-12), np.maximum(right, 1e-12)
    return rising**2 / (2 * safe_left) + (right - falling**2 / safe_right) / 2
