"""The meter of `auricle reason`: the listener on dev clips, at every checkpoint, by what it is rewarded for and by what it is not.

An actor of its own, so that measuring runs beside the stream and never holds up a learner step.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from auricle.judging.verdict import Failed, Scored
from auricle.learning.guard import Measurement
from auricle.listeners.answers import parse_artefact, parse_choice
from auricle.listeners.asking import expected_scores, features_of, greedy_answers
from auricle.listeners.checkpoint import load_listener
from auricle.listeners.dataset import read_sets
from auricle.listeners.held_out import CLEARLY_BETTER
from auricle.listeners.questions import question
from auricle.reasoning.config import AnswerRewardConfig
from auricle.reasoning.measuring import main, named
from auricle.reasoning.rewards import closeness, overlap
from auricle.reasoning.tasks import is_local


class ListenerMeter:
    """A Ray actor: `ray.remote(num_cpus=...)(ListenerMeter)`."""

    def __init__(self, sets: Sequence[Path], rows: Sequence[int], listener_folder: str, rewards: AnswerRewardConfig) -> None:
        torch.set_num_threads(1)
        self._clips, self._rows = read_sets(sets), np.asarray(rows, dtype=np.int64)
        self._folder, self._rewards = listener_folder, rewards.model_copy(update={"score": "rbf"})
        self._labels = [self._clips.labels[row] for row in self._rows]

    def measure(self, step: int, checkpoint: str | None) -> Measurement:
        """Clip by clip: panel (the mean of named and span), artefact, span, expected (closeness of the expected score), comparison."""
        listener = load_listener(checkpoint or self._folder)
        inputs = features_of(self._clips, self._rows)  # type: ignore[arg-type]
        texts = greedy_answers(listener, question("artefact"), *inputs)
        answers = [parse_artefact(text, label.duration_s) for text, label in zip(texts, self._labels, strict=True)]
        hits = [float(named(answer) == main(label)) for answer, label in zip(answers, self._labels, strict=True)]
        spans = [
            float("nan") if not is_local(label) else 0.0 if isinstance(answer, Failed) else overlap(answer, label)
            for answer, label in zip(answers, self._labels, strict=True)
        ]
        scores = expected_scores(listener, question("score"), *inputs)
        close = [
            closeness((verdict.score or 0.0) - label.quality, self._rewards) if isinstance(verdict, Scored) else 0.0
            for verdict, label in zip(scores, self._labels, strict=True)
        ]
        panel = [hit if np.isnan(span) else (hit + span) / 2 for hit, span in zip(hits, spans, strict=True)]
        return Measurement(
            step, {"panel": panel, "artefact": hits, "span": spans, "expected": close, "comparison": self._comparisons(listener)}
        )

    def _comparisons(self, listener) -> list[float]:
        """Whether the better of a clip and the next one is chosen: no reward asks for that. NaN where the two are about as good."""
        pairs = [(row, (row + 1) % len(self._rows)) for row in range(len(self._rows))]
        both = self._rows[np.ravel(pairs)]
        answers = [parse_choice(text) for text in greedy_answers(listener, question("compare"), *features_of(self._clips, both))]  # type: ignore[arg-type]
        result = []
        for (left, right), answer in zip(pairs, answers, strict=True):
            difference = self._labels[left].quality - self._labels[right].quality
            result.append(float(answer == ("first" if difference > 0 else "second")) if abs(difference) >= CLEARLY_BETTER else float("nan"))
        return result
