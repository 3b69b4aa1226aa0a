"""The policy: one distribution in RLlib's terms and in the explorer's, one draw a seed, and nothing left to chance in training."""

import numpy as np
import pytest
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.distribution.torch.torch_distribution import TorchDiagGaussian
from torch import nn

from actors.policy import ENHANCED, FRAMES, LOGITS, MIX, NOISE_SEEDS, SCENE_ROW, EnhancementPolicy
from auricle.enhancers.exploration import ExplorationConfig
from tests.actors.rows import EXPLORATION, small_enhancer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_enhancer(tmp_path_factory.mktemp("enhancer"))


def batch(scenes=3, samples=2):
    generator = torch.Generator().manual_seed(1)
    mix = 0.1 * torch.randn(scenes, 6400, generator=generator)
    frames = torch.randint(0, 255, (scenes, 10, 16, 16), dtype=torch.uint8, generator=generator)
    rows = torch.arange(scenes).repeat_interleave(samples)
    return {Columns.OBS: {MIX: mix, FRAMES: frames}, SCENE_ROW: rows, NOISE_SEEDS: list(range(10, 10 + scenes * samples))}


@pytest.mark.parametrize("kind", ["knots", "white"])
def test_rllibs_distribution_is_the_explorers(folder, kind):
    policy = EnhancementPolicy.from_enhancer(folder, ExplorationConfig(kind=kind, bands=4))
    made = policy.forward_exploration(batch())
    distribution = policy.get_train_action_dist_cls().from_logits(made[Columns.ACTION_DIST_INPUTS])
    torch.testing.assert_close(distribution.logp(made[Columns.ACTIONS]), made[Columns.ACTION_LOGP])
    other = policy.get_train_action_dist_cls().from_logits(made[Columns.ACTION_DIST_INPUTS] + 0.1)
    expected = policy.explorer.kl(made[Columns.ACTION_DIST_INPUTS].mT, made[Columns.ACTION_DIST_INPUTS].mT + 0.1)
    torch.testing.assert_close(distribution.kl(other), expected)


def test_summed_over_bands_it_is_rllibs_diagonal_gaussian(folder):
    policy = EnhancementPolicy.from_enhancer(folder, EXPLORATION)
    made = policy.forward_exploration(batch())
    mean, action = made[Columns.ACTION_DIST_INPUTS], made[Columns.ACTIONS]
    rllibs = TorchDiagGaussian(loc=mean, scale=torch.full_like(mean, policy.explorer.sigma))
    ours = policy.get_train_action_dist_cls().from_logits(mean)
    torch.testing.assert_close(ours.logp(action), rllibs.logp(action))
    torch.testing.assert_close(ours.entropy(), rllibs.entropy())


def test_a_draw_depends_on_its_seed_and_not_on_its_neighbours(folder):
    policy = EnhancementPolicy.from_enhancer(folder, EXPLORATION)
    whole = batch()
    alone = {Columns.OBS: {name: value[1:2] for name, value in whole[Columns.OBS].items()}, NOISE_SEEDS: whole[NOISE_SEEDS][3:4]}
    together, single = policy.forward_exploration(whole), policy.forward_exploration(alone)
    torch.testing.assert_close(single[Columns.ACTIONS][0], together[Columns.ACTIONS][3], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(single[ENHANCED][0], together[ENHANCED][3], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(together[Columns.ACTIONS][2], together[Columns.ACTIONS][3])


def test_samples_of_a_scene_share_one_forward_pass(folder):
    policy = EnhancementPolicy.from_enhancer(folder, EXPLORATION)
    out = policy.forward_train(batch(scenes=3, samples=4))
    assert len(out[LOGITS]) == 3
    assert len(out[Columns.ACTION_DIST_INPUTS]) == 12
    assert torch.equal(out[Columns.ACTION_DIST_INPUTS][0], out[Columns.ACTION_DIST_INPUTS][3])


def test_inference_is_the_enhancer_itself_and_works_without_a_picture(folder):
    policy = EnhancementPolicy.from_enhancer(folder, EXPLORATION)
    inputs = batch()
    mix = inputs[Columns.OBS][MIX]
    out = policy.forward_inference({Columns.OBS: {MIX: mix}})
    torch.testing.assert_close(out[ENHANCED], policy.enhancer.enhance(mix, None))


def test_training_mode_leaves_nothing_to_chance(folder):
    policy = EnhancementPolicy.from_enhancer(folder, EXPLORATION)
    policy.enhancer.add_module("extra", nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(3)))
    policy.train()
    assert policy.training
    assert policy.enhancer.core.training
    assert not any(module.training for module in policy.enhancer.extra)


def test_the_critic_starts_at_zero_and_sends_no_gradient_into_the_mask(folder):
    policy = EnhancementPolicy.from_enhancer(folder, EXPLORATION, critic=True)
    inputs = batch()
    out = policy.forward_train(inputs)
    values = policy.compute_values(inputs, out[Columns.EMBEDDINGS])
    assert values.tolist() == [0.0] * 6
    (values + policy.critic.hidden(out[Columns.EMBEDDINGS]).sum(1)).sum().backward()
    assert all(parameter.grad is None for parameter in policy.enhancer.parameters())
    assert EnhancementPolicy.from_enhancer(folder, EXPLORATION).compute_values(inputs).tolist() == [0.0] * 6


def test_bf16_layers_still_give_fp32_means(folder):
    policy = EnhancementPolicy.from_enhancer(folder, EXPLORATION)
    exact = policy.forward_inference(batch())
    policy.precision = "bf16"
    rough = policy.forward_inference(batch())
    assert rough[Columns.ACTION_DIST_INPUTS].dtype == torch.float32
    difference = (rough[LOGITS] - exact[LOGITS]).abs().max()
    assert 0 < difference < 0.1
    assert np.isfinite(rough[ENHANCED].numpy()).all()
