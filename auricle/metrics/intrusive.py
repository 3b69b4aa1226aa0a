"""Metrics that compare an estimate with its clean reference: PESQ, STOI, SI-SDR.

A metric that cannot be computed raises MetricError: it is a failure to be counted, never a number.
"""

import warnings
from collections.abc import Callable
from typing import Literal

import numpy as np
import scipy
from jaxtyping import Float

from auricle.errors import MetricError

Audio = Float[np.ndarray, " samples"]
Lengths = Literal["equal", "crop", "align"]
"""equal: unlike lengths are an error. crop: the longer is cut at its end. align: shifted to the best cross-correlation first."""

PESQ_RATE_HZ = 16_000
SI_SDR_LIMIT_DB = 100.0
STOI_TOO_SHORT = 1e-5  # what pystoi returns, with a warning, when fewer than 30 frames are left after silence removal


def pesq_wb(reference: Audio, estimate: Audio, sample_rate_hz: int, *, lengths: Lengths = "equal") -> float:
    """Wide-band PESQ (ITU-T P.862.2), about 1.04-4.64. Only at 16 kHz. Raises MetricError (no utterance found, too short, silent...)."""
    from pesq import PesqError, pesq

    if sample_rate_hz != PESQ_RATE_HZ:
        raise MetricError(f"pesq_wb: wide-band PESQ is defined at {PESQ_RATE_HZ} Hz, got {sample_rate_hz} Hz; resample both signals first")
    reference, estimate = matched(reference, estimate, sample_rate_hz, lengths=lengths, metric="pesq_wb")
    try:
        value = float(pesq(sample_rate_hz, reference, estimate, "wb"))
    except PesqError as error:
        raise MetricError(f"pesq_wb: {_detail(error)} ({len(reference) / sample_rate_hz:.2f} s)") from error
    return _finite(value, "pesq_wb")


def stoi(
    reference: Audio,
    estimate: Audio,
    sample_rate_hz: int,
    *,
    extended: bool = False,
    lengths: Lengths = "equal",
) -> float:
    """Short-time objective intelligibility, 0-1 (Taal 2011), or with `extended` ESTOI (Jensen 2016). Raises MetricError."""
    from pystoi import stoi as pystoi

    reference, estimate = matched(reference, estimate, sample_rate_hz, lengths=lengths, metric="stoi")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            value = float(pystoi(reference, estimate, sample_rate_hz, extended=extended))
    except (ValueError, IndexError) as error:  # pystoi on clips shorter than one frame
        raise MetricError(f"stoi: {_detail(error)} ({len(reference) / sample_rate_hz:.2f} s)") from error
    if value == STOI_TOO_SHORT:
        raise MetricError(f"stoi: fewer than 30 frames with speech in {len(reference) / sample_rate_hz:.2f} s; give 0.5 s or more")
    return _finite(value, "stoi")


def estoi(reference: Audio, estimate: Audio, sample_rate_hz: int, *, lengths: Lengths = "equal") -> float:
    """ESTOI: `stoi` with `extended=True`."""
    return stoi(reference, estimate, sample_rate_hz, extended=True, lengths=lengths)


def si_sdr(reference: Audio, estimate: Audio, sample_rate_hz: int, *, lengths: Lengths = "equal") -> float:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux 2019), means removed, limited to +-100 dB. Raises MetricError."""
    reference, estimate = matched(reference, estimate, sample_rate_hz, lengths=lengths, metric="si_sdr")
    reference, estimate = reference - reference.mean(), estimate - estimate.mean()
    target = (estimate @ reference) / (reference @ reference) * reference
    residual = estimate - target
    floor = 10.0 ** (-SI_SDR_LIMIT_DB / 10.0) * (estimate @ estimate)
    return float(10.0 * np.log10(max(target @ target, floor) / max(residual @ residual, floor)))


INTRUSIVE: dict[str, Callable[..., float]] = {"pesq": pesq_wb, "stoi": stoi, "estoi": estoi, "si_sdr": si_sdr}
"""Every intrusive metric by the name that panels and tables use."""


def matched(
    reference: Float[np.ndarray, " n"],
    estimate: Float[np.ndarray, " m"],
    sample_rate_hz: int,
    *,
    lengths: Lengths = "equal",
    metric: str = "metric",
    max_lag_s: float = 1.0,
) -> tuple[Float[np.ndarray, " samples"], Float[np.ndarray, " samples"]]:
    """Both signals as float64 of one length, or MetricError: unlike lengths, empty, silent, not mono, not finite."""
    signals = {"reference": np.asarray(reference, dtype=np.float64), "estimate": np.asarray(estimate, dtype=np.float64)}
    for name, signal in signals.items():
        if signal.ndim != 1 or not len(signal):
            raise MetricError(f"{metric}: the {name} has shape {signal.shape}; expected mono audio [samples], not empty")
        if not np.isfinite(signal).all():
            raise MetricError(f"{metric}: the {name} holds {np.count_nonzero(~np.isfinite(signal))} samples that are NaN or infinite")
        if not np.any(signal - signal[0]):
            raise MetricError(f"{metric}: the {name} is silent, so that the metric is not defined")
    left, right = signals["reference"], signals["estimate"]
    if lengths == "align":
        left, right = _aligned(left, right, round(max_lag_s * sample_rate_hz))
    if lengths == "equal" and len(left) != len(right):
        raise MetricError(
            f"{metric}: the reference has {len(left)} samples and the estimate {len(right)}; they must agree "
            "(lengths='crop' cuts the longer one, lengths='align' looks for a delay too)"
        )
    samples = min(len(left), len(right))
    return left[:samples], right[:samples]


def _aligned(reference: np.ndarray, estimate: np.ndarray, max_lag: int) -> tuple[np.ndarray, np.ndarray]:
    correlation = scipy.signal.correlate(estimate, reference, mode="full", method="fft")
    zero = len(reference) - 1
    low, high = max(0, zero - max_lag), min(len(correlation), zero + max_lag + 1)
    lag = int(np.argmax(np.abs(correlation[low:high]))) + low - zero
    return (reference, estimate[lag:]) if lag >= 0 else (reference[-lag:], estimate)


def _finite(value: float, metric: str) -> float:
    if not np.isfinite(value):
        raise MetricError(f"{metric}: the result is {value}")
    return value


def _detail(error: Exception) -> str:
    text = error.args[0] if error.args else ""
    return text.decode(errors="replace") if isinstance(text, bytes) else str(text) or type(error).__name__
