"""The STFT's inverse is exact, and both carry gradients."""

import pytest
import torch

from auricle.spectrum import istft, stft, stft_steps


@pytest.mark.parametrize(("fft_size", "hop"), [(512, 256), (512, 128), (400, 160), (320, 160)])
@pytest.mark.parametrize("samples", [1, 100, 160, 5000, 16_001])
def test_every_sample_comes_back(fft_size: int, hop: int, samples: int) -> None:
    audio = torch.randn(2, 3, samples, generator=torch.Generator().manual_seed(0))
    spectrum = stft(audio, fft_size, hop)
    assert spectrum.shape == (2, 3, fft_size // 2 + 1, stft_steps(samples, hop))
    assert torch.allclose(istft(spectrum, hop, samples), audio, atol=5e-6)


def test_step_k_is_centred_on_sample_k_times_hop() -> None:
    audio = torch.zeros(4096)
    audio[10 * 128] = 1.0
    assert stft(audio, 512, 128).abs().sum(0).argmax() == 10


def test_gradients_pass_also_after_use_in_inference_mode() -> None:
    with torch.inference_mode():
        stft(torch.randn(1000), 480, 240)
    audio = torch.randn(1000, requires_grad=True)
    istft(stft(audio, 480, 240), 240, 1000).square().sum().backward()
    assert torch.allclose(audio.grad, 2 * audio, atol=1e-4)
