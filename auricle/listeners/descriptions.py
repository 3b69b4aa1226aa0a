"""What a careful listener would write about a clip whose labels are known: answers to "describe", and examples for sentiment.

Every sentence follows from the labels: the generator only chooses between ways to say the same, and rounds between neighbouring
grades, so that on average the words carry the exact score.
"""

from collections.abc import Sequence

import numpy as np

from auricle.listeners.labels import AUDIBLE, Artefact, Damage, Labels

VERDICTS = ("terrible", "very bad", "bad", "poor", "mediocre", "fair", "decent", "good", "very good", "excellent")
"""Overall quality from 1 to 5 in ten even grades."""

_OPENINGS = ("Overall the quality is {}.", "The overall quality is {}.", "Overall this sounds {}.", "All in all the quality is {}.")
_DEGREES = ("slight", "noticeable", "strong", "severe")
_DEGREE_BOUNDS = (0.3, 0.55, 0.8)

_CLAUSES: dict[Artefact, Sequence[str]] = {
    "noise": ("There is {degree} background noise{where}", "{degree} background noise is heard{where}"),
    "correlated noise": (
        "The voice is covered by {degree} hoarse noise that follows it{where}",
        "{degree} noise rides on the voice{where}",
    ),
    "muffling": ("The voice is muffled, with {degree} loss of high tones", "{degree} muffling makes the voice dull"),
    "clipping": ("There is {degree} clipping{where}", "{degree} crackling from clipping is heard{where}"),
    "drop-outs": ("The voice drops out {times}", "There are gaps in the voice {times}"),
    "over-suppression": (
        "There is {degree} suppression of the voice itself{where}",
        "Parts of the voice are missing, {degree} suppression{where}",
    ),
    "musical noise": ("There is {degree} musical noise, like tinkling water", "{degree} musical noise twitters behind the voice"),
    "reverberation": ("The room adds {degree} reverberation", "{degree} reverberation blurs the voice"),
    "level jumps": ("There is a {degree} jump in level{where}", "The level makes a {degree} jump{where}"),
    "garbling": ("The words are garbled, with {degree} damage to the speech", "{degree} garbling makes the words hard to recognise"),
}
_FREE = {
    "noise": ("The background is quiet.", "No background noise is heard."),
    "distortion": ("The voice is free of distortion.", "The voice is undistorted."),
    "continuity": ("The speech is continuous.", "Nothing is missing from the speech."),
}
_NATURAL = (
    ("The voice no longer sounds human.", "It hardly sounds like a human voice."),
    ("The voice sounds unnatural.", "It is an unnatural voice."),
    ("The voice sounds somewhat unnatural.", "The voice is not quite natural."),
    ("The voice sounds fairly natural.", "The voice is mostly natural."),
    ("The voice sounds natural.", "It is a natural voice."),
)
_EFFORT = (
    ("Following it is exhausting.", "It is an ordeal to listen to."),
    ("It takes great effort to follow.", "Listening is tiring."),
    ("It takes some effort to follow.", "Listening takes some effort."),
    ("It is easy to follow.", "Listening takes little effort."),
    ("It is a pleasure to listen to.", "It is effortless to follow."),
)
_NO_SPEECH = {
    0: ("There is no speech, only silence.", "The clip is silent."),
    1: ("There is no speech, only noise.", "Only noise is heard, no voice."),
    2: ("There is no speech, only tones.", "Only tones are heard, no voice."),
    3: ("There is no speech, only noise that swells like a voice.", "No voice, only modulated noise."),
    4: ("There is no speech, only bursts of noise.", "No voice, only noise that is switched on and off."),
}


def describe(labels: Labels, rng: np.random.Generator) -> str:
    """A free description of two to five sentences: damages with degree and place, naturalness, effort, overall quality."""
    if any(damage.artefact == "no speech" for damage in labels.damages):
        way = next(int(damage.parameters.get("way", 1)) for damage in labels.damages if damage.artefact == "no speech")
        return f"{_choose(_NO_SPEECH[way], rng)} {_verdict(labels.quality, rng)}"
    audible = sorted((damage for damage in labels.damages if damage.severity >= AUDIBLE), key=lambda damage: -damage.severity)
    sentences = [_clause(damage, labels.duration_s, rng) for damage in audible[:2]]
    free = [name for name in _FREE if labels.dimensions[name] > 4.4]
    if free and len(sentences) < 2:
        sentences.append(_choose(_FREE[str(rng.choice(free))], rng))
    sentences.append(_choose(_NATURAL[_grade(labels.dimensions["naturalness"], 5, rng)], rng))
    sentences.append(_choose(_EFFORT[_grade(labels.quality, 5, rng)], rng))
    sentences.append(_verdict(labels.quality, rng))
    return " ".join(sentences)


def all_phrases() -> list[str]:
    """Every fixed piece of text that descriptions are made of (for building vocabularies)."""
    groups = (_OPENINGS, _DEGREES, VERDICTS, *_CLAUSES.values(), *_FREE.values(), *_NATURAL, *_EFFORT, *_NO_SPEECH.values())
    return [phrase for group in groups for phrase in group]


def _verdict(quality: float, rng: np.random.Generator) -> str:
    return _choose(_OPENINGS, rng).format(VERDICTS[_grade(quality, len(VERDICTS), rng)])


def _grade(score: float, grades: int, rng: np.random.Generator) -> int:
    """A 1-5 score as one of so many even grades, rounded up or down by chance so that the mean is exact."""
    place = np.clip((score - 1.0) / 4.0, 0.0, 1.0) * (grades - 1)
    return min(int(place + rng.random()), grades - 1)


def _clause(damage: Damage, duration_s: float, rng: np.random.Generator) -> str:
    degree = _DEGREES[int(np.searchsorted(_DEGREE_BOUNDS, damage.severity))]
    text = _choose(_CLAUSES[damage.artefact], rng).format(degree=degree, where=_where(damage, duration_s), times=_times(damage))
    return text[0].upper() + text[1:] + "."


def _where(damage: Damage, duration_s: float) -> str:
    start_s, end_s = damage.spans[0]
    if len(damage.spans) > 1:
        return " in places"
    return "" if end_s - start_s > 0.75 * duration_s else f" from {start_s:.1f} to {end_s:.1f} seconds"


def _times(damage: Damage) -> str:
    starts = [f"{start_s:.1f}" for start_s, _ in damage.spans]
    listed = starts[0] if len(starts) == 1 else ", ".join(starts[:-1]) + " and " + starts[-1]
    return f"at {listed} seconds"


def _choose(ways: Sequence[str], rng: np.random.Generator) -> str:
    return ways[int(rng.integers(len(ways)))]
