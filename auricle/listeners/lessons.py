"""One batch of questions and answers about a batch of clips, as token sequences."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from auricle.listeners.answers import SCORED_TASKS, true_answer, true_score
from auricle.listeners.labels import Labels
from auricle.listeners.processing import AuricleListenerProcessor
from auricle.listeners.prompts import EOS, prompt
from auricle.listeners.questions import Task, random_question

IGNORED = -100
LONG: dict[Task, float] = {"describe": 0.6, "artefact": 0.4}
SHORT: dict[Task, float] = {"score": 0.7, "dimension": 0.3}
PAIR: dict[Task, float] = {"compare": 0.6, "reference": 0.4}


@dataclass(frozen=True)
class Lesson:
    """Sequences of equal purpose.

    labels: the next-token targets, IGNORED outside answers. A score of 3.3 is the digit 3 in `labels` and 4 in `others`, with 0.3 in
    `shares`: the exact expectation of rounding by chance, with less noise than drawing a digit. Elsewhere `shares` is 0.
    audios: for each audio of the sequences, the row of its clip; references: whether its clean original is heard instead.
    """

    input_ids: Int64[Tensor, "batch sequence"]
    labels: Int64[Tensor, "batch sequence"]
    others: Int64[Tensor, "batch sequence"]
    shares: Float[Tensor, "batch sequence"]
    audios: list[int]
    references: list[bool]
    weight: float


def make_lessons(labels: Sequence[Labels], processor: AuricleListenerProcessor, rng: np.random.Generator, pairs: int) -> list[Lesson]:
    """A long and a short question for every clip, and `pairs` questions about two: three lessons, each padded for itself only."""
    rows = list(range(len(labels)))
    lessons = [_lesson(_draw(LONG, len(rows), rng), [(row,) for row in rows], labels, processor, rng, 1.0)]
    lessons.append(_lesson(_draw(SHORT, len(rows), rng), [(row,) for row in rows], labels, processor, rng, 1.0))
    if pairs:
        tasks = _draw(PAIR, pairs, rng)
        second = rng.permutation(len(rows))[:pairs]
        both = [
            (int((row + 1 + rng.integers(len(rows) - 1)) % len(rows)) if task == "compare" else int(row), int(row))
            for task, row in zip(tasks, second, strict=True)
        ]
        lessons.append(_lesson(tasks, both, labels, processor, rng, 0.3))
    return lessons


def _draw(shares: dict[Task, float], count: int, rng: np.random.Generator) -> list[Task]:
    names = list(shares)
    return [names[index] for index in rng.choice(len(names), size=count, p=list(shares.values()))]


def _lesson(
    tasks: list[Task],
    rows: Sequence[tuple[int, ...]],
    labels: Sequence[Labels],
    processor: AuricleListenerProcessor,
    rng: np.random.Generator,
    weight: float,
) -> Lesson:
    questions = [random_question(task, rng) for task in tasks]
    answers = [
        true_answer(asked, labels[clip[-1]], rng, labels[clip[0]] if len(clip) > 1 else None)
        for asked, clip in zip(questions, rows, strict=True)
    ]
    tokenizer = processor.tokenizer
    expanded = [
        prompt(asked.text, asked.clips).replace(processor.audio_token, processor.audio_token * processor.audio_tokens)
        for asked in questions
    ]
    asked_ids = tokenizer(expanded)["input_ids"]
    answer_ids = tokenizer([answer + EOS for answer in answers], add_special_tokens=False)["input_ids"]
    longest = max(len(asked) + len(answer) for asked, answer in zip(asked_ids, answer_ids, strict=True))
    input_ids = torch.full((len(tasks), longest), tokenizer.pad_token_id)
    targets = torch.full((len(tasks), longest), IGNORED)
    for row, (asked, answer) in enumerate(zip(asked_ids, answer_ids, strict=True)):
        end = len(asked) + len(answer)
        input_ids[row, :end] = torch.tensor(asked + answer)
        targets[row, len(asked) : end] = torch.tensor(answer)
    others, shares = targets.clone(), torch.zeros(targets.shape)
    for row, (one, clip) in enumerate(zip(questions, rows, strict=True)):
        if one.task in SCORED_TASKS:
            score = min(true_score(one, labels[clip[-1]]), 5.0)
            low, place = min(int(score), 4), len(asked_ids[row])
            digits = tokenizer.convert_tokens_to_ids([str(low), str(low + 1)])
            targets[row, place], others[row, place] = digits
            shares[row, place] = score - low
    # Of two clips of a reference question the first is the clean original of the second.
    references = [task == "reference" and place == 0 for task, clip in zip(tasks, rows, strict=True) for place in range(len(clip))]
    return Lesson(input_ids, targets, others, shares, [row for clip in rows for row in clip], references, weight)
