"""The answers that SpeechQualityLLM (arXiv 2512.08238) released, read twice: as its authors read them, and strictly.

Theirs takes a number where it finds one. Ours takes it only from an answer that is one of the task's forms throughout, and whose word,
where there is one, does not contradict its number. Both count what they could not read.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from auricle.errors import RatingsError
from auricle.judging.verdict import Failed, Scored
from auricle.listeners.grammars import CATEGORIES, category_of
from auricle.ratings.agreement import MEASURES
from auricle.ratings.rows import Row, RowError, number, read_table

Reading = Literal["published", "strict"]
ReleasedTask = Literal["mos_numeric", "dim_numeric", "dim_categ", "multi_dim", "explanatory"]
RELEASED_TASKS: tuple[ReleasedTask, ...] = get_args(ReleasedTask)
COLUMNS = ("task", "question", "generated", "dim", "y_true", "y_pred")
NAMES = {"mos": "overall MOS", "noi": "noisiness", "col": "coloration", "dis": "discontinuity", "loud": "loudness"}
"""The released files' names of the dimensions, and how the answers call them."""

_SCORE = r"([1-5]\.[0-9])"
_WORD = rf"({'|'.join(CATEGORIES)})"
_LISTED = ", ".join(rf"{name} = {_SCORE}" for name in NAMES.values())
_STRICT: dict[ReleasedTask, re.Pattern[str]] = {
    "mos_numeric": re.compile(rf"{_SCORE}|I would rate the overall MOS as {_SCORE} out of 5\.|Overall MOS ≈ {_SCORE}\."),
    "dim_numeric": re.compile(rf"{_SCORE}|{_SCORE} on the 1\u20135 scale\.|I would rate this dimension as {_SCORE} out of 5\."),
    "dim_categ": re.compile(
        rf"(?:The|I would say the) (?P<dimension>noisiness|coloration|discontinuity|loudness)(?: quality)? is {_WORD}"
        rf"(?:, (?:about|roughly) {_SCORE}/5\.|, about {_SCORE} out of 5\.|, around {_SCORE} on the scale\.| \(≈{_SCORE}/5\)\.)"
    ),
    "multi_dim": re.compile(
        rf"I would assign the following scores \(1\u20135\): {_LISTED}\.|"
        rf"Overall MOS: {_SCORE}\. Noisiness: {_SCORE}\. Coloration: {_SCORE}\. Discontinuity: {_SCORE}\. Loudness quality: {_SCORE}\."
    ),
    "explanatory": re.compile(
        r"The degraded audio suffers from [^.]+(?:\.[0-9][^.]*)*\. Considering the combined effects on noisiness "
        rf"\(≈{_SCORE}\), coloration \(≈{_SCORE}\), discontinuity \(≈{_SCORE}\), and loudness quality \(≈{_SCORE}\), "
        rf"I would give an overall MOS of {_SCORE}\."
    ),
}
_FIRST = re.compile(r"[0-9]+(?:\.[0-9]+)?")


@dataclass(frozen=True)
class ReleasedAnswer:
    """One row. truth: people's mean opinion score; published: the number that the authors' parser took, None where it found none."""

    task: ReleasedTask
    dimension: str
    question: str
    text: str
    truth: float
    published: float | None


@dataclass(frozen=True)
class ReleasedMetrics:
    """One task and dimension under one reading. failed: reason -> rows that could not be read; they are in `total` and not in `n`."""

    task: str
    dimension: str
    n: int
    total: int
    measures: dict[str, float]
    failed: dict[str, int]

    @property
    def coverage(self) -> float:
        """Share of the rows that could be read, 0-1."""
        return self.n / self.total


def read_released(folder: Path) -> list[ReleasedAnswer]:
    """All answers of the five `predictions_TASK.csv` in a folder. Raises RatingsError naming file, line and value."""
    answers = []
    for task in RELEASED_TASKS:
        table = folder / f"predictions_{task}.csv"
        header, rows = read_table(table)
        if missing := [column for column in COLUMNS if column not in header]:
            raise RatingsError(f"{table}: no column {missing[0]!r}; expected {', '.join(COLUMNS)}")
        for line, row in rows:
            try:
                answers.append(_answer(task, row))
            except RowError as error:
                raise RatingsError(f"{table}, line {line}: {error}") from None
    return answers


def read_answer(answer: ReleasedAnswer, reading: Reading) -> Scored | Failed:
    """The score that an answer gives for its dimension."""
    return _leniently(answer) if reading == "published" else _strictly(answer)


def released_metrics(answers: Sequence[ReleasedAnswer], reading: Reading) -> list[ReleasedMetrics]:
    """n, MAE, RMSE, Pearson and Spearman of each task and dimension, in the order in which they come."""
    groups: dict[tuple[str, str], list[ReleasedAnswer]] = {}
    for answer in answers:
        groups.setdefault((answer.task, answer.dimension), []).append(answer)
    return [_metrics(task, dimension, group, reading) for (task, dimension), group in groups.items()]


def _metrics(task: str, dimension: str, group: Sequence[ReleasedAnswer], reading: Reading) -> ReleasedMetrics:
    truth, scores, failed = [], [], dict[str, int]()
    for answer in group:
        read = read_answer(answer, reading)
        if isinstance(read, Failed):
            failed[read.reason] = failed.get(read.reason, 0) + 1
        elif read.score is not None:
            truth.append(answer.truth)
            scores.append(read.score)
    enough = len(scores) >= 2
    measures = {name: statistic(np.array(truth), np.array(scores)) if enough else float("nan") for name, statistic in MEASURES.items()}
    return ReleasedMetrics(task, dimension, len(scores), len(group), measures, failed)


def _answer(task: ReleasedTask, row: Row) -> ReleasedAnswer:
    truth = number(row, "y_true")
    if row["task"] != task or row["dim"] not in NAMES or truth is None:
        raise RowError(
            "empty", f"task {row['task']!r}, dim {row['dim']!r}, y_true {row['y_true']!r}: expected {task!r}, a dimension, a number"
        )
    return ReleasedAnswer(task, row["dim"], row["question"], row["generated"], truth, number(row, "y_pred"))


def _leniently(answer: ReleasedAnswer) -> Scored | Failed:
    """As the authors: the number after the dimension's name, the explanation's last one, else the first there is."""
    numbers = _FIRST.findall(answer.text)
    if answer.task == "multi_dim":
        numbers = re.findall(rf"{NAMES[answer.dimension]}(?: quality)?\s*[=:]\s*([0-9]+(?:\.[0-9]+)?)", answer.text, re.IGNORECASE)
    if not numbers:
        return Failed("no_number", f"no number in {answer.text[:80]!r}")
    return Scored(float(numbers[-1] if answer.task == "explanatory" else numbers[0]))


def _strictly(answer: ReleasedAnswer) -> Scored | Failed:
    found = _STRICT[answer.task].fullmatch(answer.text.strip())
    if found is None:
        return Failed("unparsable", f"none of the forms of {answer.task}: {answer.text[:80]!r}")
    if answer.task == "dim_categ":
        dimension, word, *rest = found.groups()
        score = next(text for text in rest if text)
        if dimension != NAMES[answer.dimension]:
            return Failed("other_dimension", f"asked about {NAMES[answer.dimension]}, answered about {dimension}")
        if category_of(float(score)) != word:
            return Failed("contradiction", f"{score} is {category_of(float(score))!r}, not {word!r}")
        return Scored(float(score), rationale=word)
    scores = [float(text) for text in found.groups() if text]
    if answer.task == "multi_dim":
        return Scored(scores[list(NAMES).index(answer.dimension)])
    return Scored(scores[-1])
