"""How far a panel's judges agree on one batch: the spread that a lower bound subtracts, and what the log tells.

Judges that were trained apart seldom share their blind spots. Where one of them likes a sample much more than the others do, its liking is
more likely a hack than a gain, so a reward may be the mean of the judges minus some of their standard deviation (the ensemble lower bound
of Coste et al. 2024, arXiv 2310.02743, section 3, "uncertainty-weighted optimization", there over copies of one reward model).

Copies of one model share a scale; judges do not, nor their tastes in scenes (a noisy one costs SI-SDR ten decibels and a listener half a
point). So what is compared is each judge's difference from the baseline, which is what it rewards, in units of that difference's spread
over the batch: under the baseline `group` a sample beside its siblings. Then neither a judge's scale nor its opinion of a scene counts.
"""

from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float, Float64

from auricle.metrics.agreement import spearman

FEWEST_ROWS = 3


def disagreement(units: Float[np.ndarray, "rows parts"], weights: Float[np.ndarray, " parts"]) -> Float64[np.ndarray, " rows"]:
    """The standard deviation over the parts of each row, weighted by the absolute weights.

    units: each part's difference from the baseline minus its mean over the batch, in units of its own spread. A part of negative weight is
    turned round first: it agrees with the others when it falls. Of two parts of equal weight, mean - deviation is the smaller one.
    """
    share = np.abs(weights) / np.abs(weights).sum()
    turned = units * np.sign(weights)
    mean = turned @ share
    return np.sqrt(np.square(turned - mean[:, None]) @ share)


def rank_correlations(
    differences: Float[np.ndarray, "rows parts"], kept: Bool[np.ndarray, " rows"], weights: Float[np.ndarray, " parts"]
) -> dict[tuple[int, int], float]:
    """Spearman's correlation of each pair of parts over the kept rows; pairs of which one is constant are left out."""
    used = (differences * np.sign(weights))[kept]
    if len(used) < FEWEST_ROWS:
        return {}
    found = {(left, right): spearman(used[:, left], used[:, right]) for left, right in combinations(range(used.shape[1]), 2)}
    return {pair: value for pair, value in found.items() if np.isfinite(value)}
