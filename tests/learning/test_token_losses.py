"""GRPO on tokens: by hand, masked, and split over ranks."""

import pytest
import torch

from auricle.learning.token_losses import row_means, token_kl, token_policy_loss

MASK = torch.tensor([[True, True, False], [True, False, False]])


def test_the_loss_is_that_of_the_paper_by_hand() -> None:
    new = torch.tensor([[0.0, 0.3, 9.0], [-0.5, 9.0, 9.0]])
    advantages, weights = torch.tensor([1.0, -2.0]), torch.ones(2)
    found = token_policy_loss(new, torch.zeros(2, 3), advantages, MASK, weights, 0.2)
    # Row 1: ratios 1 and e^.3, clipped to 1.2. Row 2: e^-.5 = .61 with a negative advantage, clipped from below to .8.
    assert float(found) == pytest.approx((-(1.0 + 1.2) / 2 + 2.0 * 0.8) / 2)


def test_kl_is_never_negative_and_zero_at_equality() -> None:
    values = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    assert float(token_kl(values, values, MASK, torch.ones(2))) == 0.0
    assert float(token_kl(values, values + 0.5, MASK, torch.ones(2))) > 0.0
    assert float(token_kl(values, values - 0.5, MASK, torch.ones(2))) > 0.0


def test_padding_has_no_influence_be_it_nan_and_neither_have_dropped_rows() -> None:
    clean = torch.tensor([[0.1, 0.2, 0.0], [0.3, 0.0, 0.0]])
    dirty = torch.where(MASK, clean, torch.nan).requires_grad_()
    weights, advantages = torch.tensor([1.0, 0.0]), torch.tensor([1.0, 5.0])
    loss = token_policy_loss(dirty, torch.zeros(2, 3), advantages, MASK, weights, 0.2)
    loss = loss + token_kl(dirty, torch.where(MASK, clean - 0.1, torch.nan), MASK, weights)
    loss.backward()
    assert torch.isfinite(loss)
    assert dirty.grad is not None
    assert torch.equal(dirty.grad != 0, torch.tensor([[True, True, False], [False, False, False]]))


def test_shares_of_ranks_add_up() -> None:
    new, old = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(1)).mul(0.1)
    mask, weights, advantages = torch.ones(4, 3, dtype=torch.bool), torch.ones(4), torch.tensor([1.0, -1.0, 0.5, 2.0])
    whole = token_policy_loss(new, old, advantages, mask, weights, 0.2)
    parts = [token_policy_loss(new[i], old[i], advantages[i], mask[i], weights[i], 0.2, 4.0) for i in (slice(0, 3), slice(3, 4))]
    assert float(sum(parts)) == pytest.approx(float(whole), abs=1e-6)


def test_an_empty_row_has_the_mean_zero() -> None:
    assert row_means(torch.ones(1, 2), torch.zeros(1, 2, dtype=torch.bool)).tolist() == [0.0]
