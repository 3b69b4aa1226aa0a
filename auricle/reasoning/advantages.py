"""Advantages of answers: every kind of question is a batch of its own, because other parts apply to it.

A part's spread is taken over the answers that it applies to, so that a digit's closeness and a span's overlap are each in their own units,
however often each kind is asked in a step.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from auricle.errors import LearningError
from auricle.learning.advantages import AdvantageConfig, Advantages, compute_advantages
from auricle.learning.batch import StepAdvantages
from auricle.reasoning.rows import AnswerRows

DIGIT = "digit"
"""Questions for a score, overall or of a dimension, are one kind."""


def kind_of(task: str) -> str:
    """The kind of question that a task belongs to."""
    return DIGIT if task in ("score", "dimension") else task


def answer_rank_table(rows: AnswerRows) -> dict[str, Any]:
    """What the other ranks need of one rank's rows, so that all can work out the same advantages."""
    return {"rollout_id": rows.rollout_id, "scene_id": rows.scene_id, "task": rows.task, "parts": rows.parts}


def answer_advantages(tables: Sequence[Mapping[str, Any]], weights: Sequence[float], config: AdvantageConfig, step: int) -> StepAdvantages:
    """The whole step's advantages from every rank's table; equal on every rank. Raises LearningError where an answer arrived twice."""
    ids = np.concatenate([table["rollout_id"] for table in tables])
    if len(set(ids.tolist())) != len(ids):
        raise LearningError(f"step {step}: an answer reached the learner twice; ids {sorted(ids.tolist())}")
    order = np.argsort(ids)
    parts = np.concatenate([table["parts"] for table in tables])[order]
    scenes = [scene for table in tables for scene in table["scene_id"]]
    kinds = [kind_of(task) for table in tables for task in table["task"]]
    groups, kinds = [scenes[row] for row in order], [kinds[row] for row in order]
    pieces = []
    for kind in dict.fromkeys(kinds):
        rows = np.array([row for row, own in enumerate(kinds) if own == kind])
        applies = np.isfinite(parts[rows]).any(axis=0)
        own_weights = [weight if used else 0.0 for weight, used in zip(weights, applies, strict=True)]
        if not any(own_weights):
            raise LearningError(
                f"reason.rewards.weights gives no part of the questions of kind {kind!r} a weight; give it one, or do not ask them"
            )
        pieces.append((rows, compute_advantages(parts[rows], [groups[row] for row in rows], own_weights, config)))
    advantages = _joined(pieces, len(ids))
    alive = dict.fromkeys(group for group, kept in zip(groups, advantages.kept, strict=True) if kept)
    return StepAdvantages(advantages, {int(ids[row]): place for place, row in enumerate(order)}, list(alive))


def _joined(pieces: Sequence[tuple[np.ndarray, Advantages]], total: int) -> Advantages:
    """The pieces' values, row by row, in their places."""
    changes: dict[str, Any] = {}
    for field in fields(Advantages):
        first = getattr(pieces[0][1], field.name)
        if isinstance(first, np.ndarray):
            whole = np.zeros((total, *first.shape[1:]), dtype=first.dtype)
            for rows, piece in pieces:
                whole[rows] = getattr(piece, field.name)
            changes[field.name] = whole
        elif isinstance(first, tuple):
            values = [""] * total
            for rows, piece in pieces:
                for row, value in zip(rows, getattr(piece, field.name), strict=True):
                    values[row] = value
            changes[field.name] = tuple(values)
        else:  # between parts of one kind only: not defined over all
            changes[field.name] = type(first)()
    return replace(pieces[0][1], **changes)
