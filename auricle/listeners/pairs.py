"""Questions with their true answers, drawn for a batch of clips: the course from which a listener learns the five tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from pydantic import Field, model_validator

from auricle.config import Config
from auricle.listeners.labels import Labels
from auricle.listeners.lessons import Lesson
from auricle.listeners.profiles import ProfileName
from auricle.listeners.quality import NISQA_DIMENSIONS, Quality, quality_of
from auricle.listeners.questions import Question, random_question
from auricle.listeners.rated_answers import rated_answer
from auricle.listeners.turns import Exchange
from auricle.listeners.wordings import ABOUT_ONE_DIMENSION, RATED_TASKS, Task

LONG: frozenset[Task] = frozenset({"multi_dim", "explanatory"})
"""Tasks whose answers are long: padded among themselves."""

_Name = TypeVar("_Name", bound=str)


class PairsConfig(Config):
    """Which questions are drawn, and how often."""

    tasks: dict[Task, float] = {"mos_numeric": 0.3, "dim_numeric": 0.25, "dim_categ": 0.15, "multi_dim": 0.15, "explanatory": 0.15}
    """Shares of the rated tasks, relative to each other."""
    dimensions: tuple[str, ...] = NISQA_DIMENSIONS[1:]
    """Dimensions that dim_numeric and dim_categ ask about; clips without a score for any of them are asked other tasks."""
    double_ended: float = Field(default=0.25, ge=0.0, le=1.0)
    """Share of questions with the clean reference beside the clip, 0-1."""
    profiles: dict[ProfileName, float] = {"neutral": 0.7, "strict": 0.1, "casual": 0.1, "hard-of-hearing": 0.1}
    """Shares of the listeners' profiles, relative to each other."""

    @model_validator(mode="after")
    def _consistent(self) -> "PairsConfig":
        for name, shares in (("tasks", self.tasks), ("profiles", self.profiles)):
            if min(shares.values(), default=-1.0) < 0 or sum(shares.values()) <= 0:
                raise ValueError(f"{name} = {shares}: give shares of at least 0, one of them above")
        if unknown := [task for task in self.tasks if task not in RATED_TASKS]:
            raise ValueError(f"tasks: {unknown[0]!r} is no rated task; choose from {', '.join(RATED_TASKS)}")
        return self


@dataclass(frozen=True)
class Pair:
    """One question about clip `row`, and its true answer. `asked.reference_first`: the clip's clean reference is heard before it."""

    row: int
    asked: Question
    answer: str


def training_pairs(
    truths: Sequence[Labels | Quality],
    rng: np.random.Generator,
    config: PairsConfig | None = None,
    *,
    references: Sequence[bool] | None = None,
) -> list[Pair]:
    """One question a clip, in the clips' order. references: which clips have a clean reference (None: all).

    A clip is only asked what its truth can answer. Raises ValueError for a clip that none of the tasks fits.
    """
    config = config or PairsConfig()
    pairs = []
    for row, truth in enumerate(truths):
        quality = quality_of(truth)
        shares = {task: share for task, share in config.tasks.items() if share > 0 and _fits(task, quality, config.dimensions)}
        if not shares:
            raise ValueError(f"training_pairs: clip {row} has scores for {sorted(quality.scores)}; none of {list(config.tasks)} fits")
        task = _draw(shares, rng)
        profile = _draw(config.profiles, rng)
        known = tuple(name for name in config.dimensions if name in quality.scores)
        both = bool(rng.random() < config.double_ended) and (references is None or references[row])
        asked = random_question(task, rng, dimensions=known, double_ended=both, profile=profile)
        pairs.append(Pair(row, asked, rated_answer(asked, quality, rng)))
    return pairs


def question_lessons(
    truths: Sequence[Labels | Quality],
    rng: np.random.Generator,
    config: PairsConfig | None = None,
    *,
    references: Sequence[bool] | None = None,
) -> list[Lesson]:
    """`training_pairs` as lessons: the short answers, then the long ones. A double-ended question hears its clip's reference first."""
    pairs = training_pairs(truths, rng, config, references=references)
    lessons = []
    for group in ([pair for pair in pairs if (pair.asked.task in LONG) == long] for long in (False, True)):
        if group:
            exchanges = [
                Exchange(pair.asked.text, pair.answer, (len(truths) + pair.row, pair.row) if pair.asked.double_ended else (pair.row,))
                for pair in group
            ]
            lessons.append(Lesson(tuple(exchanges), len(group) / len(pairs)))
    return lessons


def _fits(task: Task, quality: Quality, dimensions: tuple[str, ...]) -> bool:
    if task in ABOUT_ONE_DIMENSION:
        return any(name in quality.scores for name in dimensions)
    needed = NISQA_DIMENSIONS[:1] if task == "mos_numeric" else NISQA_DIMENSIONS
    return all(name in quality.scores for name in needed)


def _draw(shares: Mapping[_Name, float], rng: np.random.Generator) -> _Name:
    names = list(shares)
    total = sum(shares.values())
    return names[int(rng.choice(len(names), p=[share / total for share in shares.values()]))]
