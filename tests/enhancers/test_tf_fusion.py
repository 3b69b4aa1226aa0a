import pytest
import torch

from auricle.enhancers.registry import build_enhancer
from auricle.enhancers.tf_fusion import TFFusion, TFFusionConfig, _resample
from auricle.errors import ConfigError
from auricle.spectrum import stft_steps

SMALL = {"channels": 4, "width": 16, "video_width": 8, "layers": 1}


@pytest.fixture
def enhancer():
    torch.manual_seed(0)
    return build_enhancer("tf_fusion", SMALL).eval()


def clip(samples=16000, frames=25, batch=2):
    generator = torch.Generator().manual_seed(1)
    mix = torch.randn(batch, samples, generator=generator)
    return mix, torch.randint(1, 255, (batch, frames, 32, 32), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("samples", [1, 100, 4097, 16000])
def test_output_has_the_mixtures_length_and_bins_match_frequencies(enhancer, samples):
    mix, frames = clip(samples)
    logits = enhancer.mask_logits(mix, frames)
    assert logits.shape == (2, len(enhancer.bin_frequencies_hz), stft_steps(samples, 256))
    assert enhancer(mix, frames).shape == mix.shape
    assert torch.isfinite(enhancer(mix, frames)).all()


def test_an_open_mask_gives_the_mixture_back(enhancer):
    mix, _ = clip()
    logits = torch.full((2, 257, stft_steps(16000, 256)), 30.0)
    assert torch.allclose(enhancer.apply_mask(mix, logits), mix, atol=1e-5)


def test_the_mask_does_not_depend_on_level(enhancer):
    mix, frames = clip()
    assert torch.allclose(enhancer.mask_logits(mix, frames), enhancer.mask_logits(mix * 1e-3, frames), atol=1e-4)


def test_silence_stays_finite_and_silent(enhancer):
    mix, frames = torch.zeros(2, 16000), clip()[1]
    assert torch.equal(enhancer(mix, frames), mix)


def test_black_frames_are_missing_frames(enhancer):
    mix, frames = clip()
    with torch.no_grad():
        enhancer.video.missing.normal_()
    without = enhancer.mask_logits(mix, None)
    assert torch.allclose(enhancer.mask_logits(mix, torch.zeros_like(frames)), without, atol=1e-6)
    mixed = torch.stack([frames[0], torch.zeros_like(frames[1])])
    logits = enhancer.mask_logits(mix, mixed)
    assert torch.allclose(logits[1], without[1], atol=1e-6)
    assert not torch.allclose(logits[0], without[0], atol=1e-3)


def test_the_audio_only_switch_ignores_the_picture():
    audio_only = build_enhancer("tf_fusion", SMALL | {"use_video": False}).eval()
    mix, frames = clip()
    assert torch.equal(audio_only.mask_logits(mix, frames), audio_only.mask_logits(mix, None))
    assert not any(name.startswith("video") for name in audio_only.state_dict())


def test_lighting_does_not_matter(enhancer):
    mix, frames = clip()
    dim = (frames.float() * 0.5 + 20).round().to(torch.uint8)
    assert torch.allclose(enhancer.mask_logits(mix, frames), enhancer.mask_logits(mix, dim), atol=0.05)


def test_too_few_frames_are_held(enhancer):
    mix, frames = clip()
    held = torch.cat([frames[:, :20], frames[:, 19:20].expand(-1, 5, -1, -1)], dim=1)
    assert enhancer.mask_logits(mix, frames[:, :20]).shape == enhancer.mask_logits(mix, held).shape


def test_frames_are_placed_at_their_times():
    features = torch.arange(10.0)[None, :, None]
    placed = _resample(features, steps=21, frames_per_step=0.5)[0, :, 0]
    assert placed[1] == 0.0  # half a frame in: the middle of frame 0
    assert placed[2] == 0.5
    assert placed[-1] == 9.0
    assert torch.all(placed.diff() >= 0)


def test_gradients_reach_every_parameter(enhancer):
    mix, frames = clip()
    frames[1] = 0
    enhancer.train()
    enhancer(mix, frames).square().mean().backward()
    assert [name for name, p in enhancer.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_the_default_size_is_within_budget():
    assert sum(p.numel() for p in TFFusion(TFFusionConfig()).parameters()) < 1_500_000


def test_a_window_that_cannot_be_inverted_is_refused():
    with pytest.raises(ConfigError, match="multiple of hop_samples"):
        build_enhancer("tf_fusion", {"window_samples": 512, "hop_samples": 300})
