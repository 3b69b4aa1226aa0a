"""How well a listener hears, measured as arXiv 2603.10175 reports it, on clips whose damages are known.

Greedy answers in the first wording, expected scores for the correlations: what judges use.
"""

from dataclasses import dataclass

import numpy as np

from auricle.judging.verdict import Failed, Scored
from auricle.listeners.answers import ArtefactAnswer, parse_artefact, parse_description
from auricle.listeners.asking import expected_scores, features_of, greedy_answers
from auricle.listeners.checkpoint import Listener
from auricle.listeners.dataset import ClipSet
from auricle.listeners.labels import ARTEFACTS, DIMENSIONS, Labels
from auricle.listeners.questions import question
from auricle.metrics.agreement import f1, pearson
from auricle.reasoning.rewards import overlap
from auricle.reasoning.similarity import named_artefacts, true_artefacts, verdict_of
from auricle.reasoning.tasks import is_local

NOISES = ("noise", "correlated noise", "musical noise")
DISTORTIONS = ("clipping", "drop-outs", "over-suppression", "garbling", "level jumps", "muffling", "reverberation")
UNSURE = 3.0
"""Stands for a score that could not be read, in the middle of the scale: a judge that says nothing is no better than one that guesses."""


@dataclass(frozen=True)
class Hearing:
    """pcc: Pearson of the expected score with the label, by dimension and `overall`. noise_f1, distortion_f1: a main artefact of that
    family is named where there is one. class_f1: mean over artefacts of the F1 of naming it. span_iou: mean over clips whose artefact has
    a place in time, 0 where it was not named. long_form: Pearson of the description's verdict with the label. words_f1: of the artefacts
    named in descriptions. distinct: share of distinct descriptions. unparsable: share of answers to open questions that do not parse.
    """

    clips: int
    span_clips: int
    pcc: dict[str, float]
    mean_pcc: float
    noise_f1: float
    distortion_f1: float
    class_f1: float
    class_accuracy: float
    span_iou: float
    long_form: float
    words_f1: float
    distinct: float
    unparsable: float

    def flat(self) -> dict[str, float]:
        """All figures by name."""
        own = {name: value for name, value in vars(self).items() if isinstance(value, int | float)}
        return {f"pcc/{name}": value for name, value in self.pcc.items()} | own


def measure_hearing(listener: Listener, clips: ClipSet, rows: np.ndarray | None = None) -> Hearing:
    """Asks everything about the clips (or those in `rows`)."""
    rows = np.arange(len(clips)) if rows is None else rows
    labels = [clips.labels[row] for row in rows]
    inputs = features_of(clips, rows)
    scores = {"overall": _values(expected_scores(listener, question("score"), *inputs))}
    scores |= {name: _values(expected_scores(listener, question("dimension", name), *inputs)) for name in DIMENSIONS}
    truth = {"overall": np.array([label.quality for label in labels])}
    truth |= {name: np.array([label.dimensions[name] for label in labels]) for name in DIMENSIONS}
    located = [
        parse_artefact(text, label.duration_s)
        for text, label in zip(greedy_answers(listener, question("artefact"), *inputs), labels, strict=True)
    ]
    words = greedy_answers(listener, question("describe"), *inputs)
    overlaps = overlaps_of(located, labels)
    pcc = {name: pearson(scores[name], truth[name]) for name in scores}
    said = np.array([UNSURE if (verdict := verdict_of(text)) is None else verdict for text in words])
    failed = [isinstance(answer, Failed) for answer in located] + [isinstance(parse_description(text), Failed) for text in words]
    return Hearing(
        clips=len(rows),
        span_clips=len(overlaps),
        pcc=pcc,
        mean_pcc=float(np.mean(list(pcc.values()))),
        noise_f1=_family_f1(located, labels, NOISES),
        distortion_f1=_family_f1(located, labels, DISTORTIONS),
        class_f1=float(np.nanmean([_family_f1(located, labels, (artefact,)) for artefact in ARTEFACTS])),
        class_accuracy=float(np.mean([named(answer) == main(label) for answer, label in zip(located, labels, strict=True)])),
        span_iou=float(np.mean(overlaps)) if overlaps else float("nan"),
        long_form=pearson(said, truth["overall"]),
        words_f1=float(np.mean([_set_f1(named_artefacts(text), true_artefacts(label)) for text, label in zip(words, labels, strict=True)])),
        distinct=len(set(words)) / len(words),
        unparsable=float(np.mean(failed)),
    )


def overlaps_of(located: list[ArtefactAnswer | Failed], labels: list[Labels]) -> list[float]:
    """IoU over the clips whose main artefact has a place in time; an answer that does not parse, or names another, has 0."""
    return [
        0.0 if isinstance(answer, Failed) else overlap(answer, label)
        for answer, label in zip(located, labels, strict=True)
        if is_local(label)
    ]


def main(label: Labels) -> str | None:
    """The main artefact's name."""
    return label.main_damage.artefact if label.main_damage else None


def named(answer: ArtefactAnswer | Failed) -> str | None:
    """What was named; an answer that does not parse names something that is no artefact."""
    return "" if isinstance(answer, Failed) else answer.artefact


def _family_f1(located: list[ArtefactAnswer | Failed], labels: list[Labels], family: tuple[str, ...]) -> float:
    return f1([main(label) in family for label in labels], [named(answer) in family for answer in located])


def _set_f1(left: frozenset[str], right: frozenset[str]) -> float:
    return 2 * len(left & right) / (len(left) + len(right)) if left or right else 1.0


def _values(verdicts: list[Scored | Failed]) -> np.ndarray:
    return np.array([verdict.score if isinstance(verdict, Scored) and verdict.score is not None else UNSURE for verdict in verdicts])
