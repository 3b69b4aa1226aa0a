"""The losses against values worked out by hand, and their independence of how rows are split."""

import math

import pytest
import torch

from auricle.learning.losses import gaussian_kl, ppo_clip_loss, ratio_statistics, ratio_sums, value_loss, weighted_mean


def hand_written(log_prob, old, advantages, weights, clip):
    """PPO-clip with plain numbers, row by row and knot by knot."""
    total = 0.0
    for row, weight in enumerate(weights):
        if not weight:
            continue
        terms = []
        for knot in range(len(log_prob[row])):
            ratio = math.exp(log_prob[row][knot] - old[row][knot])
            terms.append(min(ratio * advantages[row], min(max(ratio, 1 - clip), 1 + clip) * advantages[row]))
        total -= sum(terms) / len(terms)
    return total / sum(weights)


def batch(rows=6, knots=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    old = torch.randn(rows, knots, generator=generator, dtype=torch.float64)
    new = old + 0.4 * torch.randn(rows, knots, generator=generator, dtype=torch.float64)
    return new, old, torch.randn(rows, generator=generator, dtype=torch.float64), torch.tensor([1.0, 1, 0, 1, 1, 0])


def test_ppo_clip_equals_the_hand_written_loss():
    new, old, advantages, weights = batch()
    loss = ppo_clip_loss(new, old, advantages, weights, 0.2)
    assert float(loss) == pytest.approx(hand_written(new.tolist(), old.tolist(), advantages.tolist(), weights.tolist(), 0.2), abs=1e-12)


def test_advantages_per_knot_reduce_to_advantages_per_row():
    new, old, advantages, weights = batch()
    spread_out = advantages[:, None].expand(-1, new.shape[1])
    assert torch.equal(ppo_clip_loss(new, old, advantages, weights, 0.2), ppo_clip_loss(new, old, spread_out, weights, 0.2))


def test_rows_of_weight_zero_have_no_influence_even_as_nan():
    new, old, advantages, weights = batch()
    expected = ppo_clip_loss(new, old, advantages, weights, 0.2)
    new[weights == 0] = math.nan
    advantages[weights == 0] = math.nan
    assert torch.equal(ppo_clip_loss(new, old, advantages, weights, 0.2), expected)


def test_the_shares_of_two_ranks_add_up_to_the_loss_of_one():
    new, old, advantages, weights = batch()
    total = float(weights.sum())
    halves = [ppo_clip_loss(new[s], old[s], advantages[s], weights[s], 0.2, total) for s in (slice(0, 2), slice(2, 6))]
    torch.testing.assert_close(sum(halves), ppo_clip_loss(new, old, advantages, weights, 0.2))


def test_no_rows_at_all_give_a_loss_of_zero_that_still_has_gradients():
    new, old, advantages, _ = batch()
    new.requires_grad_()
    loss = ppo_clip_loss(new, old, advantages, torch.zeros(6), 0.2)
    loss.backward()
    assert loss == 0
    assert not new.grad.any()


def test_kl_equals_torchs_for_gaussians_of_one_sigma():
    mean, other = torch.randn(3, 4, 5), torch.randn(3, 4, 5)
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(mean, 0.7), normal(other, 0.7))
    torch.testing.assert_close(gaussian_kl(mean, other, 0.7), expected.sum(-1))
    torch.testing.assert_close(gaussian_kl(mean, other, 0.7, reduce="mean"), expected.mean(-1))


def test_ratio_statistics_add_up_over_ranks():
    log_ratio = torch.tensor([[0.0, 0.5], [-0.5, 0.1], [9.0, 9.0]])
    weights = torch.tensor([1.0, 1.0, 0.0])
    parts = [ratio_sums(log_ratio[row : row + 1], weights[row : row + 1], 0.2) for row in range(3)]
    together = ratio_statistics(sum(sums for sums, _ in parts), torch.stack([largest for _, largest in parts]).max(0).values)
    assert together.clip_fraction == 0.5
    assert together.max_abs_log_ratio == 0.5
    assert together.mean_abs_log_ratio == pytest.approx(0.275)
    ratios = [math.exp(value) for value in (0.0, 0.5, -0.5, 0.1)]
    assert together.effective_share == pytest.approx(sum(ratios) ** 2 / (4 * sum(r * r for r in ratios)), rel=1e-6)
    empty = ratio_statistics(*ratio_sums(log_ratio, torch.zeros(3), 0.2))
    assert (empty.ratios, empty.effective_share) == (0, 1.0)


def test_value_loss_is_the_weighted_mean_square():
    assert float(value_loss(torch.tensor([1.0, 5.0]), torch.tensor([3.0, 0.0]), torch.tensor([1.0, 0.0]))) == 4.0
    assert float(weighted_mean(torch.tensor([2.0, 4.0]), torch.tensor([1.0, 1.0]))) == 3.0
