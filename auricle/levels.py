"""How loud a clip is (ITU-R BS.1770-4), and how far speech stands above noise (speech-weighted).

Everything here is mono: arrays of shape [samples].
"""

from functools import lru_cache
from typing import Any

import numpy as np
import scipy
from jaxtyping import Float, Float32

from auricle.errors import MediaError

BLOCK_S = 0.4
BLOCK_STEP_S = 0.1
ABSOLUTE_GATE_LUFS = -70.0
RELATIVE_GATE_LU = -10.0
# BS.1770-4, equation (2): the offset that makes a full-scale 997 Hz sine in one channel read -3.01 LUFS.
LOUDNESS_OFFSET_DB = -0.691

# ANSI S3.5-1997, table 3: band importance of average speech in third-octave bands.
BAND_CENTRES_HZ = (160, 200, 250, 315, 400, 500, 630, 800, 1000, 1250, 1600, 2000, 2500, 3150, 4000, 5000, 6300, 8000)
BAND_IMPORTANCE = (
    *(0.0083, 0.0095, 0.0150, 0.0289, 0.0440, 0.0578, 0.0653, 0.0711, 0.0818),
    *(0.0844, 0.0882, 0.0898, 0.0868, 0.0844, 0.0771, 0.0527, 0.0364, 0.0185),
)
SPEECH_FILTER_S = 0.032


def integrated_loudness_lufs(audio: Float[np.ndarray, " samples"], sample_rate_hz: int) -> float:
    """Gated integrated loudness by ITU-R BS.1770-4; -inf where nothing passes the absolute gate of -70 LUFS.

    Clips shorter than one block of 400 ms, of which the recommendation says nothing, are measured as one block.
    """
    _require_finite(audio, "measure the loudness of")
    if audio.size == 0:
        return -np.inf
    weighted = scipy.signal.sosfilt(_k_weighting(sample_rate_hz), np.asarray(audio, dtype=np.float64))
    block = min(round(BLOCK_S * sample_rate_hz), weighted.size)
    step = max(1, round(BLOCK_STEP_S * sample_rate_hz))
    # Sums of squares by differences of their running total: overlapping blocks cost one pass.
    total = np.concatenate([[0.0], np.cumsum(weighted**2)])
    starts = np.arange(0, weighted.size - block + 1, step)
    power = np.maximum(total[starts + block] - total[starts], 0.0) / block
    power = power[_lufs(power) > ABSOLUTE_GATE_LUFS]
    if power.size == 0:
        return -np.inf
    power = power[_lufs(power) > _lufs(power.mean()) + RELATIVE_GATE_LU]
    return float(_lufs(power.mean()))


def normalise_loudness(
    audio: Float[np.ndarray, " samples"], sample_rate_hz: int, lufs: float = -26.0, peak: float = 0.99
) -> Float32[np.ndarray, " samples"]:
    """`audio` scaled to an integrated loudness of `lufs`.

    Where the peak would pass `peak` the gain is lowered to it, so that nothing is clipped (at -26 LUFS that takes a crest factor above
    25 dB). Silence (nothing above -70 LUFS) has no loudness to bring anywhere and comes back as it is. Raises MediaError on NaN.
    """
    loudness = integrated_loudness_lufs(audio, sample_rate_hz)
    audio = np.asarray(audio, dtype=np.float32)
    if not np.isfinite(loudness):
        return audio.copy()
    gain = min(10 ** ((lufs - loudness) / 20), peak / float(np.abs(audio).max()))
    return (audio * np.float32(gain)).astype(np.float32)


def speech_weighted_rms(audio: Float[np.ndarray, " samples"], sample_rate_hz: int) -> float:
    """Root mean square after a filter whose power gain is the band importance of speech (ANSI S3.5-1997)."""
    _require_finite(audio, "weight")
    if audio.size == 0:
        return 0.0
    weighted = scipy.signal.fftconvolve(np.asarray(audio, dtype=np.float64), _speech_filter(sample_rate_hz), mode="full")
    return float(np.sqrt(np.sum(weighted**2) / audio.size))


def speech_weighted_snr_db(
    speech: Float[np.ndarray, " samples"], noise: Float[np.ndarray, " samples_of_noise"], sample_rate_hz: int
) -> float:
    """Ratio of the speech-weighted root mean squares, in dB. Raises MediaError where either is silent."""
    levels = [speech_weighted_rms(part, sample_rate_hz) for part in (speech, noise)]
    for name, level in zip(("speech", "noise"), levels, strict=True):
        if not level > 0:
            raise MediaError(f"speech-weighted SNR: the {name} is silent, so that no ratio exists; leave this pair out", fault="silent")
    return float(20 * np.log10(levels[0] / levels[1]))


def noise_gain_for_snr(
    speech: Float[np.ndarray, " samples"], noise: Float[np.ndarray, " samples_of_noise"], sample_rate_hz: int, snr_db: float
) -> float:
    """The factor on `noise` that makes the speech-weighted SNR `snr_db`. Raises MediaError where either is silent."""
    return float(10 ** ((speech_weighted_snr_db(speech, noise, sample_rate_hz) - snr_db) / 20))


def _lufs(power: Any) -> Any:
    with np.errstate(divide="ignore"):
        return LOUDNESS_OFFSET_DB + 10 * np.log10(power)


def _require_finite(audio: Float[np.ndarray, " samples"], what: str) -> None:
    if not np.isfinite(audio).all():
        bad = int(np.count_nonzero(~np.isfinite(audio)))
        raise MediaError(f"cannot {what} audio in which {bad} of {audio.size} samples are NaN or infinite", fault="nan")


@lru_cache(maxsize=16)
def _k_weighting(sample_rate_hz: int) -> Float[np.ndarray, "2 6"]:
    """BS.1770's shelf and high-pass as second-order sections.

    The recommendation prints coefficients for 48 kHz only. These are the analogue prototypes that give those coefficients, warped by the
    bilinear transform to any rate.
    """
    shelf_hz, shelf_db, shelf_q = 1681.974450955533, 3.999843853973347, 0.7071752369554196
    high_pass_hz, high_pass_q = 38.13547087602444, 0.5003270373238773
    k = np.tan(np.pi * shelf_hz / sample_rate_hz)
    high = 10 ** (shelf_db / 20)
    band = high**0.4996667741545416
    norm = 1 + k / shelf_q + k**2
    shelf = [
        *((high + band * k / shelf_q + k**2) / norm, 2 * (k**2 - high) / norm, (high - band * k / shelf_q + k**2) / norm),
        *(1.0, 2 * (k**2 - 1) / norm, (1 - k / shelf_q + k**2) / norm),
    ]
    k = np.tan(np.pi * high_pass_hz / sample_rate_hz)
    norm = 1 + k / high_pass_q + k**2
    high_pass = [1.0, -2.0, 1.0, 1.0, 2 * (k**2 - 1) / norm, (1 - k / high_pass_q + k**2) / norm]
    return np.array([shelf, high_pass])


@lru_cache(maxsize=16)
def _speech_filter(sample_rate_hz: int) -> Float[np.ndarray, " taps"]:
    """A linear-phase FIR of 32 ms whose squared gain at each third-octave centre is that band's importance, scaled to 1 at the largest."""
    nyquist_hz = sample_rate_hz / 2
    grid_hz = np.linspace(0, nyquist_hz, 1025)
    gain = np.sqrt(np.array(BAND_IMPORTANCE) / max(BAND_IMPORTANCE))
    # Beyond the outermost bands the gain falls by an octave to zero, so that rumble and ultrasound count for nothing.
    centres_hz = np.array([BAND_CENTRES_HZ[0] / 2, *BAND_CENTRES_HZ, BAND_CENTRES_HZ[-1] * 2], dtype=float)
    wanted = np.interp(np.log(np.maximum(grid_hz, 1.0)), np.log(centres_hz), np.concatenate([[0.0], gain, [0.0]]))
    taps = round(SPEECH_FILTER_S * sample_rate_hz) | 1
    return scipy.signal.firwin2(taps, grid_hz / nyquist_hz, wanted)
