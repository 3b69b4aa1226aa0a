"""GRPO's loss on the tokens of sampled answers (Shao et al., arXiv 2402.03300, equation 3). Shapes: rows (answers), tokens (padded).

A row's loss is the mean over its own tokens, a batch's the weighted mean over rows: a long answer weighs no more than a digit. Padding is
masked out before anything is summed, whatever stands in it.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from auricle.learning.losses import weighted_mean


def row_means(values: Float[Tensor, "rows tokens"], mask: Bool[Tensor, "rows tokens"]) -> Float[Tensor, " rows"]:
    """Each row's mean over its tokens; 0 for a row without any."""
    return torch.where(mask, values, torch.zeros_like(values)).sum(1) / mask.sum(1).clamp_min(1)


def token_policy_loss(
    log_prob: Float[Tensor, "rows tokens"],
    old_log_prob: Float[Tensor, "rows tokens"],
    advantages: Float[Tensor, " rows"],
    mask: Bool[Tensor, "rows tokens"],
    weights: Float[Tensor, " rows"],
    clip: float,
    total_weight: float | None = None,
) -> Float[Tensor, ""]:
    """PPO's clipped surrogate with a ratio per token, negated so that it is minimised. One advantage an answer."""
    ratio = torch.exp(masked_log_ratio(log_prob, old_log_prob, mask))
    advantage = advantages[:, None]
    surrogate = torch.min(ratio * advantage, torch.clamp(ratio, 1 - clip, 1 + clip) * advantage)
    return weighted_mean(row_means(-surrogate, mask), weights, total_weight)


def token_kl(
    log_prob: Float[Tensor, "rows tokens"],
    reference_log_prob: Float[Tensor, "rows tokens"],
    mask: Bool[Tensor, "rows tokens"],
    weights: Float[Tensor, " rows"],
    total_weight: float | None = None,
) -> Float[Tensor, ""]:
    """KL(policy, reference) by the k3 estimator exp(d) - d - 1, d = reference - policy: unbiased on the policy's own samples, never
    negative (arXiv 2402.03300, equation 4)."""
    difference = masked_log_ratio(reference_log_prob, log_prob, mask)
    return weighted_mean(row_means(torch.exp(difference) - difference - 1.0, mask), weights, total_weight)


def masked_log_ratio(
    log_prob: Float[Tensor, "rows tokens"], old_log_prob: Float[Tensor, "rows tokens"], mask: Bool[Tensor, "rows tokens"]
) -> Float[Tensor, "rows tokens"]:
    """The difference, 0 in the padding: also for gradients, where a NaN times 0 would be NaN."""
    zero = torch.zeros_like(log_prob)
    return torch.where(mask, log_prob, zero) - torch.where(mask, old_log_prob, zero)
