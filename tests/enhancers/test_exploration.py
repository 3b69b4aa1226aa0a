import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Normal

from auricle.enhancers.exploration import ExplorationConfig, Explorer, band_basis, knot_basis
from auricle.errors import ConfigError
from auricle.learning.schedule import derive_seed

BINS_HZ = torch.linspace(0, 8000, 257)
HOP_S = 0.016


def explorer(**options):
    return Explorer(BINS_HZ, HOP_S, ExplorationConfig(**options))


def seeds(count, *, step=0):
    return [derive_seed(7, step, row // 2, row % 2) for row in range(count)]


def test_two_seconds_have_eight_bands_and_six_knots():
    explore = explorer()
    mean = explore.mean(torch.randn(3, 257, 126))
    assert mean.shape == (3, 8, 6)
    assert explore.knot_times_s(126) == pytest.approx(np.arange(6) * 0.4)


@settings(max_examples=30, deadline=None)
@given(steps=st.integers(1, 400), bands=st.integers(2, 24), knot_s=st.floats(0.05, 3.0))
def test_the_mean_of_a_sample_is_its_action(steps, bands, knot_s):
    explore = explorer(bands=bands, knot_s=knot_s)
    logits = torch.randn(2, 257, steps, dtype=torch.float64)
    mean = explore.mean(logits)
    action = explore.sample(mean, seeds(2))
    assert torch.allclose(explore.mean(explore.apply(logits, mean, action)), action, atol=1e-9)
    assert torch.allclose(explore.apply(logits, mean, mean), logits)


def test_bases_are_partitions_of_unity():
    assert torch.allclose(band_basis(BINS_HZ, 8).sum(1), torch.ones(257, dtype=torch.float64))
    assert torch.allclose(knot_basis(126, 6).sum(1), torch.ones(126, dtype=torch.float64))


def test_log_ratio_is_the_exact_gaussian_one():
    explore = explorer(sigma=0.7)
    old, new = explore.mean(torch.randn(4, 257, 126)), explore.mean(torch.randn(4, 257, 126))
    action = explore.sample(old, seeds(4))
    eps, delta = (action - old) / 0.7, (new - old) / 0.7
    by_formula = (eps * delta - delta.square() / 2).sum(1)
    assert torch.allclose(explore.log_prob(action, new) - explore.log_prob(action, old), by_formula, atol=1e-4)
    assert torch.allclose(explore.log_prob(action, new), Normal(new, 0.7).log_prob(action).sum(1), atol=1e-4)


def test_importance_ratios_average_to_one():
    explore = explorer(bands=2, knot_s=2.0)
    old = torch.zeros(4000, 2, 2)
    new = old + 0.3
    action = explore.sample(old, seeds(4000))
    ratio = (explore.log_prob(action, new) - explore.log_prob(action, old)).exp()
    assert ratio.mean(0).tolist() == pytest.approx([1.0, 1.0], abs=0.03)


def test_kl_is_exact():
    explore = explorer(sigma=0.5)
    one, other = torch.randn(2, 8, 6), torch.randn(2, 8, 6)
    expected = torch.distributions.kl_divergence(Normal(one, 0.5), Normal(other, 0.5)).sum(1)
    assert torch.allclose(explore.kl(one, other), expected, atol=1e-5)


def test_draws_depend_on_the_row_and_not_on_its_company():
    explore = explorer()
    mean = torch.zeros(4, 8, 6)
    together = explore.sample(mean, seeds(4))
    alone = torch.cat([explore.sample(mean[i : i + 1], seeds(4)[i : i + 1]) for i in range(4)])
    assert torch.equal(together, alone)
    assert len({tuple(row.flatten().tolist()) for row in together}) == 4
    assert not torch.equal(together, explore.sample(mean, seeds(4, step=1)))


def test_the_mean_is_differentiable():
    explore = explorer()
    logits = torch.randn(2, 257, 60, requires_grad=True)
    action = explore.sample(explore.mean(logits).detach(), seeds(2))
    explore.log_prob(action, explore.mean(logits) + 0.1).sum().backward()
    assert logits.grad.abs().sum() > 0


@pytest.mark.parametrize("mask", ["sigmoid", "relu"])
def test_white_noise_is_on_the_mask_and_mean_reduced(mask):
    explore = Explorer(BINS_HZ, HOP_S, ExplorationConfig(kind="white"), mask=mask)
    logits = torch.rand(2, 257, 100)  # masks well inside (0, 1)
    mean = explore.mean(logits)
    action = explore.sample(mean, seeds(2))
    assert float((action - mean).std()) == pytest.approx(0.05, rel=0.05)
    assert torch.allclose(explore.mean(explore.apply(logits, mean, action)), action.clamp(min=0), atol=1e-5)
    assert torch.equal(explore.apply(logits, mean, mean), logits)
    assert torch.allclose(explore.log_prob(action, mean), Normal(mean, 0.05).log_prob(action).mean(1), atol=1e-4)


def test_too_many_bands_are_refused():
    with pytest.raises(ConfigError, match="use fewer"):
        Explorer(torch.linspace(0, 8000, 9), HOP_S, ExplorationConfig(bands=16))


def test_wrong_bins_and_seeds_are_named():
    explore = explorer()
    with pytest.raises(ValueError, match="made for 257"):
        explore.mean(torch.zeros(1, 129, 10))
    with pytest.raises(ValueError, match="one seed a row"):
        explore.sample(torch.zeros(2, 8, 6), [1])
