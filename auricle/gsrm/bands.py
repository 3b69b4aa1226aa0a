"""What the six features of vowels do not hear of a recording: how far its bands rise and fall. Noise and rooms fill the valleys between
sounds, gates and musical noise make bands flutter, low-pass filters take the top away."""

from functools import cache

import numpy as np
from jaxtyping import Bool, Float

from auricle.gsrm.praat import STEP_S, Track

BANDS = 18
LOWEST_HZ, HIGHEST_HZ = 150.0, 7500.0
CRISP_HZ = 2000.0
"""Bands from here on are consonants'; those below are vowels'."""
_FLOOR_DB = -70.0


def band_measures(
    audio: Float[np.ndarray, " samples"], sample_rate_hz: int, track: Track, active: Bool[np.ndarray, " frames"]
) -> Float[np.ndarray, " 4"]:
    """brightness, depth, crispness, flutter, all in dB; NaN where the clip has no speech or its rate is below 15 kHz.

    brightness: level of 4-8 kHz relative to 0.3-3 kHz in speech. depth, crispness: 95th minus 10th percentile of a band's level over time,
    mean over the bands below and above CRISP_HZ. flutter: mean change of a band's level from one frame of speech to the next.
    """
    if sample_rate_hz < 2 * HIGHEST_HZ or active.sum() < 5:
        return np.full(4, np.nan)
    size = round(2 * STEP_S * sample_rate_hz)
    starts = np.round(track.times_s * sample_rate_hz).astype(int) - size // 2
    inside = (starts >= 0) & (starts + size <= len(audio))
    frames = np.asarray(audio, dtype=np.float64)[starts[inside, None] + np.arange(size)] * np.hanning(size)
    power = np.square(np.abs(np.fft.rfft(frames, axis=1)))
    levels = 10 * np.log10(power @ _bank(size, sample_rate_hz) + 1e-20)
    levels = np.maximum(levels, levels.max() + _FLOOR_DB)
    speech = active[inside]
    low = _centres_hz()[1:-1] < CRISP_HZ
    depth = np.quantile(levels, 0.95, axis=0) - np.quantile(levels, 0.1, axis=0)
    steps = np.abs(np.diff(levels, axis=0))[speech[1:] & speech[:-1]]
    flutter = float(steps.mean()) if steps.size else float("nan")
    return np.array([_brightness_db(power[speech], size, sample_rate_hz), depth[low].mean(), depth[~low].mean(), flutter])


def _brightness_db(power: np.ndarray, size: int, sample_rate_hz: int) -> float:
    frequency = np.fft.rfftfreq(size, 1 / sample_rate_hz)
    mean = power.mean(axis=0)
    high, low = (mean[(frequency >= bottom) & (frequency < top)].sum() for bottom, top in ((4000, 8000), (300, 3000)))
    return float(10 * np.log10((high + 1e-12) / (low + 1e-12)))


def _centres_hz() -> np.ndarray:
    low, high = (2595 * np.log10(1 + edge / 700) for edge in (LOWEST_HZ, HIGHEST_HZ))
    mel = np.linspace(low, high, BANDS + 2)
    return 700 * (10 ** (mel / 2595) - 1)


@cache
def _bank(size: int, sample_rate_hz: int) -> np.ndarray:
    """Triangles of [bins, bands], mel-spaced."""
    frequency = np.fft.rfftfreq(size, 1 / sample_rate_hz)[:, None]
    centres = _centres_hz()
    left, middle, right = centres[:-2], centres[1:-1], centres[2:]
    return np.clip(np.minimum((frequency - left) / (middle - left), (right - frequency) / (right - middle)), 0.0, None)
