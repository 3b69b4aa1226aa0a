"""How much of a score hangs on what should not matter (the wording), and whether who listens matters as much as it does for people."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from auricle.metrics.agreement import mean_absolute_error, pearson, spearman

LEAST_CLIPS = 3


@dataclass(frozen=True)
class WordingEffect:
    """One wording beside the first. clips: those scored in both; asked: those asked. shift: mean difference to the first wording;
    difference: mean absolute one; with_first, with_people: Pearson's correlations, NaN with fewer than three clips."""

    wording: int
    asked: int
    clips: int
    shift: float
    difference: float
    with_first: float
    with_people: float


def wording_effects(
    scores: Float[np.ndarray, "wordings clips"], people: Float[np.ndarray, " clips"], names: Sequence[int] | None = None
) -> list[WordingEffect]:
    """The effect of each wording; NaN scores (failed) are left out and show in `clips`."""
    effects = []
    for place, row in enumerate(scores):
        both = np.isfinite(row) & np.isfinite(scores[0])
        enough = both.sum() >= LEAST_CLIPS
        effects.append(
            WordingEffect(
                wording=place if names is None else names[place],
                asked=scores.shape[1],
                clips=int(both.sum()),
                shift=float((row[both] - scores[0][both]).mean()) if enough else float("nan"),
                difference=mean_absolute_error(row[both], scores[0][both]) if enough else float("nan"),
                with_first=pearson(row[both], scores[0][both]) if enough else float("nan"),
                with_people=pearson(row[both], people[both]) if enough else float("nan"),
            )
        )
    return effects


@dataclass(frozen=True)
class ProfileSpread:
    """Scores by profile beside people's votes. means, pearsons: each profile's mean score and its correlation with people's mean.

    spread: mean over clips of the standard deviation over profiles; people: mean over the same clips of the votes' standard deviation;
    pearson, spearman: whether clips on which profiles differ are those on which people do. clips: scored by all profiles, with votes known.
    """

    asked: int
    clips: int
    means: Mapping[str, float]
    pearsons: Mapping[str, float]
    spread: float
    people: float
    pearson: float
    spearman: float


def profile_spread(
    scores: Mapping[str, Float[np.ndarray, " clips"]], people: Float[np.ndarray, " clips"], spreads: Float[np.ndarray, " clips"]
) -> ProfileSpread | None:
    """None where fewer than three clips have a score from every profile and a known spread of votes."""
    table = np.stack(list(scores.values()))
    usable = np.isfinite(table).all(axis=0) & np.isfinite(spreads) & np.isfinite(people)
    if usable.sum() < LEAST_CLIPS:
        return None
    over_profiles = table[:, usable].std(axis=0)
    return ProfileSpread(
        asked=len(people),
        clips=int(usable.sum()),
        means={name: float(row[usable].mean()) for name, row in scores.items()},
        pearsons={name: pearson(row[usable], people[usable]) for name, row in scores.items()},
        spread=float(over_profiles.mean()),
        people=float(spreads[usable].mean()),
        pearson=pearson(over_profiles, spreads[usable]),
        spearman=spearman(over_profiles, spreads[usable]),
    )
