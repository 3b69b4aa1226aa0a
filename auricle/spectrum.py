"""The short-time Fourier transform and its exact inverse."""

from functools import lru_cache

import torch
from jaxtyping import Complex, Float
from torch import Tensor


def stft_steps(samples: int, hop: int) -> int:
    """How many steps `stft` makes of so many samples."""
    return -(-samples // hop) + 1


def stft(audio: Float[Tensor, "*batch samples"], fft_size: int, hop: int) -> Complex[Tensor, "*batch bins steps"]:
    """Short-time Fourier transform with a square-root Hann window; step k is centred on sample k * hop.

    Bins are fft_size // 2 + 1. The end is padded with zeros to a whole hop, so that `istft` has every sample well inside a window.
    """
    padded = torch.nn.functional.pad(audio, (0, -audio.shape[-1] % hop))
    flat = padded.reshape(-1, padded.shape[-1])
    window = _window(fft_size, audio.device)
    spectrum = torch.stft(flat, fft_size, hop, window=window, center=True, pad_mode="constant", return_complex=True)
    return spectrum.reshape(*audio.shape[:-1], *spectrum.shape[-2:])


def istft(spectrum: Complex[Tensor, "*batch bins steps"], hop: int, samples: int) -> Float[Tensor, "*batch samples"]:
    """The inverse of `stft` for a signal of so many samples: exact, also at both ends, for hops of at most half the window."""
    fft_size = (spectrum.shape[-2] - 1) * 2
    flat = spectrum.reshape(-1, *spectrum.shape[-2:])
    audio = torch.istft(flat, fft_size, hop, window=_window(fft_size, spectrum.device), center=True, length=samples)
    return audio.reshape(*spectrum.shape[:-2], samples)


@lru_cache(maxsize=16)
def _window(fft_size: int, device: torch.device) -> Float[Tensor, " fft_size"]:
    # Made outside any inference mode: a cached inference tensor could not take part in a later backward pass.
    with torch.inference_mode(False):
        return torch.hann_window(fft_size, periodic=True, device=device).sqrt()
