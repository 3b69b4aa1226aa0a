"""The features as text, for a language model that reads them, and what a model that has not learned to is told."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from auricle.gsrm.answers import NATURALNESS, SOUND, Form
from auricle.gsrm.evidence import clip_claim, true_claims
from auricle.gsrm.features import CLIP_MEASURES, VOWEL_FEATURES
from auricle.gsrm.findings import PITCH_SUBJECTS, Findings
from auricle.gsrm.normalisation import FEATURE_WORDS, NO_BIN

NOT_MEASURED = "none"

_ANSWER = """Your whole answer has six lines, in this form and in these words (at most three claims a line, or `none`):
"""
_WITH_PITCH = """context: 11 vowels; pitch 110-160 Hz in most vowels; rate high
sounds: noise highest
positive: pitch slope level in many vowels; melody usual
issue: clarity lowest; voice missing in some vowels; duration highest in few vowels
"""
_WITHOUT_PITCH = """context: 11 vowels; rate high
sounds: noise highest
positive: intensity usual in many vowels; rhythm usual
issue: clarity lowest; duration highest in few vowels
"""
_JUDGEMENT = "judgement: the voice is mostly natural; the sound is badly damaged\n"
_SHORTER: dict[Form, str] = {
    "judgement": f"Answer in two lines of this form:\n{_JUDGEMENT}score: 1.8",
    "score": "Answer in one line of this form:\nscore: 1.8",
}


def rendered(findings: Findings, *, pitch: bool = True, most_vowels: int = 40, measures: Sequence[str] = CLIP_MEASURES) -> str:
    """Counts, the clip's measures as words and deciles, the share of vowels in each bin, and a line of bins for each vowel (evenly chosen
    ones of more than `most_vowels`). What can be claimed stands here in the words of `evidence`, so that a reader need only quote."""
    shown = [name for name in measures if pitch or name not in PITCH_SUBJECTS]
    features = [name for name in VOWEL_FEATURES if pitch or name not in PITCH_SUBJECTS]
    head = f"{findings.duration_s:.1f} s; speech {findings.speech_s:.1f} s; {findings.vowels} vowels"
    if pitch:
        head += f"; {findings.unvoiced} without voice"
    lines = [head, "; ".join(_graded(findings, name) for name in shown)]
    lines += ["; ".join(map(str, claims)) for claims in true_claims(findings, pitch=pitch, measures=())]
    if not most_vowels:
        return "\n".join(lines)
    lines.append("vowels: " + ", ".join(features))
    rows = range(findings.vowels)
    if findings.vowels > most_vowels:
        rows = np.unique(np.linspace(0, findings.vowels - 1, most_vowels).round().astype(int)).tolist()
    for row in rows:
        words = [_word(name, int(findings.bins[row, VOWEL_FEATURES.index(name)])) for name in features]
        lines.append(f"{row + 1}: {', '.join(words)}")
    return "\n".join(lines)


_MEANINGS = {
    "noise": "the level between words",
    "clarity": "the ratio of harmonics to noise",
    "brightness": "the share of high frequencies",
    "depth": "how far low bands rise and fall",
    "crispness": "how far high bands rise and fall",
    "flutter": "how bands jump",
    "rate": "the vowels a second",
    "melody": "the spread of pitch over the vowels",
    "dynamics": "the spread of intensity over the vowels",
    "rhythm": "the spread of duration over the vowels",
    "flatness": "how long the wave stays at its top",
    "holes": "the gaps within speech",
    "jumps": "the steepest rise of level",
    "hiss": "how noise-like high frequencies are in speech",
    "grain": "how noise-like low frequencies are between words",
    "voids": "the empty part of the spectrogram",
}
LISTENING = "Listen to this speech. Write down your evidence, then judge it."
"""What our own listeners are asked."""


def instructions(
    form: Form,
    way: Literal["read", "listen"] = "read",
    *,
    pitch: bool = True,
    most_vowels: int = 40,
    measures: Sequence[str] = CLIP_MEASURES,
) -> str:
    """What a general language model has to know to answer; our own has learned it. pitch, most_vowels, measures: as in `rendered`."""
    known = "; ".join(f"{name} is {_MEANINGS[name]}" for name in measures if pitch or name not in PITCH_SUBJECTS)
    if way == "read":
        given = f"""You are given acoustic features that were measured of it. The first line counts; the second gives each measure
a word and its decile, 0 (least) to 9 (most), among ordinary and damaged speech: {known}.
Then each feature of the vowels has a line with the share of vowels that is in each of its bins{_each_vowel(pitch) if most_vowels else ""}.
Quote only what the lines show."""
    else:
        features = [name for name in VOWEL_FEATURES if pitch or name not in PITCH_SUBJECTS]
        slopes = "; falling, level or rising slopes" if pitch else ""
        given = f"""Listen to it. Evidence is about the vowels ({", ".join(features)}; lowest, low, usual, high or highest for this
speaker{slopes}) and about the clip: {known}.
It is checked against measurements: claim only what you hear."""
    evidence = _ANSWER + (_WITH_PITCH if pitch else _WITHOUT_PITCH) + _JUDGEMENT + "score: 1.8"
    return f"""You judge how good a recording of speech sounds.
{given}
Evidence is the context, sounds other than speech, what is positive, and what is an issue; few, some, many and most vowels mean up to 25,
50, 75 and 100 %. The voice is {", ".join(NATURALNESS)}; the sound is {", ".join(SOUND)}.
The score goes from 1.0 (bad) to 5.0 (excellent).
{_SHORTER.get(form, evidence)}"""


def _each_vowel(pitch: bool) -> str:
    words = "lowest, low, usual, high or highest"
    if not pitch:
        return f",\nand each vowel has a line: {words}, for this speaker and this kind of vowel"
    return f""",
and each vowel has a line: its pitch in Hz, its slope (falling, level, rising), and {words} for the other features, for
this speaker and this kind of vowel; "{NOT_MEASURED}": no voice was found"""


def _graded(findings: Findings, measure: str) -> str:
    claim = clip_claim(findings, measure)
    return f"{claim} {findings.decile(measure)}" if claim else f"{measure} {NOT_MEASURED}"


def _word(feature: str, place: int) -> str:
    return NOT_MEASURED if place == NO_BIN else FEATURE_WORDS[feature][place]
