"""What an enhancer's mask does to speech: residual noise, over-suppression, musical noise.

Masks are made from the true speech and noise, then spoiled the way networks and exploring policies spoil them: raised to powers, blurred,
thresholded, floored, and shifted in the logit domain by random knots over mel bands and time.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32
from scipy import ndimage, signal

FFT_SIZE, HOP = 512, 256
KNOT_BANDS, KNOT_S = 8, 0.4
SPEECH_BIN_FLOOR = 1e-4
"""Share of a clip's mean power per bin and step below which a bin holds no speech worth keeping."""


@dataclass(frozen=True)
class Suppressed:
    """A masked mixture and what the mask did.

    residual_snr_db: masked speech against masked noise. speech_sdr_db: clean speech against what the mask took from it.
    local_loss: share of the speech's power that was lost, by hop. musical: whether isolated tones are left.
    """

    audio: Float32[np.ndarray, " samples"]
    residual_noise: Float32[np.ndarray, " samples"]
    residual_snr_db: float
    speech_sdr_db: float
    local_loss: Float[np.ndarray, " steps"]
    musical: bool


def suppress(
    speech: Float32[np.ndarray, " samples"], noise: Float32[np.ndarray, " samples"], sample_rate_hz: int, rng: np.random.Generator
) -> Suppressed:
    """The mixture of `speech` and `noise` (already at the wanted ratio) through one random mask."""
    s, n = _stft(speech), _stft(noise)
    musical = bool(rng.random() < 0.25)
    mask = subtraction_mask(s, n, rng) if musical else spoiled_ratio_mask(s, n, sample_rate_hz, rng)
    kept, left = mask * s, mask * n
    # A mask that only turns everything down has lost nothing: the level is taken out before the loss is measured.
    gain = np.sum(np.abs(kept) * np.abs(s)) / max(np.sum(np.abs(s) ** 2), 1e-12)
    lost = np.abs(s - kept / max(gain, 1e-3)) ** 2
    power = np.abs(s) ** 2
    local = ndimage.uniform_filter1d(lost.sum(0), 12) / (
        ndimage.uniform_filter1d(power.sum(0), 12) + SPEECH_BIN_FLOOR * power.sum() / s.shape[1]
    )
    return Suppressed(
        audio=_istft(kept + left, len(speech)),
        residual_noise=_istft(left, len(speech)),
        residual_snr_db=_ratio_db(kept, left),
        speech_sdr_db=float(10 * np.log10(power.sum() / max(lost.sum(), 1e-9 * power.sum()))),
        local_loss=np.clip(local, 0.0, 1.0),
        musical=musical,
    )


def spoiled_ratio_mask(s: np.ndarray, n: np.ndarray, sample_rate_hz: int, rng: np.random.Generator) -> Float[np.ndarray, "bins steps"]:
    """An ideal ratio mask, blurred, sharpened or weakened, perturbed by knots, perhaps thresholded, with a floor."""
    speech_power, noise_power = np.abs(s) ** 2, np.abs(n) ** 2
    blur = (rng.uniform(0.0, 2.5), rng.uniform(0.0, 4.0))
    if rng.random() < 0.8:
        speech_power, noise_power = (ndimage.gaussian_filter(power, blur) for power in (speech_power, noise_power))
    mask = (speech_power / (speech_power + noise_power + 1e-12)) ** rng.uniform(0.25, 2.0)
    logits = np.log(np.clip(mask, 1e-4, 1 - 1e-4) / (1 - np.clip(mask, 1e-4, 1 - 1e-4)))
    logits = logits * rng.uniform(0.6, 2.0) + rng.normal(0.0, 0.7)
    logits += abs(rng.normal(0.0, 1.6)) * random_knots(mask.shape, sample_rate_hz, rng)
    mask = 1.0 / (1.0 + np.exp(-logits))
    if rng.random() < 0.12:
        mask = (mask > rng.uniform(0.2, 0.8)).astype(float)
    floor = rng.choice([0.0, 0.0, 0.05, 0.1, 0.25])
    return np.maximum(mask, floor)


def subtraction_mask(s: np.ndarray, n: np.ndarray, rng: np.random.Generator) -> Float[np.ndarray, "bins steps"]:
    """Spectral subtraction with the noise's long-term spectrum (Boll 1979): what fluctuates above it is left as isolated tones."""
    mixture = np.abs(s + n) ** 2
    noise_power = np.mean(np.abs(n) ** 2, axis=1, keepdims=True) * 10 ** (rng.normal(0.0, 2.0) / 10)
    return np.sqrt(np.maximum(1.0 - rng.uniform(0.8, 3.5) * noise_power / (mixture + 1e-12), rng.choice([0.0, 1e-3, 1e-2])))


def random_knots(shape: tuple[int, int], sample_rate_hz: int, rng: np.random.Generator) -> Float[np.ndarray, "bins steps"]:
    """Standard normal knots on 8 mel bands, one every 0.4 s, interpolated linearly: the directions in which policies explore."""
    bins, steps = shape
    times = max(2, round(steps * HOP / sample_rate_hz / KNOT_S) + 1)
    knots = rng.standard_normal((KNOT_BANDS, times))
    mel = np.log1p(np.arange(bins) * sample_rate_hz / FFT_SIZE / 700.0)
    band = mel / mel[-1] * (KNOT_BANDS - 1)
    place = np.linspace(0, times - 1, steps)
    return ndimage.map_coordinates(knots, np.meshgrid(band, place, indexing="ij"), order=1)


def _ratio_db(kept: np.ndarray, left: np.ndarray) -> float:
    return float(10 * np.log10(max(np.sum(np.abs(kept) ** 2), 1e-12) / max(np.sum(np.abs(left) ** 2), 1e-12)))


def _stft(audio: np.ndarray) -> np.ndarray:
    return signal.stft(audio, nperseg=FFT_SIZE, noverlap=FFT_SIZE - HOP, window="hann", boundary="zeros", padded=True)[2]


def _istft(spectrum: np.ndarray, samples: int) -> np.ndarray:
    audio = signal.istft(spectrum, nperseg=FFT_SIZE, noverlap=FFT_SIZE - HOP, window="hann")[1][:samples]
    return np.pad(audio, (0, samples - len(audio))).astype(np.float32)
