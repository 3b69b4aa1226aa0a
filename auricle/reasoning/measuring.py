"""How well a listener hears, measured as arXiv 2603.10175 reports it, on clips whose damages are known.

Greedy answers in the first wording, expected scores for the correlations: what judges use.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

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


@dataclass(frozen=True)
class HeardClips:
    """What the listener answered about each clip beside the truth: all that `Hearing` is computed from, clip by clip.

    scores, true_scores: a column for `overall`, then one a dimension. named, true: the main artefact (`""`: unparsable, None: none). spans:
    IoU in clips whose artefact has a place in time, else NaN. said: the verdict of the description. words_f1: of the artefacts it names.
    unparsable: 0, 1 or 2 of the two open questions. speakers: who talks in each clip.
    """

    scores: Float64[np.ndarray, "clips scores"]
    true_scores: Float64[np.ndarray, "clips scores"]
    named: np.ndarray
    true: np.ndarray
    spans: Float64[np.ndarray, " clips"]
    said: Float64[np.ndarray, " clips"]
    words_f1: Float64[np.ndarray, " clips"]
    words: np.ndarray
    unparsable: Float64[np.ndarray, " clips"]
    speakers: tuple[str, ...]

    def hearing(self, rows: np.ndarray | None = None) -> Hearing:
        """The measures over these rows (repeated ones too, as the bootstrap draws them), or over all."""
        rows = np.arange(len(self.named)) if rows is None else rows
        named, true, spans = self.named[rows], self.true[rows], self.spans[rows]
        pcc = {name: pearson(self.scores[rows, k], self.true_scores[rows, k]) for k, name in enumerate(("overall", *DIMENSIONS))}
        local = np.isfinite(spans)
        return Hearing(
            clips=len(rows),
            span_clips=int(local.sum()),
            pcc=pcc,
            mean_pcc=float(np.mean(list(pcc.values()))),
            noise_f1=_family_f1(named, true, NOISES),
            distortion_f1=_family_f1(named, true, DISTORTIONS),
            class_f1=float(np.nanmean([_family_f1(named, true, (artefact,)) for artefact in ARTEFACTS])),
            class_accuracy=float(np.mean(named == true)),
            span_iou=float(spans[local].mean()) if local.any() else float("nan"),
            long_form=pearson(self.said[rows], self.true_scores[rows, 0]),
            words_f1=float(self.words_f1[rows].mean()),
            distinct=len(set(self.words[rows])) / len(rows),
            unparsable=float(self.unparsable[rows].mean() / 2),
        )


def hear(listener: Listener, clips: ClipSet, rows: np.ndarray | None = None) -> HeardClips:
    """Asks everything about the clips (or those in `rows`)."""
    rows = np.arange(len(clips)) if rows is None else rows
    labels = [clips.labels[row] for row in rows]
    inputs = features_of(clips, rows)
    questions = [question("score"), *(question("dimension", name) for name in DIMENSIONS)]
    truth = [[label.quality, *(label.dimensions[name] for name in DIMENSIONS)] for label in labels]
    located = [
        parse_artefact(text, label.duration_s)
        for text, label in zip(greedy_answers(listener, question("artefact"), *inputs), labels, strict=True)
    ]
    words = greedy_answers(listener, question("describe"), *inputs)
    failed = [isinstance(answer, Failed) + isinstance(parse_description(text), Failed) for answer, text in zip(located, words, strict=True)]
    return HeardClips(
        scores=np.stack([_values(expected_scores(listener, asked, *inputs)) for asked in questions], axis=1),
        true_scores=np.array(truth),
        named=np.array([named(answer) for answer in located], dtype=object),
        true=np.array([main(label) for label in labels], dtype=object),
        spans=np.array([_overlap(answer, label) for answer, label in zip(located, labels, strict=True)]),
        said=np.array([UNSURE if (verdict := verdict_of(text)) is None else verdict for text in words]),
        words_f1=np.array([_set_f1(named_artefacts(text), true_artefacts(label)) for text, label in zip(words, labels, strict=True)]),
        words=np.array(words, dtype=object),
        unparsable=np.array(failed, dtype=np.float64),
        speakers=tuple(clips.speakers[row] for row in rows),
    )


def _overlap(answer: ArtefactAnswer | Failed, label: Labels) -> float:
    """IoU where the main artefact has a place in time, 0 for an answer that does not parse or names another; else NaN."""
    if not is_local(label):
        return float("nan")
    return 0.0 if isinstance(answer, Failed) else overlap(answer, label)


def main(label: Labels) -> str | None:
    """The main artefact's name."""
    return label.main_damage.artefact if label.main_damage else None


def named(answer: ArtefactAnswer | Failed) -> str | None:
    """What was named; an answer that does not parse names something that is no artefact."""
    return "" if isinstance(answer, Failed) else answer.artefact


def _family_f1(named: np.ndarray, true: np.ndarray, family: tuple[str, ...]) -> float:
    return f1([one in family for one in true], [one in family for one in named])


def _set_f1(left: frozenset[str], right: frozenset[str]) -> float:
    return 2 * len(left & right) / (len(left) + len(right)) if left or right else 1.0


def _values(verdicts: list[Scored | Failed]) -> np.ndarray:
    return np.array([verdict.score if isinstance(verdict, Scored) and verdict.score is not None else UNSURE for verdict in verdicts])
