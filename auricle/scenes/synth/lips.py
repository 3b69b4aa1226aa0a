# ruff: noqa: RUF001 (IPA letters look like Latin ones)
"""What the lips do while phonemes are spoken: a table from articulatory phonetics, and coarticulation.

The table holds only what a camera could see. Sounds that differ in voicing or in the velum alone (p b m; f v; t d n; s z; k g) share a row.
Neighbouring phonemes are blended by dominance functions (Cohen and Massaro, "Modeling coarticulation in synthetic visual speech", 1993):
each phoneme pulls on the lips around its middle, strongly where the lips make the sound (p, f, w), hardly where they do not (k, h).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from auricle.scenes.synth.voice import Phoneme


class Lips(NamedTuple):
    """One shape of the mouth; every field but `spread` lies within 0 to 1.

    opening: gap between the lips. spread: the corners, -1 drawn in to 1 drawn apart. rounding: protruded and round. teeth: the upper teeth
    show. tongue: its tip shows. press: lips pressed together. bite: the lower lip touches the upper teeth.
    """

    opening: float
    spread: float = 0.0
    rounding: float = 0.0
    teeth: float = 0.3
    tongue: float = 0.0
    press: float = 0.0
    bite: float = 0.0


REST = Lips(0.02, teeth=0.0)
_STRONG, _NORMAL, _WEAK, _FAINT = 4.0, 1.0, 0.45, 0.1  # how far a phoneme prevails over its neighbours

# symbols: (shape, dominance)
_TABLE: dict[str, tuple[Lips, float]] = {
    "pbm": (Lips(0.0, teeth=0.0, press=1.0), _STRONG),
    "fvʋ": (Lips(0.12, teeth=0.7, bite=1.0), 3.0),
    "wʍ": (Lips(0.12, -0.3, 1.0, teeth=0.0), 3.0),
    "θð": (Lips(0.26, teeth=0.7, tongue=1.0), 2.0),
    "sz": (Lips(0.16, 0.3, teeth=1.0), 1.5),
    "ʃʒ": (Lips(0.24, -0.2, 0.7, teeth=1.0), 2.5),
    "tdnɾ": (Lips(0.22, 0.1, teeth=0.7, tongue=0.2), _NORMAL),
    "lɫɬ": (Lips(0.32, 0.1, teeth=0.5, tongue=0.6), _NORMAL),
    "ɹr": (Lips(0.26, -0.1, 0.5, teeth=0.4), 1.2),
    "j": (Lips(0.24, 0.6, teeth=0.6), _NORMAL),
    "kɡgŋxç": (Lips(0.32), _WEAK),
    "hʔ": (Lips(0.4), _FAINT),
    "i": (Lips(0.26, 0.9, teeth=0.7), 1.5),
    "ɪ": (Lips(0.34, 0.5, teeth=0.5), _NORMAL),
    "eɛ": (Lips(0.52, 0.5, teeth=0.5), 1.3),
    "aæ": (Lips(0.82, 0.4, teeth=0.5), 1.6),
    "ɐʌ": (Lips(0.62, 0.1), 1.2),
    "əɨᵻ": (Lips(0.36), _WEAK),
    "ɜɝɚ": (Lips(0.4, -0.1, 0.3), _NORMAL),
    "ɑ": (Lips(1.0, 0.05, teeth=0.4), 1.8),
    "ɒ": (Lips(0.8, -0.1, 0.4, teeth=0.2), 1.6),
    "ɔ": (Lips(0.62, -0.2, 0.7, teeth=0.1), 1.6),
    "o": (Lips(0.46, -0.3, 0.85, teeth=0.0), 1.6),
    "ʊ": (Lips(0.3, -0.2, 0.75, teeth=0.0), 1.3),
    "uʉy": (Lips(0.2, -0.3, 1.0, teeth=0.0), 1.6),
}
VISEMES: dict[str, tuple[Lips, float]] = {symbol: row for symbols, row in _TABLE.items() for symbol in symbols}
"""Shape and dominance of every IPA letter that English voices use."""

PAUSE_DOMINANCE = 1.5
REACH_S = 0.027
"""Time constant of a phoneme's pull on the lips beyond its own half length."""


def lip_track(
    phonemes: Sequence[Phoneme], frames: int, frame_rate_hz: float, *, effort: float = 1.0, lead_s: float = 0.03
) -> Float[np.ndarray, "frames shape"]:
    """The fields of `Lips` for every frame, taken in the middle of its exposure.

    effort: 0.5 mumbles, 1.2 over-articulates. lead_s: how long before a sound the lips are in place.
    """
    parts = [part for phoneme in phonemes for part in _parts(phoneme)]
    shapes = np.array([shape for shape, *_ in parts] or [REST], dtype=np.float64)
    dominance = np.array([weight for _, weight, _, _ in parts] or [1.0])
    middle_s = np.array([(start + end) / 2 for _, _, start, end in parts] or [0.0])
    half_s = np.array([(end - start) / 2 for _, _, start, end in parts] or [1e9])
    at_s = (np.arange(frames) + 0.5) / frame_rate_hz + lead_s
    beyond_s = np.maximum(np.abs(at_s[:, None] - middle_s) - half_s, 0.0)
    pull = dominance * np.exp(-beyond_s / REACH_S) + 1e-12
    track = pull @ shapes / pull.sum(axis=1, keepdims=True)
    opening, spread, rounding = 0, 1, 2
    track[:, [opening, spread, rounding]] *= effort
    return track


def _parts(phoneme: Phoneme) -> list[tuple[Lips, float, float, float]]:
    """(shape, dominance, start_s, end_s) of each letter: diphthongs and affricates move from one to the next."""
    rows = [VISEMES[letter] for letter in phoneme.symbol if letter in VISEMES]
    if not rows:
        return [(REST, PAUSE_DOMINANCE, phoneme.start_s, phoneme.end_s)]
    step_s = (phoneme.end_s - phoneme.start_s) / len(rows)
    return [(shape, weight, phoneme.start_s + k * step_s, phoneme.start_s + (k + 1) * step_s) for k, (shape, weight) in enumerate(rows)]
