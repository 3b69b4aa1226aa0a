"""What a listener's descriptions are worth as a reward: their sentiment beside PESQ, on clips that it never heard."""

import numpy as np

from auricle.judging.judge import JudgeClip
from auricle.judging.registry import build_judge
from auricle.judging.verdict import Scored
from auricle.listeners.asking import features_of, greedy_answers
from auricle.listeners.checkpoint import Listener
from auricle.listeners.dataset import ClipSet
from auricle.listeners.questions import question
from auricle.metrics.agreement import spearman
from auricle.metrics.intervals import Estimate, statistic_interval

READERS = ("sentiment", "vader")
"""Judges of words: the classifier that comes with Auricle, and a lexicon that knows nothing of sound."""


def sentiment_with_pesq(listener: Listener, clips: ClipSet) -> dict[str, Estimate]:
    """Spearman of each reader's score of the descriptions with PESQ, over the clips with speech."""
    described = descriptions_with_pesq(listener, clips)
    pesq = np.array([value for _, value in described])
    silence = np.zeros(1, dtype=np.float32)
    texts = [JudgeClip(str(row), silence, 16_000, text=text) for row, (text, _) in enumerate(described)]
    found = {}
    for reader in READERS:
        verdicts = build_judge(reader, {}).judge(texts)
        scores = np.array([verdict.score if isinstance(verdict, Scored) else np.nan for verdict in verdicts])
        found[reader] = statistic_interval(spearman, scores, pesq)
    return found


def descriptions_with_pesq(listener: Listener, clips: ClipSet) -> list[tuple[str, float]]:
    """What the listener writes about each clip with speech, and the clip's PESQ: for judging whatever turns words into scores."""
    rows = [row for row, label in enumerate(clips.labels) if label.pesq is not None]
    texts = greedy_answers(listener, question("describe"), *features_of(clips, rows))
    return [(text, float(clips.labels[row].pesq or 0.0)) for text, row in zip(texts, rows, strict=True)]
