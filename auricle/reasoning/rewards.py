"""What an answer earns, given what was really done to the clip: one number in 0-1 a part, after the questions' own strict parsers.

Parts: score (how close the digit is), artefact (the class is named), span (overlap in time), words (the description says what the true
one says), format (the answer parses). A part that does not apply is NaN, and counts for nothing: what the question is not about, and times
under a wrong name. Times are so compared among answers that name the artefact rightly, and say nothing for or against a name.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from auricle.judging.verdict import Failed, Scored, Span
from auricle.listeners.answers import ArtefactAnswer, parse_artefact, parse_description, parse_score, true_score
from auricle.listeners.labels import Labels
from auricle.listeners.questions import Question
from auricle.metrics.agreement import Interval, span_iou
from auricle.reasoning.config import PARTS, AnswerRewardConfig
from auricle.reasoning.similarity import Similarity


@dataclass(frozen=True)
class Reward:
    """One answer's parts by name (only those that apply), what was parsed out of it, and why nothing was."""

    parts: dict[str, float]
    score: float | None = None
    spans: tuple[Span, ...] = ()
    failure: str = ""

    @property
    def row(self) -> Float32[np.ndarray, " parts"]:
        """In the order of PARTS, NaN where a part does not apply."""
        return np.array([self.parts.get(name, np.nan) for name in PARTS], dtype=np.float32)


def reward_of(asked: Question, text: str, labels: Labels, config: AnswerRewardConfig, similarity: Similarity) -> Reward:
    """The reward of one answer. One that does not parse earns 0 in every part that applies: that is how the format is learned."""
    if asked.task in ("score", "dimension"):
        return _scored(parse_score(text), true_score(asked, labels), config)
    if asked.task == "artefact":
        return _located(parse_artefact(text, labels.duration_s), labels, config)
    if asked.task == "describe":
        words = parse_description(text)
        if isinstance(words, Failed):
            return Reward({"words": 0.0, "format": 0.0}, failure=words.detail)
        return Reward({"words": similarity.of(words, labels), "format": 1.0})
    raise ValueError(f"reward_of: no reward for questions of the task {asked.task!r}")


def closeness(error: float, config: AnswerRewardConfig) -> float:
    """The reward of a score that is off by `error`.

    The square is nearly flat over the errors that a calibrated listener makes, so that a group's spread comes from outliers and the safe
    middle wins; the Gaussian rewards being right (GSRM, arXiv 2602.13891).
    """
    return 1.0 - (error / 4.0) ** 2 if config.score == "l2" else float(np.exp(-((error / config.score_width) ** 2)))


def overlap(answer: ArtefactAnswer, labels: Labels) -> float:
    """IoU of the named spans with the true ones of the main artefact: 0 under another name, 1 where both say that there is none."""
    damage = labels.main_damage
    if damage is None or answer.artefact is None:
        return float(damage is None and answer.artefact is None)
    if answer.artefact != damage.artefact:
        return 0.0
    return span_iou(damage.spans, [(span.start_s, span.end_s) for span in answer.spans])


def span_reward(true: Sequence[Interval], said: Sequence[Interval], margin_s: float) -> float:
    """The mean of the spans' IoU and of that of the spans made longer by `margin_s` on both sides: a near miss earns more than a far one,
    where both would have 0. margin_s 0: the IoU."""
    exact = span_iou(true, said)
    if not margin_s:
        return exact
    longer = [[(start - margin_s, end + margin_s) for start, end in spans] for spans in (true, said)]
    return (exact + span_iou(*longer)) / 2


def _scored(verdict: Scored | Failed, truth: float, config: AnswerRewardConfig) -> Reward:
    if isinstance(verdict, Failed) or verdict.score is None:
        return Reward({"score": 0.0, "format": 0.0}, failure=verdict.detail if isinstance(verdict, Failed) else "no score")
    return Reward({"score": closeness(verdict.score - truth, config), "format": 1.0}, score=verdict.score)


def _located(answer: ArtefactAnswer | Failed, labels: Labels, config: AnswerRewardConfig) -> Reward:
    if isinstance(answer, Failed):
        return Reward({"artefact": 0.0, "format": 0.0}, failure=answer.detail)
    damage = labels.main_damage
    named = answer.artefact == (damage.artefact if damage else None)
    parts = {"artefact": float(named), "format": 1.0}
    if named and damage is not None:
        said = [(span.start_s, span.end_s) for span in answer.spans]
        parts["span"] = span_reward(damage.spans, said, config.span_margin_s)
    return Reward(parts, spans=answer.spans)
