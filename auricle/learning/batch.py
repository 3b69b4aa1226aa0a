"""The rows of one learner step as one rank holds them, and how they are cut into minibatches."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from auricle.errors import LearningError
from auricle.learning.credit import group_rows
from auricle.learning.schedule import derive_seed


@dataclass(frozen=True)
class StepRows:
    """One rank's rows of one step. parts: NaN where a judge failed. Columns that a run does not need are None."""

    rollout_id: Int64[np.ndarray, " rows"]
    scene_id: tuple[str, ...]
    mix: Float32[np.ndarray, "rows samples"]
    frames: UInt8[np.ndarray, "rows frames height width"] | None
    action: Float32[np.ndarray, "rows bands knots"]
    action_mean: Float32[np.ndarray, "rows bands knots"]
    reference_mean: Float32[np.ndarray, "rows bands knots"]
    parts: Float32[np.ndarray, "rows parts"]
    reference_parts: Float32[np.ndarray, "rows parts"] | None
    credit: Float32[np.ndarray, "rows knots"] | None
    target: Float32[np.ndarray, "rows samples"] | None

    def __len__(self) -> int:
        return len(self.rollout_id)


def step_rows(columns: Mapping[str, Any], step: int) -> StepRows:
    """Rows from the stream's columns (arrays, or lists of arrays). Raises LearningError: missing, ragged, or of another step."""
    ids = np.asarray(_needed(columns, "rollout_id"), dtype=np.int64)
    if "step" in columns and not np.all(np.asarray(columns["step"]) == step):
        found = sorted(set(np.asarray(columns["step"]).tolist()))
        raise LearningError(f"rows of step {found} reached the learner at version {step}; the stream has to resume at that step")
    return StepRows(
        rollout_id=ids,
        scene_id=tuple(str(scene) for scene in _needed(columns, "scene_id")),
        mix=_stacked(columns, "mix", np.float32, ids),
        frames=_optional(columns, "frames", np.uint8, ids),
        action=_stacked(columns, "action", np.float32, ids),
        action_mean=_stacked(columns, "action_mean", np.float32, ids),
        reference_mean=_stacked(columns, "reference_mean", np.float32, ids),
        parts=_stacked(columns, "parts", np.float32, ids),
        reference_parts=_optional(columns, "reference_parts", np.float32, ids),
        credit=_optional(columns, "credit", np.float32, ids),
        target=_optional(columns, "target", np.float32, ids),
    )


def minibatches(scenes: Sequence[Hashable], per_minibatch: int, seed: int, version: int, epoch: int) -> list[set[Hashable]]:
    """The scenes of a step, cut into minibatches of `per_minibatch` (0: all at once) in an order of their own in every epoch.

    scenes: all ranks' scenes, in the order of their rollout ids: every rank finds the same cut.
    """
    if not per_minibatch or per_minibatch >= len(scenes):
        return [set(scenes)]
    order = np.random.default_rng(derive_seed(seed, 4, version, epoch)).permutation(len(scenes))
    return [{scenes[place] for place in order[first : first + per_minibatch]} for first in range(0, len(scenes), per_minibatch)]


def first_rows(groups: Sequence[Hashable]) -> tuple[np.ndarray, np.ndarray]:
    """(row of each group's first member, group number of each row): one forward pass a group serves all of its rows."""
    members = group_rows(groups)
    number = np.zeros(len(groups), dtype=np.int64)
    for place, rows in enumerate(members.values()):
        number[rows] = place
    return np.array([rows[0] for rows in members.values()], dtype=np.int64), number


def _needed(columns: Mapping[str, Any], name: str) -> Any:
    if name not in columns or columns[name] is None:
        raise LearningError(f"the stream's rows have no column {name!r}; they have {', '.join(sorted(columns))}")
    return columns[name]


def _stacked(columns: Mapping[str, Any], name: str, dtype: Any, ids: np.ndarray) -> np.ndarray:
    values = _needed(columns, name)
    if len(values) != len(ids):
        raise LearningError(f"column {name!r} has {len(values)} rows, rollout_id has {len(ids)}")
    try:
        return np.stack([np.asarray(value, dtype=dtype) for value in values])
    except ValueError as error:
        raise LearningError(f"column {name!r} does not stack into one array ({error}); all rollouts of a step need one length") from error


def _optional(columns: Mapping[str, Any], name: str, dtype: Any, ids: np.ndarray) -> np.ndarray | None:
    if columns.get(name) is None or any(value is None for value in columns[name]):
        return None
    return _stacked(columns, name, dtype, ids)
