import itertools

import numpy as np
import pytest
import torch

from auricle.learning.supervised import SupervisedLossConfig, enhancement_loss, si_sdr_db
from auricle.metrics.intrusive import si_sdr

CONFIG = SupervisedLossConfig()


def speech_like(batch=3, samples=16000):
    generator = torch.Generator().manual_seed(0)
    envelope = torch.linspace(0, 12, samples).sin().square()
    return 0.1 * envelope * torch.randn(batch, samples, generator=generator)


def test_si_sdr_is_the_metric():
    target = speech_like()
    estimate = 0.3 * target + 0.02 * torch.randn(target.shape, generator=torch.Generator().manual_seed(1))
    expected = [si_sdr(t, e, 16000) for t, e in zip(target.double().numpy(), estimate.double().numpy(), strict=True)]
    assert si_sdr_db(estimate, target).numpy() == pytest.approx(np.array(expected), abs=1e-2)


def test_less_noise_is_less_loss():
    target = speech_like()
    noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(1))
    losses = [enhancement_loss(target + gain * noise, target, CONFIG) for gain in (0.0, 0.01, 0.1, 1.0)]
    assert all(torch.all(better < worse) for better, worse in itertools.pairwise(losses))


def test_the_scale_is_learned():
    target = speech_like()
    right, loud, soft = (enhancement_loss(target * gain, target, CONFIG) for gain in (1.0, 2.0, 0.5))
    assert torch.all(right < loud)
    assert torch.all(right < soft)


def test_a_clips_level_does_not_matter():
    target = speech_like()
    estimate = target + 0.02 * torch.randn(target.shape, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(enhancement_loss(estimate, target, CONFIG), enhancement_loss(estimate / 20, target / 20, CONFIG), atol=1e-2)


@pytest.mark.parametrize("silent", ["estimate", "target", "both"])
def test_silence_gives_finite_losses_and_gradients(silent):
    target = speech_like() * (silent == "estimate")
    mask = torch.ones_like(target, requires_grad=True)
    estimate = (speech_like() * (silent == "target")) * mask
    loss = enhancement_loss(estimate, target, CONFIG)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert torch.isfinite(mask.grad).all()


def test_an_estimate_of_a_silent_target_is_pushed_down():
    target = torch.zeros(1, 8000)
    quiet, loud = (enhancement_loss(torch.full((1, 8000), gain).cumsum(1).sin() * gain, target, CONFIG) for gain in (0.01, 0.1))
    assert quiet < loud
