"""The rows of one learner step as one rank holds them: answers to questions about clips, with what they earned."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Int32, Int64

from auricle.errors import LearningError

NO_TOKEN = -1
"""Padding of the answers' token ids in the stream."""
COLUMNS = (
    "rollout_id",
    "step",
    "scene_id",
    "task",
    "question",
    "answer",
    "failure",
    "labels",
    "answer_ids",
    "answer_log_probs",
    "features",
    "frames",
    "parts",
)
"""Columns of the stream that the learner reads."""


@dataclass(frozen=True)
class AnswerRows:
    """One rank's rows of one step. scene_id: the clip; its answers share the question. features: log10 mel power of the clip as it was
    heard; frames: how many of them hold sound. parts: NaN where a part does not apply. failure: why the answer does not parse, or "".
    labels: the clip's truth, as JSON.
    """

    rollout_id: Int64[np.ndarray, " rows"]
    scene_id: tuple[str, ...]
    task: tuple[str, ...]
    question: tuple[str, ...]
    answer: tuple[str, ...]
    failure: tuple[str, ...]
    labels: tuple[str, ...]
    answer_ids: Int32[np.ndarray, "rows tokens"]
    answer_log_probs: Float32[np.ndarray, "rows tokens"]
    features: Float32[np.ndarray, "rows mels frames"]
    frames: Int64[np.ndarray, " rows"]
    parts: Float32[np.ndarray, "rows parts"]

    def __len__(self) -> int:
        return len(self.rollout_id)

    def ids_of(self, row: int) -> list[int]:
        """The tokens of one answer."""
        ids = self.answer_ids[row]
        return ids[ids != NO_TOKEN].tolist()


def answer_rows(columns: Mapping[str, Any], step: int) -> AnswerRows:
    """Rows from the stream's columns. Raises LearningError: missing, or of another step."""
    missing = [name for name in COLUMNS if name not in columns]
    if missing:
        raise LearningError(f"the stream's rows have no column {', '.join(missing)}; they have {', '.join(sorted(columns))}")
    if not np.all(np.asarray(columns["step"]) == step):
        found = sorted(set(np.asarray(columns["step"]).tolist()))
        raise LearningError(f"rows of step {found} reached the learner at version {step}; the stream has to resume at that step")

    def texts(name: str) -> tuple[str, ...]:
        return tuple(str(text) for text in columns[name])

    def table(name: str, dtype: type) -> np.ndarray:
        return np.stack([np.asarray(row, dtype=dtype) for row in columns[name]])

    return AnswerRows(
        rollout_id=np.asarray(columns["rollout_id"], dtype=np.int64),
        scene_id=texts("scene_id"),
        task=texts("task"),
        question=texts("question"),
        answer=texts("answer"),
        failure=texts("failure"),
        labels=texts("labels"),
        answer_ids=table("answer_ids", np.int32),
        answer_log_probs=table("answer_log_probs", np.float32),
        features=table("features", np.float32),
        frames=np.asarray(columns["frames"], dtype=np.int64),
        parts=table("parts", np.float32),
    )
