"""Answers to the five tasks of SpeechQualityLLM (arXiv 2512.08238): true ones, and strict parsers.

A true answer says what the clip's scores are, and what was done to it and when. It never says where the clip comes from: names of
conditions, codecs or corpora leak into the released model's answers, and then 480 of 480 explanations are the same sentence.
"""

import json
import re
from collections.abc import Sequence

import numpy as np

from auricle.judging.verdict import Failed, Scored, Span
from auricle.listeners.grammars import CLAUSE, DECIMALS, DEGREES, EXPLANATION, category_of
from auricle.listeners.labels import Damage
from auricle.listeners.profiles import heard_by
from auricle.listeners.quality import MOS, NISQA_DIMENSIONS, Quality, audible_damages
from auricle.listeners.questions import Question

MOST_DAMAGES = 3
THROUGHOUT_SHARE = 0.75
"""Share of the clip from which on a damage is said to be there throughout."""
_DEGREE_BOUNDS = (0.3, 0.55, 0.8)
_CLAUSES = ("There is {}.", "One hears {}.", "The clip has {}.", "It suffers from {}.")
_NOTHING = ("Nothing harms this speech.", "No damage is heard.", "The speech is undamaged.")
_NO_SPEECH = ("There is no speech at all.", "No voice is heard.")
_GRADES = ("The {name} is {word}.", "In {name} it is {word}.", "Its {name} is {word}.")

_PARSED_EXPLANATION = re.compile(EXPLANATION)
_PARSED_CLAUSE = re.compile(CLAUSE)
_PARSED_TIMES = re.compile(r"([0-9]{1,2}\.[0-9]) to ([0-9]{1,2}\.[0-9])")
_LITERAL = re.compile(r"[1-4]\.[0-9]|5\.0|[1-5]")


def rated_answer(asked: Question, truth: Quality, rng: np.random.Generator) -> str:
    """What a perfect listener of the question's profile says. Raises ValueError where the truth lacks a dimension that is needed."""
    quality = heard_by(asked.profile, truth, rng)
    needed = dimensions_needed(asked)
    missing = [name for name in needed if name not in quality.scores]
    if missing:
        raise ValueError(f"rated_answer: the truth has no score for {', '.join(missing)}, which task {asked.task!r} is about")
    scores = {name: f"{quality.scores[name]:.1f}" for name in needed}
    if asked.task == "dim_categ":
        (score,) = scores.values()
        return f"{category_of(float(score))}, {score}"
    if asked.task == "multi_dim":
        return "{" + ", ".join(f'"{name}": {score}' for name, score in scores.items()) + "}"
    if asked.task == "explanatory":
        listed = ", ".join(f"{name} {scores[name]}" for name in NISQA_DIMENSIONS[1:])
        return f"{' '.join(_reasons(quality, rng))} Scores: {listed}, overall {scores[MOS]}."
    (score,) = scores.values()
    return score


def dimensions_needed(asked: Question) -> tuple[str, ...]:
    """The dimensions that a rated question's answer has scores for."""
    if asked.task in ("dim_numeric", "dim_categ"):
        return (str(asked.dimension),)
    return (MOS,) if asked.task == "mos_numeric" else NISQA_DIMENSIONS


def parse_rated(asked: Question, text: str, duration_s: float) -> Scored | Failed:
    """The answer to a rated question.

    score: the overall score, or that of the dimension asked about. dimensions: multi_dim and explanatory, all five. rationale: the words.
    spans: the damages that an explanation places in time. Whatever is not exactly an answer is Failed.
    """
    text = text.strip()
    if asked.task == "dim_categ":
        return _parse_category(text)
    if asked.task == "multi_dim":
        return _parse_scores(text)
    if asked.task == "explanatory":
        return _parse_explanation(text, duration_s)
    return Scored(float(text)) if text in DECIMALS else _unparsable("a score from 1.0 to 5.0", text)


def _parse_category(text: str) -> Scored | Failed:
    word, _, score = text.partition(", ")
    if score not in DECIMALS:
        return _unparsable("a category and a score, such as `good, 4.1`", text)
    if word != category_of(float(score)):
        return Failed("unparsable", f"{score} is {category_of(float(score))!r}, not {word[:40]!r}: word and score contradict each other")
    return Scored(float(score), rationale=word)


def _parse_scores(text: str) -> Scored | Failed:
    try:
        pairs = json.loads(text, object_pairs_hook=list, parse_float=_literal, parse_int=_literal, parse_constant=_literal)
    except (ValueError, RecursionError):
        return _unparsable("a JSON object with the five scores", text)
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs):
        return _unparsable("a JSON object with the five scores", text)
    if sorted(name for name, _ in pairs) != sorted(NISQA_DIMENSIONS):
        return _unparsable(f"each of {', '.join(NISQA_DIMENSIONS)} once", text)
    if bad := [name for name, score in pairs if not isinstance(score, float)]:
        return _unparsable(f"a score from 1 to 5 for {bad[0]}", text)
    scores = dict(pairs)
    return Scored(scores[MOS], dimensions={name: scores[name] for name in NISQA_DIMENSIONS})


def _parse_explanation(text: str, duration_s: float) -> Scored | Failed:
    found = _PARSED_EXPLANATION.fullmatch(text)
    if found is None:
        return _unparsable("sentences and `Scores: noisiness 2.1, ..., overall 2.4.`", text)
    body, *scores = found.groups()
    spans: list[Span] = []
    for _, artefact, place in _PARSED_CLAUSE.findall(body):
        for start, end in _PARSED_TIMES.findall(place):
            start_s, end_s = float(start), min(float(end), duration_s)
            if start_s >= end_s:
                return Failed("unparsable", f"{artefact} from {start} to {end} s is empty or beyond the clip's {duration_s:.2f} s")
            spans.append(Span(artefact, start_s, end_s))
    values = dict(zip((*NISQA_DIMENSIONS[1:], MOS), map(float, scores), strict=True))
    return Scored(values[MOS], body.strip(), {name: values[name] for name in NISQA_DIMENSIONS}, tuple(spans))


def _literal(text: str) -> float | None:
    """A score as it is written; None for numbers that are no score (the parser then says so)."""
    return float(text) if _LITERAL.fullmatch(text) else None


def _reasons(quality: Quality, rng: np.random.Generator) -> list[str]:
    """What was done and when; where nobody knows that, the grades of the two worst dimensions."""
    if quality.damages is None:
        return [_choose(_GRADES, rng).format(name=name, word=category_of(quality.scores[name])) for name in _worst(quality)]
    audible = audible_damages(quality)
    if any(damage.artefact == "no speech" for damage in audible):
        return [_choose(_NO_SPEECH, rng)]
    if not audible:
        return [_choose(_NOTHING, rng)]
    return [_choose(_CLAUSES, rng).format(_clause(damage, quality.duration_s)) for damage in audible[:MOST_DAMAGES]]


def _clause(damage: Damage, duration_s: float) -> str:
    degree = DEGREES[int(np.searchsorted(_DEGREE_BOUNDS, damage.severity))]
    if sum(end - start for start, end in damage.spans) > THROUGHOUT_SHARE * duration_s:
        return f"{degree} {damage.artefact} throughout"
    times = ", ".join(f"{start:.1f} to {max(end, start + 0.1):.1f}" for start, end in damage.spans)
    return f"{degree} {damage.artefact} from {times} seconds"


def _worst(quality: Quality) -> list[str]:
    return sorted(NISQA_DIMENSIONS[1:], key=lambda name: quality.scores[name])[:2]


def _choose(ways: Sequence[str], rng: np.random.Generator) -> str:
    return ways[int(rng.integers(len(ways)))]


def _unparsable(expected: str, text: str) -> Failed:
    shown = text if len(text) <= 80 else text[:77] + "..."
    return Failed("unparsable", f"expected {expected}, got {shown!r}")
