"""From verdicts to advantages: one pure function of the whole batch of a step.

    parts [rows, parts] --baseline--> differences --/ spread, weights, disagreement--> reward --scale, clamp--> advantages [rows]
                                                                         + credit in time ------> advantages [rows, knots]

Invariants
- A failed verdict is never a number: a row with a NaN in a part that counts is dropped, and has no influence on any other row.
- Every row is either kept or dropped with a reason; dropped rows have advantage 0 and weight 0. No NaN leaves.
- The order of the rows does not matter.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Float64
from pydantic import Field

from auricle.config import Config
from auricle.errors import ConfigError
from auricle.learning.credit import group_rows, time_credit
from auricle.learning.disagreement import disagreement, rank_correlations

FAILED_VERDICT = "failed_verdict"
FAILED_REFERENCE = "failed_reference"
LONE_SAMPLE = "lone_sample"

Baseline = Literal["reference", "group", "critic", "none"]


class AdvantageConfig(Config):
    """How verdicts become advantages."""

    baseline: Baseline = "group"
    """What a sample is compared with. reference: the frozen pretrained enhancer on the same input (the paper). group: the mean of the
    scene's samples (GRPO; ours by default). critic: a learned value of the scene. none: nothing."""
    scale: Literal["batch", "group", "none"] = "batch"
    """Divide by the spread over the batch (PPO), over the scene's own samples (GRPO), or not at all."""
    centre: bool = True
    """Subtract the batch's mean after the baselines reference, critic and none: exploration alone makes nearly every sample worse than the
    reference, which says nothing about which sample is good."""
    clamp: float = Field(default=3.0, gt=0)
    """Largest absolute advantage, in units of the spread."""
    spread_floor: float = Field(default=1e-3, gt=0)
    """Smallest spread that is divided by, in each part's own unit: ties stay ties. Where no part of the batch is spread wider than this
    (a saturated judge) all advantages shrink with the spread, whatever `scale` says: its jitter is not blown up."""
    credit_weight: float = Field(default=0.5, ge=0)
    """Weight of credit in time beside the whole clip's advantage; 0 leaves the judges' spans unused."""
    disagreement_penalty: float = Field(default=0.0, ge=0)
    """Standard deviations over the panel's parts, each in units of its own spread, that are subtracted from their mean: a guard against
    hacking one judge, which needs parts from judges that were not trained on each other's scores. Under the baseline group judges are
    compared on a scene's samples beside one another, so that it needs three samples of a scene (of two, each is as far off as the other).
    0: none."""


LEAST_GROUP_SPREAD = 0.01
"""Smallest spread of a scene's samples that scale `group` divides by, in units of the batch's: in a scene whose samples all but tie, jitter
must not count as much as a lively scene's differences."""

GRPO = AdvantageConfig(baseline="group", scale="group")


@dataclass(frozen=True)
class Advantages:
    """The outcome for one batch, row by row.

    values: [rows] or, with credit in time, [rows, knots]; 0 where dropped. kept: rows that are trained on. reasons: why a row was dropped,
    or "". rewards: the weighted mean of the parts on their own scales, for people to read; NaN where a verdict failed. value_targets: what
    a critic should predict, the weighted sum of the parts in standard units of the batch (less the disagreement penalty); 0 where dropped.
    disagreement: the judges' spread in those units; 0 where dropped. rank_correlations: of pairs of `parts` columns, over the kept rows.
    """

    values: Float64[np.ndarray, "rows *knots"]
    kept: Bool[np.ndarray, " rows"]
    reasons: tuple[str, ...]
    rewards: Float64[np.ndarray, " rows"]
    value_targets: Float64[np.ndarray, " rows"]
    disagreement: Float64[np.ndarray, " rows"]
    rank_correlations: dict[tuple[int, int], float]

    def dropped(self) -> dict[str, int]:
        """How many rows were dropped, by reason."""
        counts: dict[str, int] = {}
        for reason in self.reasons:
            if reason:
                counts[reason] = counts.get(reason, 0) + 1
        return counts


def compute_advantages(
    parts: Float[np.ndarray, "rows parts"],
    groups: Sequence[Hashable],
    weights: Sequence[float],
    config: AdvantageConfig,
    *,
    reference_parts: Float[np.ndarray, "rows parts"] | None = None,
    values: Float[np.ndarray, " rows"] | None = None,
    credit: Float[np.ndarray, "rows knots"] | None = None,
) -> Advantages:
    """Advantages of all rows of one step.

    parts: a column a judge (or metric), on its own scale, NaN where it failed. groups: which rows are samples of one scene. weights: one a
    part; a part of weight 0 is ignored, failures included. reference_parts: the same for the frozen reference. values: the critic's.
    credit: penalties per knot (`credit.span_penalties`). Raises ConfigError where the inputs do not fit the baseline.
    """
    parts, counted = _checked(parts, groups, weights, config, reference_parts, values)
    used, columns = parts[:, counted], np.flatnonzero(counted)
    part_weights = np.asarray(weights, dtype=np.float64)[counted]
    reasons = np.where(np.isfinite(used).all(axis=1), "", FAILED_VERDICT).astype(object)
    baseline_parts = None
    if config.baseline == "reference":
        assert reference_parts is not None
        baseline_parts = np.asarray(reference_parts, dtype=np.float64)[:, counted]
        reasons[(reasons == "") & ~np.isfinite(baseline_parts).all(axis=1)] = FAILED_REFERENCE
    members = group_rows(groups)
    if config.baseline == "group" or config.scale == "group":
        for rows in members.values():
            alive = rows[reasons[rows] == ""]
            if len(alive) < 2:
                # One sample's mean is itself: it would always get 0, and dilute the batch. Said rather than hidden.
                reasons[alive] = LONE_SAMPLE
    kept = reasons == ""
    differences = _differences(used, baseline_parts, kept, members, config.baseline)
    spread = _units(differences, kept, config.spread_floor)
    # About the same differences that are rewarded. Judges' tastes in scenes are no doubt about a sample, and would drown it: they are often
    # many times wider than what samples of one scene differ by, which is the unit (docs/log.md, disagreement).
    apart = np.where(kept, disagreement(_batch_centred(differences, kept) / spread, part_weights), 0.0)
    penalties = config.disagreement_penalty * np.abs(part_weights).sum() * apart
    raw = np.where(kept, (differences / spread) @ part_weights - penalties, 0.0)
    plain = _batch_centred(np.where(kept[:, None], used, 0.0), kept)
    standardised = (plain / _units(plain, kept, config.spread_floor)) @ part_weights - penalties
    if config.baseline == "critic":
        assert values is not None
        raw = np.where(kept, standardised - np.asarray(values, dtype=np.float64), 0.0)
    # A penalty is never negative: what it takes from all samples alike says nothing about which of them is good.
    if config.baseline == "group":
        raw = _centred(raw, kept, list(members.values()))
    elif config.centre:
        raw = _centred(raw, kept, [np.arange(len(raw))])
    measured = plain if config.baseline == "critic" else differences
    advantages = _scaled(raw, kept, members, config) * _liveliness(measured, kept, config.spread_floor)
    if credit is not None and config.credit_weight > 0:
        in_time = time_credit(np.asarray(credit, dtype=np.float64), groups, kept, config.spread_floor)
        advantages = np.where(kept[:, None], advantages[:, None] + config.credit_weight * in_time, 0.0)
    return Advantages(
        values=np.clip(advantages, -config.clamp, config.clamp),
        kept=kept,
        reasons=tuple(str(reason) for reason in reasons),
        rewards=_readable(used, part_weights),
        value_targets=standardised,
        disagreement=apart,
        rank_correlations={
            (int(columns[left]), int(columns[right])): value
            for (left, right), value in rank_correlations(differences, kept, part_weights).items()
        },
    )


def _checked(
    parts: np.ndarray,
    groups: Sequence[Hashable],
    weights: Sequence[float],
    config: AdvantageConfig,
    reference_parts: np.ndarray | None,
    values: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    parts = np.asarray(parts, dtype=np.float64)
    if parts.ndim != 2 or parts.shape != (len(groups), len(weights)):
        raise ConfigError(f"parts of shape {parts.shape} do not fit {len(groups)} rows and {len(weights)} part weights")
    counted = np.array([weight != 0 for weight in weights], dtype=bool)
    if not counted.any():
        raise ConfigError("every part of the reward has weight 0: give at least one judge a weight")
    if config.baseline == "reference" and (reference_parts is None or np.shape(reference_parts) != parts.shape):
        raise ConfigError("baseline = 'reference' needs reference_parts, of the shape of parts; judge the frozen reference too")
    if config.baseline == "critic" and (values is None or len(values) != len(parts)):
        raise ConfigError("baseline = 'critic' needs one value a row: switch the policy's value head on")
    if config.baseline == "critic" and not np.isfinite(np.asarray(values, dtype=np.float64)).all():
        raise ConfigError("the critic's values are not finite: it has diverged; lower the learning rate")
    return parts, counted


def _differences(
    parts: np.ndarray, baseline_parts: np.ndarray | None, kept: np.ndarray, members: dict[Hashable, np.ndarray], baseline: Baseline
) -> np.ndarray:
    """Parts minus their baseline, part by part; 0 in the rows that are not kept."""
    result = np.zeros_like(parts)
    if baseline == "reference":
        assert baseline_parts is not None
        result[kept] = parts[kept] - baseline_parts[kept]
    elif baseline == "group":
        for rows in members.values():
            used = rows[kept[rows]]
            if len(used):
                result[used] = parts[used] - parts[used].mean(axis=0)
    else:
        result[kept] = parts[kept]
    return result


def _units(differences: np.ndarray, kept: np.ndarray, floor: float) -> np.ndarray:
    """Each part's spread over the kept rows, which it is measured in."""
    used = differences[kept]
    return np.maximum(np.sqrt(np.mean(np.square(used - _mean(used)), axis=0)) if len(used) else np.ones(differences.shape[1]), floor)


def _liveliness(differences: np.ndarray, kept: np.ndarray, floor: float) -> float:
    """1 where some part is spread over the kept rows by `floor` or more; else the widest part's share of it, 0 where all parts tie."""
    used = differences[kept]
    return float(min(1.0, used.std(axis=0).max() / floor)) if len(used) else 0.0


def _batch_centred(parts: np.ndarray, kept: np.ndarray) -> np.ndarray:
    return np.where(kept[:, None], parts - _mean(parts[kept]), 0.0)


def _centred(raw: np.ndarray, kept: np.ndarray, sets: Sequence[np.ndarray]) -> np.ndarray:
    """`raw` minus the mean of the kept rows of each set; 0 in the others."""
    result = np.zeros_like(raw)
    for rows in sets:
        used = rows[kept[rows]]
        if len(used):
            result[used] = raw[used] - raw[used].mean()
    return result


def _readable(parts: np.ndarray, weights: np.ndarray) -> np.ndarray:
    judged = np.isfinite(parts).all(axis=1)
    rewards = np.full(len(parts), np.nan)
    rewards[judged] = parts[judged] @ weights / np.abs(weights).sum()
    return rewards


def _scaled(raw: np.ndarray, kept: np.ndarray, members: dict[Hashable, np.ndarray], config: AdvantageConfig) -> np.ndarray:
    if config.scale == "none" or not kept.any():
        return raw
    result = raw.copy()
    if config.scale == "batch":
        result[kept] /= max(float(raw[kept].std()), config.spread_floor)
        return result
    for rows in members.values():
        used = rows[kept[rows]]
        if len(used):
            result[used] = (raw[used] - raw[used].mean()) / max(float(raw[used].std()), LEAST_GROUP_SPREAD)
    return result


def _mean(values: np.ndarray) -> np.ndarray | np.floating:
    return values.mean(axis=0) if len(values) else np.zeros(values.shape[1:])
