"""Made-up tables of features, to learn quoting from: what stands in a rendering, in the words of the rendering.

In speech most shares can be guessed from their claim (few vowels are ever at their lowest), so that a model which learns from clips alone
learns to guess before it learns to look. Here nothing can be guessed. What a drill has no truth for, whether something is an issue, the
judgement and the score, is not learned from it.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from auricle.gsrm.answers import Answer
from auricle.gsrm.features import CLIP_MEASURES, VOWEL_FEATURES
from auricle.gsrm.findings import SUBJECT_WORDS, Findings
from auricle.gsrm.lessons import Record, true_answer
from auricle.gsrm.normalisation import NO_BIN

MOST_VOWELS = 20
UNMEASURED_SHARE = 0.03
_VOICED = 3
"""The first features are pitch's, and not measured where there is no voice."""


def made_up(rng: np.random.Generator) -> Findings:
    """A table that no clip has: any decile as likely as another, vowels in any bins."""
    vowels = int(rng.integers(1, MOST_VOWELS + 1))
    bins = np.empty((vowels, len(VOWEL_FEATURES)), dtype=np.int64)
    for column, name in enumerate(VOWEL_FEATURES):
        words = len(SUBJECT_WORDS[name])
        bins[:, column] = rng.choice(words, size=vowels, p=rng.dirichlet(np.full(words, 0.5)))
    unvoiced = int(rng.integers(vowels + 1)) if rng.random() < 0.3 else 0
    bins[:unvoiced, :_VOICED] = NO_BIN
    deciles = rng.integers(10, size=len(CLIP_MEASURES))
    deciles[rng.random(len(deciles)) < UNMEASURED_SHARE] = NO_BIN
    duration_s = float(rng.uniform(1.0, 3.0))
    return Findings(duration_s, duration_s * float(rng.uniform(0.3, 1.0)), unvoiced, bins, deciles)


def drills(records: Sequence[Record], count: int, seed: int, *, pitch: bool = True) -> list[tuple[Findings, Answer]]:
    """Tables with true answers. In half of them whatever is notable is an issue, in half what a record drawn at random was damaged in."""
    rng = np.random.default_rng([seed, 11])
    made = []
    for place in range(count):
        table, like = made_up(rng), records[int(rng.integers(len(records)))]
        subjects = tuple(SUBJECT_WORDS) if place % 2 else like.subjects
        made.append((table, true_answer(replace(like, subjects=subjects), table, pitch=pitch)))
    return made
