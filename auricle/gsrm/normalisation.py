"""From measurements to words: features are normalised by speaker, then by type of vowel, and fall into the paper's bins.

GSRM (arXiv 2602.13891): pitch level is binned in Hz, at 85, 110, 160, 220, 280 and 390; slope at the 25th and 75th percentile; the others
at the 10th, 25th, 75th and 90th, after both normalisations. A judge hears one clip of a talker it does not know, so the speaker's mean and
spread are the clip's own, drawn towards the population's: as if `prior_vowels` more vowels of an average talker had been heard.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int64
from pydantic import Field, field_validator

from auricle.config import Config
from auricle.errors import CheckpointError
from auricle.gsrm.features import CLIP_MEASURES, VOWEL_FEATURES, Measured

PITCH_EDGES_HZ = (85.0, 110.0, 160.0, 220.0, 280.0, 390.0)
SLOPE_PERCENTILES = (25.0, 75.0)
PERCENTILES = (10.0, 25.0, 75.0, 90.0)
DECILES = tuple(float(percent) for percent in range(10, 100, 10))

PITCH_WORDS = ("below 85 Hz", "85-110 Hz", "110-160 Hz", "160-220 Hz", "220-280 Hz", "280-390 Hz", "above 390 Hz")
SLOPE_WORDS = ("falling", "level", "rising")
GRADE_WORDS = ("lowest", "low", "usual", "high", "highest")
FEATURE_WORDS: Mapping[str, tuple[str, ...]] = {
    "pitch": PITCH_WORDS,
    "pitch slope": SLOPE_WORDS,
    **dict.fromkeys(("pitch variation", "intensity", "intensity variation", "duration"), GRADE_WORDS),
}
"""The words of each feature's bins, from low to high."""
NO_BIN = -1
"""The bin of what could not be measured."""

_PITCH = VOWEL_FEATURES.index("pitch")


class Spread(Config):
    """Mean and standard deviation of the six features."""

    mean: tuple[float, ...] = Field(min_length=6, max_length=6)
    deviation: tuple[float, ...] = Field(min_length=6, max_length=6)

    @field_validator("deviation")
    @classmethod
    def _positive(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not all(deviation > 0 for deviation in value):
            raise ValueError("a deviation is not above 0; fit on more than one vowel")
        return value


class Norms(Config):
    """What features are compared with; written beside the judge's model, which has learned with just these."""

    prior_vowels: float = Field(default=25.0, ge=0.0)
    """Vowels of an average talker that the clip's own are averaged with."""
    population: Spread
    """Of all vowels of the training speech; pitch in semitones re 1 Hz, duration as its natural logarithm."""
    kinds: dict[str, Spread]
    """Of each kind of vowel, after the speaker's normalisation."""
    edges: dict[str, tuple[float, ...]]
    """Percentiles of every feature but pitch, after both normalisations; and deciles of the clip's measures."""

    @property
    def measures(self) -> tuple[str, ...]:
        """Those of CLIP_MEASURES that were fitted: a checkpoint of an earlier version knows fewer."""
        return tuple(name for name in CLIP_MEASURES if name in self.edges)

    def speaker(self, clips: Iterable[Measured]) -> Spread:
        """The spread of one talker's vowels, drawn towards the population's. Clips: all that is known of the talker."""
        values = np.concatenate([_raw(clip) for clip in clips])
        means, deviations = [], []
        for column, (mean, deviation) in enumerate(zip(self.population.mean, self.population.deviation, strict=True)):
            known = values[np.isfinite(values[:, column]), column]
            total = max(len(known) + self.prior_vowels, 1e-9)
            own = (known.sum() + self.prior_vowels * mean) / total
            square = (np.square(known - own).sum() + self.prior_vowels * (deviation**2 + (mean - own) ** 2)) / total
            means.append(float(own))
            deviations.append(float(np.sqrt(max(square, 1e-6))))
        return Spread(mean=tuple(means), deviation=tuple(deviations))

    def normalised(self, clip: Measured, speaker: Spread | None = None) -> Float[np.ndarray, "vowels 6"]:
        """Z-scores by speaker (None: the clip is all that is known of the talker), then by kind of vowel."""
        spread = speaker or self.speaker([clip])
        scores = (_raw(clip) - np.array(spread.mean)) / np.array(spread.deviation)
        for row, vowel in enumerate(clip.vowels):
            kind = self.kinds.get(vowel.kind)
            if kind is not None:
                scores[row] = (scores[row] - np.array(kind.mean)) / np.array(kind.deviation)
        return scores

    def bins(self, clip: Measured, speaker: Spread | None = None) -> Int64[np.ndarray, "vowels 6"]:
        """The bin of every feature of every vowel; NO_BIN where it could not be measured."""
        scores = self.normalised(clip, speaker)
        found = np.full(scores.shape, NO_BIN, dtype=np.int64)
        for column, name in enumerate(VOWEL_FEATURES):
            values, edges = (clip.values[:, _PITCH], PITCH_EDGES_HZ) if column == _PITCH else (scores[:, column], self.edges[name])
            known = np.isfinite(values)
            found[known, column] = np.searchsorted(edges, values[known], side="right")
        return found

    def deciles(self, clip: Measured) -> Int64[np.ndarray, " measures"]:
        """The decile, 0-9, of each of CLIP_MEASURES among the training clips; NO_BIN where it could not be measured, or was not fitted."""
        return np.array(
            [
                NO_BIN if not np.isfinite(value) or name not in self.edges else np.searchsorted(self.edges[name], value, side="right")
                for name, value in zip(CLIP_MEASURES, clip.clip, strict=True)
            ],
            dtype=np.int64,
        )


def fit_norms(clips: Sequence[Measured], *, prior_vowels: float = 25.0) -> Norms:
    """Norms of a body of speech. Raises CheckpointError where it has fewer than 20 vowels."""
    values = np.concatenate([_raw(clip) for clip in clips])
    if len(values) < 20:
        raise CheckpointError(f"gsrm norms: {len(values)} vowels in {len(clips)} clips; at least 20 are needed")
    norms = Norms(prior_vowels=prior_vowels, population=_spread(values), kinds={}, edges={})
    scores = np.concatenate([norms.normalised(clip) for clip in clips])
    kinds = np.array([vowel.kind for clip in clips for vowel in clip.vowels])
    # A kind that is hardly ever met keeps the speaker's scale: its own would be noise.
    common = [str(kind) for kind in np.unique(kinds) if np.count_nonzero(kinds == kind) >= 20]
    norms = norms.model_copy(update={"kinds": {kind: _spread(scores[kinds == kind]) for kind in common}})
    scores = np.concatenate([norms.normalised(clip) for clip in clips])
    edges: dict[str, tuple[float, ...]] = {"pitch": PITCH_EDGES_HZ}
    for column, name in enumerate(VOWEL_FEATURES):
        if name != "pitch":
            edges[name] = _percentiles(scores[:, column], SLOPE_PERCENTILES if name == "pitch slope" else PERCENTILES)
    measures = np.stack([clip.clip for clip in clips])
    edges |= {name: _percentiles(measures[:, column], DECILES) for column, name in enumerate(CLIP_MEASURES)}
    return norms.model_copy(update={"edges": edges})


def _raw(clip: Measured) -> np.ndarray:
    """The features on scales on which means make sense."""
    values = clip.values.copy()
    values[:, _PITCH] = 12 * np.log2(values[:, _PITCH])
    values[:, VOWEL_FEATURES.index("duration")] = np.log(values[:, VOWEL_FEATURES.index("duration")])
    return values


def _spread(values: np.ndarray) -> Spread:
    return Spread(
        mean=tuple(np.nan_to_num(np.nanmean(values, axis=0)).tolist()),
        deviation=tuple(np.maximum(np.nan_to_num(np.nanstd(values, axis=0), nan=1.0), 1e-3).tolist()),
    )


def _percentiles(values: np.ndarray, percents: Sequence[float]) -> tuple[float, ...]:
    return tuple(float(edge) for edge in np.nanpercentile(values, percents))
