"""What an answer may look like, by task: told to the engine that decodes, and asked of the text again before a number is taken from it."""

import re
from dataclasses import dataclass
from typing import Literal

from auricle.listeners.labels import ARTEFACTS
from auricle.listeners.quality import NISQA_DIMENSIONS
from auricle.listeners.questions import Question
from auricle.listeners.wordings import RATED_TASKS

DECIMALS = tuple(f"{tenths / 10:.1f}" for tenths in range(10, 51))
"""The 41 scores that an answer may give: 1.0 to 5.0."""
SCORE = r"(?:[1-4]\.[0-9]|5\.0)"
CATEGORIES = ("very bad", "poor", "fair", "good", "excellent")
"""Words for 1 to 5, each for the scores that round to it (halves up, as in SpeechQualityLLM's released answers)."""
DEGREES = ("slight", "noticeable", "strong", "severe")

_TIME = r"[0-9]{1,2}\.[0-9]"
TIMES = rf"{_TIME} to {_TIME}(?:, {_TIME} to {_TIME}){{0,11}}"
CLAUSE = rf"({'|'.join(DEGREES)}) ({'|'.join(map(re.escape, ARTEFACTS))}) (throughout|from {TIMES} seconds)"
"""How an explanation names a damage: degree, artefact, place."""
# Numbers only where they are times: a model that has not learned the form cannot wander off in digits.
_SENTENCE = rf"[A-Z][A-Za-z,' -]{{2,120}}(?: from {TIMES} seconds)?\. "
_DIMENSION_SCORES = ", ".join(rf"{name} ({SCORE})" for name in NISQA_DIMENSIONS[1:])
SCORES_SENTENCE = rf"Scores: {_DIMENSION_SCORES}, overall ({SCORE})\."
EXPLANATION = rf"((?:{_SENTENCE}){{1,6}}){SCORES_SENTENCE}"


@dataclass(frozen=True)
class Grammar:
    """regex: a pattern that the whole answer matches (the capturing groups mean nothing). choice: the answers there are."""

    kind: Literal["regex", "choice"]
    value: str | list[str]


def grammar_of(asked: Question) -> Grammar:
    """The grammar of a rated task's answers. Raises ValueError for other tasks."""
    if asked.task in ("mos_numeric", "dim_numeric"):
        return Grammar("regex", SCORE)
    if asked.task == "dim_categ":
        return Grammar("choice", [f"{category_of(float(score))}, {score}" for score in DECIMALS])
    if asked.task == "multi_dim":
        # A regex rather than a JSON schema: vLLM lets a schema's blanks go on for ever, and ours is one line.
        scores = ", ".join(f'"{name}": {SCORE}' for name in NISQA_DIMENSIONS)
        return Grammar("regex", rf"\{{{scores}\}}")
    if asked.task == "explanatory":
        return Grammar("regex", EXPLANATION.replace("(?:", "("))
    raise ValueError(f"grammar_of: no grammar for task {asked.task!r}; there is one for {', '.join(RATED_TASKS)}")


def category_of(score: float) -> str:
    """The word for a 1-5 score."""
    return CATEGORIES[min(4, max(0, int(score + 0.5) - 1))]
