"""Changing the rate of audio, and finding how far two clips are shifted against each other. Mono arrays of shape [samples]."""

from fractions import Fraction
from functools import lru_cache

import numpy as np
import scipy
from jaxtyping import Float, Float32

MAX_DENOMINATOR = 4800


def resample(audio: Float[np.ndarray, " samples"], from_hz: int, to_hz: int) -> Float32[np.ndarray, " resampled"]:
    """Polyphase resampling; ceil(samples * to_hz / from_hz) samples. Stop band 90 dB down from the lower rate's Nyquist frequency on."""
    audio = np.asarray(audio, dtype=np.float32)
    if from_hz == to_hz or audio.size == 0:
        return audio
    # Rates without a common measure (44101 Hz) would want filters of millions of taps. Exact for all usual ones, and else within 5e-8.
    ratio = Fraction(to_hz, from_hz).limit_denominator(MAX_DENOMINATOR)
    up, down = ratio.numerator, ratio.denominator
    changed = scipy.signal.resample_poly(audio.astype(np.float64), up, down, window=_resampling_filter(max(up, down))).astype(np.float32)
    samples = -(-audio.size * to_hz // from_hz)
    return np.pad(changed[:samples], (0, max(0, samples - changed.size)))


def find_lag_samples(audio: Float[np.ndarray, " samples"], reference: Float[np.ndarray, " reference_samples"], max_lag: int) -> int:
    """By how many samples `audio` comes later than `reference`: the highest cross-correlation within +-max_lag.

    0 where either is silent.
    """
    if audio.size == 0 or reference.size == 0:
        return 0
    correlation = scipy.signal.correlate(np.asarray(audio, np.float64), np.asarray(reference, np.float64), mode="full", method="fft")
    lags = scipy.signal.correlation_lags(audio.size, reference.size, mode="full")
    near = np.abs(lags) <= max_lag
    values, lags = correlation[near], lags[near]
    # What is below the rounding of the FFT is no correlation; ties go to the smallest shift.
    floor = 1e-9 * float(np.linalg.norm(audio) * np.linalg.norm(reference))
    best = values.max(initial=0.0)
    candidates = lags[values >= best - floor] if best > floor else np.zeros(1, dtype=int)
    return int(candidates[np.argmin(np.abs(candidates))])


def align(
    audio: Float[np.ndarray, " samples"], reference: Float[np.ndarray, " reference_samples"], sample_rate_hz: int, max_shift_s: float = 1.0
) -> tuple[Float32[np.ndarray, " reference_samples"], int]:
    """`audio` shifted in time to lie on `reference`, cut or padded with zeros to its length; and the lag in samples that was taken out."""
    lag = find_lag_samples(audio, reference, round(max_shift_s * sample_rate_hz))
    shifted = np.asarray(audio[lag:] if lag >= 0 else np.concatenate([np.zeros(-lag), audio]), dtype=np.float32)
    return np.pad(shifted[: reference.size], (0, max(0, reference.size - shifted.size))), lag


@lru_cache(maxsize=32)
def _resampling_filter(factor: int) -> Float[np.ndarray, " taps"]:
    zero_crossings, beta, transition = 64, 9.0, 0.09
    return scipy.signal.firwin(2 * zero_crossings * factor + 1, (1 - transition / 2) / factor, window=("kaiser", beta))
