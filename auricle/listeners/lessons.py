"""What a step teaches about a batch of labelled clips: questions with their true answers, drawn by task."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from auricle.listeners.answers import SCORED_TASKS, true_answer, true_score
from auricle.listeners.labels import Labels
from auricle.listeners.questions import Task, random_question
from auricle.listeners.turns import Exchange

LONG: dict[Task, float] = {"describe": 0.6, "artefact": 0.4}
SHORT: dict[Task, float] = {"score": 0.7, "dimension": 0.3}
PAIR: dict[Task, float] = {"compare": 0.6, "reference": 0.4}
PAIR_WEIGHT = 0.3


@dataclass(frozen=True)
class Lesson:
    """Exchanges of like length, padded together. Of a batch of n clips, audio k < n is clip k, and n + k the clean original of clip k.

    weight: of the mean over the lesson's answer tokens, in the loss.
    """

    exchanges: tuple[Exchange, ...]
    weight: float


def make_lessons(labels: Sequence[Labels], rng: np.random.Generator, pairs: int) -> list[Lesson]:
    """A long and a short question for every clip, and `pairs` questions about two."""
    rows = list(range(len(labels)))
    lessons = [_lesson(_draw(LONG, len(rows), rng), [(row,) for row in rows], labels, rng, 1.0)]
    lessons.append(_lesson(_draw(SHORT, len(rows), rng), [(row,) for row in rows], labels, rng, 1.0))
    if pairs:
        tasks = _draw(PAIR, pairs, rng)
        second = rng.permutation(len(rows))[:pairs]
        both = [
            (int((row + 1 + rng.integers(len(rows) - 1)) % len(rows)) if task == "compare" else int(row), int(row))
            for task, row in zip(tasks, second, strict=True)
        ]
        lessons.append(_lesson(tasks, both, labels, rng, PAIR_WEIGHT))
    return lessons


def _draw(shares: dict[Task, float], count: int, rng: np.random.Generator) -> list[Task]:
    names = list(shares)
    return [names[index] for index in rng.choice(len(names), size=count, p=list(shares.values()))]


def _lesson(
    tasks: list[Task], rows: Sequence[tuple[int, ...]], labels: Sequence[Labels], rng: np.random.Generator, weight: float
) -> Lesson:
    questions = [random_question(task, rng) for task in tasks]
    exchanges = []
    for asked, clip in zip(questions, rows, strict=True):
        heard = labels[clip[-1]]
        answer = true_answer(asked, heard, rng, labels[clip[0]] if len(clip) > 1 else None)
        # Of two clips of a reference question the first is the clean original of the second.
        audios = (len(labels) + clip[0], clip[1]) if asked.task == "reference" else clip
        exchanges.append(Exchange(asked.text, answer, audios, true_score(asked, heard) if asked.task in SCORED_TASKS else None))
    return Lesson(tuple(exchanges), weight)
