"""What the features of a clip come to: the facts that evidence is written from and checked against."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from auricle.gsrm.features import CLIP_MEASURES, VOWEL_FEATURES, Measured
from auricle.gsrm.normalisation import FEATURE_WORDS, GRADE_WORDS, NO_BIN, Norms, Spread

VOICE = "voice"
"""The subject of vowels in which no pitch was found: `voice missing in some vowels`."""
SUBJECT_WORDS: Mapping[str, tuple[str, ...]] = {**FEATURE_WORDS, VOICE: ("missing",), **dict.fromkeys(CLIP_MEASURES, GRADE_WORDS)}
"""All subjects of evidence with the words that may be said of each."""
VOWEL_SUBJECTS = (*VOWEL_FEATURES, VOICE)
PITCH_SUBJECTS = frozenset({"pitch", "pitch variation", "pitch slope", "melody", VOICE})
"""What is said of pitch, and left out where pitch is (the paper's ablation)."""
GRADE_DECILES: Mapping[str, tuple[int, int]] = {"lowest": (0, 0), "low": (1, 2), "usual": (3, 6), "high": (7, 8), "highest": (9, 9)}
"""The first and last decile that a word stands for."""


@dataclass(frozen=True)
class Findings:
    """One clip's facts. bins: of every vowel (NO_BIN: not measured); deciles: of the clip's measures."""

    duration_s: float
    speech_s: float
    unvoiced: int
    bins: Int64[np.ndarray, "vowels 6"]
    deciles: Int64[np.ndarray, " measures"]

    @property
    def vowels(self) -> int:
        """How many."""
        return len(self.bins)

    def share(self, subject: str, word: str) -> float:
        """The share of vowels, 0-1, of which the word is true; NaN where nothing was measured."""
        if not self.vowels:
            return float("nan")
        if subject == VOICE:
            return self.unvoiced / self.vowels
        bins = self.bins[:, VOWEL_FEATURES.index(subject)]
        known = bins[bins != NO_BIN]
        return float(np.mean(known == SUBJECT_WORDS[subject].index(word))) if len(known) else float("nan")

    def decile(self, subject: str) -> int:
        """The decile of a measure of the clip; NO_BIN where it could not be measured."""
        return int(self.deciles[CLIP_MEASURES.index(subject)])


def findings_of(clip: Measured, norms: Norms, speaker: Spread | None = None) -> Findings:
    """The facts of one clip. speaker: what is known of the talker from other clips."""
    return Findings(clip.duration_s, clip.speech_s, clip.unvoiced, norms.bins(clip, speaker), norms.deciles(clip))


def grade_of(decile: int) -> str:
    """The word for a decile."""
    return next(word for word, (low, high) in GRADE_DECILES.items() if low <= decile <= high)
