"""True answers to the questions, and strict parsers of the listener's: a text that is not exactly an answer is Failed, never guessed at."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from auricle.judging.verdict import Failed, Scored, Span
from auricle.listeners.descriptions import describe
from auricle.listeners.labels import ARTEFACTS, Labels
from auricle.listeners.quality import Quality, quality_of
from auricle.listeners.questions import RATED_TASKS, Question, Task
from auricle.listeners.rated_answers import parse_rated, rated_answer

SCORES = ("1", "2", "3", "4", "5")
NONE = "none"
SCORED_TASKS: frozenset[Task] = frozenset({"score", "dimension", "reference"})
Choice = Literal["first", "second"]

MIN_SCORE_MASS = 0.5
"""Least probability that has to lie on the five scores for their mean to count as an answer."""

MASS_ROUNDING = 1e-3
"""By how much the probabilities of the scores may add up to more than 1."""

_SPAN = r"(\d\d?\.\d)-(\d\d?\.\d)"
_ARTEFACT = re.compile(rf"({'|'.join(map(re.escape, ARTEFACTS))}): ({_SPAN}(?:, {_SPAN})*) s")


@dataclass(frozen=True)
class ArtefactAnswer:
    """The worst artefact and where it is; artefact None means that none is heard."""

    artefact: str | None
    spans: tuple[Span, ...] = ()


def true_answer(asked: Question, labels: Labels | Quality, rng: np.random.Generator, other: Labels | None = None) -> str:
    """What a perfect listener says. `other`: the first of two clips (`labels` are the second's). The rated tasks also take a Quality."""
    if asked.task in RATED_TASKS:
        return rated_answer(asked, quality_of(labels), rng)
    if not isinstance(labels, Labels):
        raise ValueError(f"true_answer: {asked.task!r} is about labels; people's ratings answer {', '.join(RATED_TASKS)}")
    if asked.task == "describe":
        return describe(labels, rng)
    if asked.task == "artefact":
        return artefact_text(labels)
    if asked.task == "compare":
        if other is None:
            raise ValueError("true_answer: 'compare' needs the labels of both clips")
        return "first" if other.quality > labels.quality else "second"
    return score_text(true_score(asked, labels), rng)


def true_score(asked: Question, labels: Labels) -> float:
    """The exact 1-5 score that a question for a score is about."""
    if asked.task not in SCORED_TASKS:
        raise ValueError(f"true_score: a question of the task {asked.task!r} has no score")
    return labels.dimensions[str(asked.dimension)] if asked.task == "dimension" else labels.quality


def score_text(score: float, rng: np.random.Generator) -> str:
    """A 1-5 score as one digit, rounded up or down by chance so that the expectation is the score itself."""
    return str(int(np.clip(np.floor(score + rng.random()), 1, 5)))


def artefact_text(labels: Labels) -> str:
    """The main artefact with its spans, such as `drop-outs: 0.4-0.6, 1.2-1.3 s`, or `none`."""
    damage = labels.main_damage
    if damage is None:
        return NONE
    spans = ", ".join(f"{start_s:.1f}-{max(end_s, start_s + 0.1):.1f}" for start_s, end_s in damage.spans)
    return f"{damage.artefact}: {spans} s"


def parse_answer(asked: Question, text: str, duration_s: float) -> Scored | ArtefactAnswer | str | Failed:
    """The answer to any question: `Choice` and descriptions as text, artefacts as ArtefactAnswer, all that have a score as Scored."""
    if asked.task in RATED_TASKS:
        return parse_rated(asked, text, duration_s)
    if asked.task in SCORED_TASKS:
        return parse_score(text)
    if asked.task == "artefact":
        return parse_artefact(text, duration_s)
    return parse_choice(text) if asked.task == "compare" else parse_description(text)


def parse_score(text: str) -> Scored | Failed:
    """`"3"` -> 3.0. Anything but one digit from 1 to 5 is Failed."""
    text = text.strip()
    return Scored(float(text)) if text in SCORES else _unparsable("a digit from 1 to 5", text)


def parse_description(text: str) -> str | Failed:
    """The description without blanks around it; Failed where it is empty, cut off (no full stop), or only a number."""
    text = text.strip()
    if not text.endswith((".", "!", "?")) or not any(character.isalpha() for character in text):
        return _unparsable("whole sentences", text)
    return text


def parse_artefact(text: str, duration_s: float) -> ArtefactAnswer | Failed:
    """Artefact and spans, cut at the clip's end. Failed for an unknown artefact, a malformed, backward or out-of-clip span."""
    text = text.strip()
    if text == NONE:
        return ArtefactAnswer(None)
    found = _ARTEFACT.fullmatch(text)
    if found is None:
        return _unparsable("`artefact: 0.0-1.0 s` or `none`", text)
    spans = []
    for start, end in re.findall(_SPAN, found[2]):
        start_s, end_s = float(start), min(float(end), duration_s)
        if start_s >= end_s:
            return Failed("unparsable", f"span {start}-{end} s is empty or beyond the clip's {duration_s:.2f} s: {text!r}")
        spans.append(Span(found[1], start_s, end_s))
    return ArtefactAnswer(found[1], tuple(spans))


def parse_choice(text: str) -> Choice | Failed:
    """`"first"` or `"second"`, nothing else."""
    text = text.strip()
    if text == "first":
        return "first"
    return "second" if text == "second" else _unparsable("`first` or `second`", text)


def expected_score(log_probabilities: Mapping[str, float]) -> Scored | Failed:
    """The mean score under the first answer token's log-probabilities, by score text ("1".."5").

    `dimensions` hold the mass that lay on the five scores and the distribution's standard deviation.
    """
    missing = [score for score in SCORES if score not in log_probabilities]
    if missing:
        return Failed("unparsable", f"no log-probability for {', '.join(missing)}")
    with np.errstate(over="ignore"):
        masses = np.exp([log_probabilities[score] for score in SCORES])
        total = float(masses.sum())
    if not np.isfinite(total) or total > 1.0 + MASS_ROUNDING:
        return Failed("unparsable", f"the scores 1-5 have a probability of {total} together: these are no log-probabilities")
    if total < MIN_SCORE_MASS:
        return Failed("unparsable", f"only {total:.2f} of the probability lies on the scores 1-5 (at least {MIN_SCORE_MASS} wanted)")
    values = np.arange(1.0, 6.0)
    mean = float(masses @ values / total)
    return Scored(mean, dimensions={"mass": total, "spread": float(np.sqrt(masses @ (values - mean) ** 2 / total))})


def _unparsable(expected: str, text: str) -> Failed:
    shown = text if len(text) <= 80 else text[:77] + "..."
    return Failed("unparsable", f"expected {expected}, got {shown!r}")
