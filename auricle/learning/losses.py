"""The learner's losses and what is watched about them. Shapes: rows (rollouts), knots (in time), bands.

A row's loss is the mean over its knots; a batch's is the weighted mean over its rows. Every function takes the weights (1, or 0 for a row
without a verdict) and the total of all ranks' weights, so that any split of a batch over ranks adds up to the same loss.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


def weighted_mean(
    values: Float[Tensor, "rows *knots"], weights: Float[Tensor, " rows"], total_weight: float | None = None
) -> Float[Tensor, ""]:
    """The mean over rows (each the mean of its knots). `total_weight`: of all ranks; by default that of these rows.

    Rows of weight 0 have no influence, be their values NaN; no weight at all gives 0, still joined to the graph.
    """
    per_row = values.flatten(1).mean(1) if values.ndim > 1 else values
    per_row = torch.where(weights > 0, per_row, torch.zeros_like(per_row))
    total = float(weights.sum()) if total_weight is None else total_weight
    return (per_row * weights).sum() / max(total, 1e-12)


def ppo_clip_loss(
    log_prob: Float[Tensor, "rows knots"],
    old_log_prob: Float[Tensor, "rows knots"],
    advantages: Float[Tensor, "rows *knots"],
    weights: Float[Tensor, " rows"],
    clip: float,
    total_weight: float | None = None,
) -> Float[Tensor, ""]:
    """PPO's clipped surrogate with a ratio per time knot (Schulman et al. 2017, eq. 7), negated so that it is minimised.

    advantages: one a row, or one a row and knot (credit in time).
    """
    if advantages.ndim == 1:
        advantages = advantages[:, None]
    ratio = torch.exp(log_prob - old_log_prob)
    surrogate = torch.min(ratio * advantages, torch.clamp(ratio, 1 - clip, 1 + clip) * advantages)
    return weighted_mean(-surrogate, weights, total_weight)


def gaussian_kl(
    mean: Float[Tensor, "rows knots bands"], other: Float[Tensor, "rows knots bands"], sigma: float, *, reduce: str = "sum"
) -> Float[Tensor, "rows knots"]:
    """KL divergence of two Gaussians of the same fixed sigma: exact, and the same in both directions.

    reduce: `sum` over the bands, or `mean` as for white noise over the mask's own bins (where a sum would dwarf every other term).
    """
    squares = (mean - other).square() / (2 * sigma**2)
    return squares.sum(-1) if reduce == "sum" else squares.mean(-1)


def value_loss(
    values: Float[Tensor, " rows"], targets: Float[Tensor, " rows"], weights: Float[Tensor, " rows"], total_weight: float | None = None
) -> Float[Tensor, ""]:
    """Mean square error of the critic."""
    return weighted_mean((values - targets).square(), weights, total_weight)


@dataclass(frozen=True)
class RatioStatistics:
    """How far the policy has moved from the one that made the rollouts.

    clip_fraction: share of ratios outside the clip range. mean_abs_log_ratio, max_abs_log_ratio: of the log-ratios. effective_share:
    (sum r)^2 / (n sum r^2), 1 where all ratios agree, near 0 where a few rows carry everything. ratios: how many were counted.
    """

    clip_fraction: float
    mean_abs_log_ratio: float
    max_abs_log_ratio: float
    effective_share: float
    ratios: int


def ratio_sums(log_ratio: Float[Tensor, "rows knots"], weights: Float[Tensor, " rows"], clip: float) -> tuple[Tensor, Tensor]:
    """What ranks add up ([count, clipped, sum |l|, sum r, sum r^2]) and what they take the largest of ([max |l|])."""
    used = log_ratio.detach()[weights > 0].double()
    ratio = torch.exp(used)
    clipped = ((ratio < 1 - clip) | (ratio > 1 + clip)).sum()
    sums = torch.stack([torch.tensor(float(used.numel())).double(), clipped.double(), used.abs().sum(), ratio.sum(), ratio.square().sum()])
    largest = used.abs().max() if used.numel() else torch.zeros((), dtype=torch.float64)
    return sums, largest.reshape(1)


def ratio_statistics(sums: Tensor, largest: Tensor) -> RatioStatistics:
    """The statistics from the sums of all ranks; all zero (and a share of 1) where nothing was counted."""
    count, clipped, absolute, total, squares = (float(value) for value in sums)
    if not count:
        return RatioStatistics(0.0, 0.0, 0.0, 1.0, 0)
    return RatioStatistics(clipped / count, absolute / count, float(largest[0]), total**2 / (count * squares), int(count))
