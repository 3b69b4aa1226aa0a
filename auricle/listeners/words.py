"""What a listener's descriptions are worth as a reward: their sentiment beside PESQ, on clips that it never heard."""

from dataclasses import dataclass

import numpy as np

from auricle.judging.judge import JudgeClip
from auricle.judging.registry import build_judge
from auricle.judging.verdict import Failed, Scored
from auricle.listeners.answers import parse_description
from auricle.listeners.asking import features_of, greedy_answers
from auricle.listeners.checkpoint import Listener
from auricle.listeners.dataset import ClipSet
from auricle.listeners.questions import question
from auricle.metrics.agreement import spearman
from auricle.metrics.intervals import Estimate, statistic_interval

READERS = ("sentiment", "vader")
"""Judges of words: the classifier that comes with Auricle, and a lexicon that knows nothing of sound."""


@dataclass(frozen=True)
class Described:
    """What the listener writes about one clip with speech, the clip's PESQ, and who talks in it."""

    text: str
    pesq: float
    speaker: str


def sentiment_with_pesq(listener: Listener, clips: ClipSet) -> dict[str, Estimate]:
    """Spearman of each reader's score of the descriptions with PESQ, over the clips with speech; intervals over whole speakers.

    Descriptions that do not parse, or get no score, are in `Estimate.left_out`.
    """
    described = descriptions_with_pesq(listener, clips)
    return {reader: reader_with_pesq(reader, described) for reader in READERS}


def reader_with_pesq(reader: str, described: list[Described]) -> Estimate:
    """One reader's part of `sentiment_with_pesq`."""
    silence = np.zeros(1, dtype=np.float32)
    # A lexicon calls an empty or broken text neutral: what is no description has no score.
    whole = [row for row, one in enumerate(described) if not isinstance(parse_description(one.text), Failed)]
    told = [JudgeClip(str(row), silence, 16_000, text=described[row].text) for row in whole]
    verdicts = build_judge(reader, {}).judge(told) if told else []  # a listener may not have been taught to describe
    scores = np.full(len(described), np.nan)
    scores[whole] = [verdict.score if isinstance(verdict, Scored) else np.nan for verdict in verdicts]
    if not np.isfinite(scores).any():
        return Estimate(np.nan, np.nan, np.nan, 0, 0, len(described))
    return statistic_interval(spearman, scores, np.array([one.pesq for one in described]), [one.speaker for one in described])


def descriptions_with_pesq(listener: Listener, clips: ClipSet) -> list[Described]:
    """What the listener writes about each clip with speech: for judging whatever turns words into scores."""
    rows = [row for row, label in enumerate(clips.labels) if label.pesq is not None]
    texts = greedy_answers(listener, question("describe"), *features_of(clips, rows))
    return [Described(text, float(clips.labels[row].pesq), clips.speakers[row]) for text, row in zip(texts, rows, strict=True)]
