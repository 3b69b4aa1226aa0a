"""The supervised loss of an enhancer against its clean target: scale-invariant in the waveform, compressed in the spectrum.

The negative SI-SDR pulls hard on what is loud; the compressed spectrum also hears what is quiet, and fixes the scale, to which SI-SDR is
blind.
"""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from auricle.config import Config
from auricle.spectrum import stft

_SILENT_RMS = 1e-4  # -80 dBFS: below it a target has no direction to project on
_COMPRESSION_FLOOR = 1e-3  # the slope of x ** 0.3 is infinite at zero


class SupervisedLossConfig(Config):
    """Weights of the parts. The defaults were chosen by what a few minutes of training reach (docs/log.md)."""

    si_sdr_weight: float = Field(default=0.05, ge=0)
    """Weight of the negative SI-SDR, per dB."""
    si_sdr_limit_db: float = Field(default=30.0, gt=0)
    """A clip that is cleaner than this teaches no more; AVSEC's baseline stops at 30 dB, too."""
    spectrum_weight: float = Field(default=1.0, ge=0)
    """Weight of the compressed spectra's mean absolute difference, at the target's own level."""
    compression: float = Field(default=0.3, gt=0, le=1)
    """Power to which magnitudes are raised."""
    fft_sizes: tuple[int, ...] = (512,)
    """Windows of the spectra, in samples; the hop is half of one. Several make a multi-resolution loss."""


def enhancement_loss(
    estimate: Float[Tensor, "batch samples"], target: Float[Tensor, "batch samples"], config: SupervisedLossConfig
) -> Float[Tensor, " batch"]:
    """One loss a clip; lower is better. Clips whose target is silent are judged by their spectrum alone, at full scale."""
    heard = _rms(target) > _SILENT_RMS
    ratio_db = torch.where(heard, si_sdr_db(estimate, target).clamp(max=config.si_sdr_limit_db), 0.0)
    level = torch.where(heard, _rms(target), 1.0)[:, None]
    spectra = [_compressed_distance(estimate / level, target / level, size, config.compression) for size in config.fft_sizes]
    return config.spectrum_weight * torch.stack(spectra).mean(0) - config.si_sdr_weight * ratio_db


def si_sdr_db(estimate: Float[Tensor, "batch samples"], target: Float[Tensor, "batch samples"]) -> Float[Tensor, " batch"]:
    """Scale-invariant signal-to-distortion ratio (Le Roux et al. 2019), means removed; differentiable, and finite for silence."""
    estimate = estimate - estimate.mean(dim=1, keepdim=True)
    target = target - target.mean(dim=1, keepdim=True)
    energy = target.square().sum(dim=1)
    floor = 1e-8 * energy + 1e-8
    aligned = (estimate * target).sum(dim=1, keepdim=True) / (energy[:, None] + 1e-8) * target
    error = (estimate - aligned).square().sum(dim=1)
    return 10.0 * torch.log10((aligned.square().sum(dim=1) + floor) / (error + floor))


def _compressed_distance(estimate: Tensor, target: Tensor, fft_size: int, power: float) -> Float[Tensor, " batch"]:
    """Mean over bins of |difference| of compressed magnitudes, and of the compressed spectra with their phases, half each."""
    with torch.no_grad():
        target_size, target_phased = _compressed(target, fft_size, power)
    estimate_size, estimate_phased = _compressed(estimate, fft_size, power)
    difference = estimate_phased - target_phased
    phased = (difference.real.square() + difference.imag.square() + 1e-12).sqrt().mean(dim=(1, 2))
    return 0.5 * ((estimate_size - target_size).abs().mean(dim=(1, 2)) + phased)


def _compressed(audio: Tensor, fft_size: int, power: float) -> tuple[Tensor, Tensor]:
    """Magnitudes raised to `power`, and the spectrum with these magnitudes and its own phases."""
    # Scaled as if the window kept power, so that the floor and the weight mean the same for each size.
    spectrum = stft(audio, fft_size, fft_size // 2) / fft_size**0.5
    magnitude = (spectrum.real.square() + spectrum.imag.square() + _COMPRESSION_FLOOR**2).sqrt()
    gain = magnitude ** (power - 1)
    return magnitude * gain, spectrum * gain


def _rms(audio: Float[Tensor, "batch samples"]) -> Float[Tensor, " batch"]:
    return audio.square().mean(dim=1).sqrt()
