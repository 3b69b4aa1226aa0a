"""Advantages of answers: every kind of question is a batch of its own, because other parts apply to it.

A part's spread is taken over the answers that it applies to, so that a digit's closeness and a span's overlap are each in their own units,
however often each kind is asked in a step. A part that applies to some answers of a kind only (times: to those that name the artefact) is
compared among these: what it adds has mean 0 over them, so that it neither favours nor taxes that it applies. All other parts of a row are
times its `shares`, by which clips that are drawn more often than they come count as often as they come.
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


def answer_rank_table(rows: AnswerRows, shares: np.ndarray | None = None) -> dict[str, Any]:
    """What the other ranks need of one rank's rows, so that all can work out the same advantages. shares: one a row; 1 without."""
    shares = np.ones(len(rows)) if shares is None else shares
    return {"rollout_id": rows.rollout_id, "scene_id": rows.scene_id, "task": rows.task, "parts": rows.parts, "shares": shares}


def answer_advantages(tables: Sequence[Mapping[str, Any]], weights: Sequence[float], config: AdvantageConfig, step: int) -> StepAdvantages:
    """The whole step's advantages from every rank's table; equal on every rank. Raises LearningError where an answer arrived twice."""
    ids = np.concatenate([table["rollout_id"] for table in tables])
    if len(set(ids.tolist())) != len(ids):
        raise LearningError(f"step {step}: an answer reached the learner twice; ids {sorted(ids.tolist())}")
    order = np.argsort(ids)
    parts = np.concatenate([table["parts"] for table in tables])[order]
    shares = np.concatenate([table["shares"] for table in tables])[order]
    scenes = [scene for table in tables for scene in table["scene_id"]]
    kinds = [kind_of(task) for table in tables for task in table["task"]]
    groups, kinds = [scenes[row] for row in order], [kinds[row] for row in order]
    pieces = []
    for kind in dict.fromkeys(kinds):
        rows = np.array([row for row, own in enumerate(kinds) if own == kind])
        if not any(weight for weight, used in zip(weights, np.isfinite(parts[rows]).all(axis=0), strict=True) if used):
            raise LearningError(
                f"reason.rewards.weights gives no part of the questions of kind {kind!r} a weight; give it one, or do not ask them"
            )
        pieces.append((rows, _of_kind(parts[rows], [groups[row] for row in rows], shares[rows], weights, config)))
    advantages = _joined(pieces, len(ids))
    alive = dict.fromkeys(group for group, kept in zip(groups, advantages.kept, strict=True) if kept)
    return StepAdvantages(advantages, {int(ids[row]): place for place, row in enumerate(order)}, list(alive))


def _of_kind(parts: np.ndarray, groups: Sequence[str], shares: np.ndarray, weights: Sequence[float], config: AdvantageConfig) -> Advantages:
    """Advantages of one kind of question: of the parts that apply to all of its answers, and beside them of each that applies to some."""
    finite = np.isfinite(parts)
    found = compute_advantages(
        parts, groups, [weight if used else 0.0 for weight, used in zip(weights, finite.all(axis=0), strict=True)], config
    )
    values = found.values * shares
    for part in np.flatnonzero(finite.any(axis=0) & ~finite.all(axis=0)):
        rows = np.flatnonzero(finite[:, part])
        if weights[part]:
            alone = [weight if place == part else 0.0 for place, weight in enumerate(weights)]
            among = compute_advantages(parts[rows], [groups[row] for row in rows], alone, config)
            values[rows] += abs(weights[part]) * among.values
    return replace(found, values=np.clip(values, -config.clamp, config.clamp))


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
