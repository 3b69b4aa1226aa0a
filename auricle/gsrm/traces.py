"""The traces that recording and processing leave in a waveform: flat tops of clipping, holes and jumps of gates and lost packets,
hiss between harmonics, and the empty cells that suppression leaves in a spectrogram. None of it depends on the level of a clip."""

import numpy as np
from jaxtyping import Float
from numpy.lib.stride_tricks import sliding_window_view

_FRAME_S, _HOP_S = 0.04, 0.01
_TOP = 0.97
_SHORT_FLOOR_DB, _HOLE_DB, _SPEECH_DB = -70.0, -50.0, -30.0
_LEAST_SHARE = 1e-3
_LOW_HZ, _MIDDLE_HZ, _HIGH_HZ = 300.0, 3000.0, 7500.0
_VOID_DB = -79.5


def trace_measures(audio: Float[np.ndarray, " samples"], sample_rate_hz: int) -> Float[np.ndarray, " 6"]:
    """flatness, holes, jumps, hiss, grain, voids of a clip of 0.1 s and more that is not silent.

    flatness: share of a loud frame's samples at its top (as log10): a clipped wave stays there. holes: share of time, between the first
    and the last speech, 50 dB below the loudest (as log10). jumps: the largest rise of level within 10 ms, in dB. hiss, grain: spectral
    flatness in dB, of 3-7.5 kHz in loud frames, and of 0.3-3 kHz in quiet ones. voids: share of empty cells in the spectrogram (as log10).
    hiss and voids are NaN where the rate is below 15 kHz.
    """
    sound = np.asarray(audio, dtype=np.float64)
    peak = float(np.abs(sound).max()) + 1e-12
    frames = _frames(sound, _FRAME_S, _HOP_S, sample_rate_hz)
    level = np.sqrt(np.square(frames).mean(axis=1))
    quiet, loud = level <= np.quantile(level, 0.3), level >= np.quantile(level, 0.7)
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(frames.shape[1]), axis=1))) + 1e-12 * peak**2
    frequency = np.fft.rfftfreq(frames.shape[1], 1 / sample_rate_hz)
    low, high = ((frequency >= bottom) & (frequency < top) for bottom, top in ((_LOW_HZ, _MIDDLE_HZ), (_MIDDLE_HZ, _HIGH_HZ)))
    heard = sample_rate_hz >= 2 * _HIGH_HZ
    return np.array(
        [
            _flatness(np.abs(frames[loud])),
            *_holes_and_jumps(sound, sample_rate_hz),
            _spectral_flatness_db(power[loud][:, high]) if heard else np.nan,
            _spectral_flatness_db(power[quiet][:, low]),
            _voids(power[:, (frequency >= _LOW_HZ) & (frequency < _HIGH_HZ)]) if heard else np.nan,
        ]
    )


def _frames(sound: np.ndarray, size_s: float, hop_s: float, sample_rate_hz: int) -> np.ndarray:
    size, hop = round(size_s * sample_rate_hz), round(hop_s * sample_rate_hz)
    return sliding_window_view(sound, size)[::hop]


def _flatness(loud: np.ndarray) -> float:
    top = np.maximum(loud.max(axis=1, keepdims=True), 1e-12)
    return float(np.log10((loud >= _TOP * top).mean()))


def _holes_and_jumps(sound: np.ndarray, sample_rate_hz: int) -> tuple[float, float]:
    short = _frames(sound, _HOP_S, _HOP_S / 2, sample_rate_hz)
    level = 10 * np.log10(np.square(short).mean(axis=1) + 1e-20)
    level = np.maximum(level - level.max(), _SHORT_FLOOR_DB)
    speech = np.flatnonzero(level > _SPEECH_DB)
    between = level[speech[0] : speech[-1] + 1]
    return float(np.log10(_LEAST_SHARE + (between < _HOLE_DB).mean())), float((level[2:] - level[:-2]).max())


def _spectral_flatness_db(power: np.ndarray) -> float:
    """Geometric over arithmetic mean, frame by frame: 0 dB is white noise."""
    return float((10 * (np.log10(power).mean(axis=1) - np.log10(power.mean(axis=1)))).mean())


def _voids(power: np.ndarray) -> float:
    level = 10 * np.log10(power)
    return float(np.log10(_LEAST_SHARE + (level <= level.max() + _VOID_DB).mean()))
