"""The rows of one learner step as one rank holds them, their advantages among all ranks' rows, and how they are cut into minibatches."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from auricle.errors import LearningError
from auricle.learning.advantages import AdvantageConfig, Advantages, compute_advantages
from auricle.learning.credit import group_rows
from auricle.learning.outcome import RowOutcome
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


@dataclass(frozen=True)
class StepAdvantages:
    """The advantages of all ranks' rows of a step, in the order of their ids. Equal on every rank.

    places: where each id is in them. scenes: those with a row that is trained on, in the same order.
    """

    advantages: Advantages
    places: dict[int, int]
    scenes: list[str]

    def rows_of(self, rollout_ids: Int64[np.ndarray, " rows"]) -> Int64[np.ndarray, " rows"]:
        """The places of these ids."""
        return np.array([self.places[int(rollout_id)] for rollout_id in rollout_ids], dtype=np.int64)


def rank_table(rows: StepRows, values: np.ndarray | None) -> dict[str, Any]:
    """What the other ranks need of one rank's rows, so that all can work out the same advantages."""
    names = ("rollout_id", "scene_id", "parts", "reference_parts", "credit")
    return {name: getattr(rows, name) for name in names} | {"values": values}


def step_advantages(
    tables: Sequence[Mapping[str, Any]], part_weights: Sequence[float], config: AdvantageConfig, step: int
) -> StepAdvantages:
    """The whole step's advantages from every rank's table. Raises LearningError where a rollout arrived twice."""
    ids = np.concatenate([table["rollout_id"] for table in tables])
    if len(set(ids.tolist())) != len(ids):
        raise LearningError(f"step {step}: a rollout reached the learner twice; ids {sorted(ids.tolist())}")
    order = np.argsort(ids)
    scenes = [scene for table in tables for scene in table["scene_id"]]
    groups = [scenes[row] for row in order]

    def column(name: str) -> Any:
        parts = [table[name] for table in tables]
        return None if any(part is None for part in parts) else np.concatenate(parts)[order]

    advantages = compute_advantages(
        column("parts"),
        groups,
        part_weights,
        config,
        reference_parts=column("reference_parts"),
        values=column("values"),
        credit=column("credit"),
    )
    alive = dict.fromkeys(group for group, kept in zip(groups, advantages.kept, strict=True) if kept)
    return StepAdvantages(advantages, {int(ids[row]): place for place, row in enumerate(order)}, list(alive))


def silenced(rows: StepRows) -> StepRows:
    """The same rows with nothing in them: a scene that could not be loaded may hold anything, NaN too."""
    empty = {name: np.zeros_like(getattr(rows, name)) for name in ("mix", "action", "action_mean", "reference_mean")}
    return replace(rows, **empty, target=None if rows.target is None else np.zeros_like(rows.target))


def outcomes(rows: StepRows, step: StepAdvantages) -> list[RowOutcome]:
    """What became of each of these rows."""
    found = step.advantages
    per_row = found.values if found.values.ndim == 1 else found.values.mean(axis=1)
    return [
        RowOutcome(
            rollout_id=int(rollout_id),
            state="trained" if found.kept[place] else "dropped",
            reason=found.reasons[place],
            reward=float(found.rewards[place]),
            advantage=float(per_row[place]),
        )
        for rollout_id, place in zip(rows.rollout_id, step.rows_of(rows.rollout_id), strict=True)
    ]


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
