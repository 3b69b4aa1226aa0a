"""How a judge's scores agree with people's, by dimension: MAE, RMSE, Pearson, Spearman with intervals, and the share it could score.

Files and conditions: a condition is the mean over its files, as ITU-T P.1401 compares models. Speakers or conditions are drawn whole in the
bootstrap where the table names them. No figure stands without its coverage: what did not parse is counted, never left out unseen.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from auricle.metrics.agreement import mean_absolute_error, pearson, root_mean_square_error, spearman
from auricle.metrics.intervals import Estimate, statistic_interval
from auricle.ratings.record import RatedClip

MEASURES: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "mae": mean_absolute_error,
    "rmse": root_mean_square_error,
    "pearson": pearson,
    "spearman": spearman,
}
LEAST_ROWS = 3

ALSO_CALLED: Mapping[str, tuple[str, ...]] = {
    "mos": ("overall",),
    "overall": ("mos",),
    "bak": ("noisiness", "background noise", "noise"),
    "sig": ("distortion", "coloration"),
    "noisiness": ("background noise", "noise", "bak"),
    "coloration": ("colouration",),
    "discontinuity": ("continuity",),
    "background noise": ("noisiness", "noise", "bak"),
    "continuity": ("discontinuity",),
}
"""Dimensions of other tests that ask people for much the same; compared where a judge has no score under the table's own name."""


@dataclass(frozen=True)
class Heard:
    """What a judge said of one rated clip. scores: by dimension, empty where it failed; reason: why, in one word. text: its words."""

    clip: RatedClip
    scores: Mapping[str, float]
    reason: str = ""
    text: str = ""


@dataclass(frozen=True)
class DimensionAgreement:
    """One dimension, at the level of files or of conditions. judged: the judge's dimension. rated: clips that people scored; parsed: those
    of them that the judge scored. measures: by name; empty with fewer than three scores."""

    dimension: str
    judged: str
    level: str
    rated: int
    parsed: int
    measures: Mapping[str, Estimate]

    @property
    def coverage(self) -> float:
        """Share of the rated clips that the judge could score, 0-1."""
        return self.parsed / self.rated if self.rated else float("nan")


def agreement(heard: Sequence[Heard], *, resamples: int = 1_000, seed: int = 0) -> list[DimensionAgreement]:
    """Every dimension that people rated and the judge scores; files, then conditions where the table names at least three."""
    dimensions = dict.fromkeys(name for one in heard for name in one.clip.scores)
    known = {name for one in heard for name in one.scores}
    tables = []
    for dimension in dimensions:
        judged = next((name for name in (dimension, *ALSO_CALLED.get(dimension, ())) if name in known), None)
        if judged is None:
            continue
        rows = [one for one in heard if dimension in one.clip.scores]
        tables.append(_files(rows, dimension, judged, resamples, seed))
        if (conditions := _conditions(rows, dimension, judged, resamples, seed)) is not None:
            tables.append(conditions)
    return tables


def measure(
    truth: Float[np.ndarray, " rows"],
    judged: Float[np.ndarray, " rows"],
    clusters: Sequence[str] | None = None,
    *,
    resamples: int = 1_000,
    seed: int = 0,
) -> dict[str, Estimate]:
    """All measures with bootstrap intervals; empty with fewer than three rows. NaN rows are left out."""
    if np.isfinite(truth + judged).sum() < LEAST_ROWS:
        return {}
    return {
        name: statistic_interval(statistic, judged, truth, clusters, resamples=resamples, seed=seed) for name, statistic in MEASURES.items()
    }


def _files(rows: Sequence[Heard], dimension: str, judged: str, resamples: int, seed: int) -> DimensionAgreement:
    truth = np.array([one.clip.scores[dimension] for one in rows])
    scores = np.array([one.scores.get(judged, np.nan) for one in rows])
    names = [one.clip.condition or str(index) for index, one in enumerate(rows)]
    measures = measure(truth, scores, names, resamples=resamples, seed=seed)
    return DimensionAgreement(dimension, judged, "file", len(rows), int(np.isfinite(scores).sum()), measures)


def _conditions(rows: Sequence[Heard], dimension: str, judged: str, resamples: int, seed: int) -> DimensionAgreement | None:
    """Means over the files that the judge scored; a condition without any counts as not parsed."""
    names = list(dict.fromkeys(one.clip.condition for one in rows if one.clip.condition))
    if len(names) < LEAST_ROWS:
        return None
    truth, scores = np.full(len(names), np.nan), np.full(len(names), np.nan)
    for place, name in enumerate(names):
        own = [one for one in rows if one.clip.condition == name]
        parsed = [one for one in own if judged in one.scores]
        if parsed:
            truth[place] = np.mean([one.clip.scores[dimension] for one in parsed])
            scores[place] = np.mean([one.scores[judged] for one in parsed])
    parsed_count = int(np.isfinite(scores).sum())
    return DimensionAgreement(
        dimension, judged, "condition", len(names), parsed_count, measure(truth, scores, resamples=resamples, seed=seed)
    )
