"""Questions with their true answers, drawn for a batch of clips: the course from which a listener learns the five tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from auricle.listeners.labels import Labels
from auricle.listeners.lessons import Lesson
from auricle.listeners.pairs_config import PairsConfig
from auricle.listeners.quality import NISQA_DIMENSIONS, Quality, quality_of
from auricle.listeners.questions import Question, random_question
from auricle.listeners.rated_answers import rated_answer
from auricle.listeners.turns import Exchange
from auricle.listeners.wordings import ABOUT_ONE_DIMENSION, Task

LONG: frozenset[Task] = frozenset({"multi_dim", "explanatory"})
"""Tasks whose answers are long: padded among themselves."""

_Name = TypeVar("_Name", bound=str)


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
    """One question a clip, in the clips' order. references: which clips have a clean reference (None: those with labels, which we damaged).

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
        has_reference = isinstance(truth, Labels) if references is None else references[row]
        both = bool(rng.random() < config.double_ended) and has_reference
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
