"""How judges agree with people: correlations with rated recordings, each with its interval over files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from auricle.checking.heard import score_of
from auricle.judging.panel import JudgeConfig
from auricle.metrics.agreement import pearson, spearman
from auricle.metrics.intervals import Estimate, statistic_interval

FEWEST_FILES = 3


@dataclass(frozen=True)
class PeopleRow:
    """One judge beside people. files: those that it scored, of all; None where they were too few, or it gave them all one score."""

    judge: str
    files: int
    of: int
    pearson: Estimate | None
    spearman: Estimate | None


def beside_people(
    judges: Sequence[JudgeConfig], mos: Sequence[float], answers: Sequence[Mapping[str, Mapping[str, Any]]]
) -> list[PeopleRow]:
    """One row a judge; `answers` are the panel's, on the files whose mean opinion scores are `mos`."""
    truth = np.asarray(mos, dtype=np.float64)
    return [_row(judge, truth, np.array([score_of(answer.get(judge.name), judge) for answer in answers])) for judge in judges]


def _row(judge: JudgeConfig, truth: np.ndarray, scores: np.ndarray) -> PeopleRow:
    usable = np.isfinite(scores)
    files = int(usable.sum())
    if files < FEWEST_FILES or np.ptp(scores[usable]) == 0:
        return PeopleRow(judge.name, files, len(truth), None, None)
    return PeopleRow(judge.name, files, len(truth), statistic_interval(pearson, scores, truth), statistic_interval(spearman, scores, truth))
