"""Any metric of one clip, by its name: at the rate and loudness it is defined for, and with a reason where it cannot be computed.

One function for the guard, which watches a run, and for the tables of `auricle evaluate`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from auricle.errors import ConfigError, MediaError, MetricError
from auricle.levels import normalise_loudness
from auricle.metrics.dnsmos import RATE_HZ as DNSMOS_RATE_HZ
from auricle.metrics.dnsmos import dnsmos
from auricle.metrics.intrusive import INTRUSIVE, PESQ_RATE_HZ
from auricle.signals import resample

FAST = ("dnsmos_fast_ovrl",)
NON_INTRUSIVE = ("dnsmos_ovrl", "dnsmos_sig", "dnsmos_bak", *FAST)
KNOWN_METRICS = (*INTRUSIVE, *NON_INTRUSIVE)


@dataclass(frozen=True)
class Answer:
    """values: metric -> score or None. reasons: metric -> why there is none, in one short sentence. words: what a listener said."""

    values: dict[str, float | None]
    reasons: dict[str, str]
    words: str = ""


def check_metrics(metrics: Sequence[str]) -> None:
    """Raises ConfigError where a metric is unknown."""
    unknown = sorted(set(metrics) - set(KNOWN_METRICS))
    if unknown:
        raise ConfigError(f"unknown metric {', '.join(unknown)}; choose from {', '.join(KNOWN_METRICS)}")


def score_clip(
    audio: Float32[np.ndarray, " samples"], reference: Float32[np.ndarray, " samples"] | None, sample_rate_hz: int, metrics: Sequence[str]
) -> Answer:
    """The metrics of one clip. Those that need a reference are left out where there is none (not failed: not asked).

    PESQ and DNSMOS are taken at 16 kHz; DNSMOS hears the clip at the fixed loudness of all judges, so that its level does not matter.
    `dnsmos_fast_ovrl` is one pass over the clip as it is, the others Microsoft's official windows (auricle.metrics.dnsmos).
    """
    values: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    wanted = [metric for metric in metrics if reference is not None or metric in NON_INTRUSIVE]
    for metric in wanted:
        if metric in values:
            continue
        try:
            if metric in NON_INTRUSIVE:
                scores = _dnsmos(audio, sample_rate_hz, fast=metric in FAST)
                values |= {name: score for name, score in scores.items() if name in wanted}
            elif reference is not None:
                rate_hz = PESQ_RATE_HZ if metric == "pesq" else sample_rate_hz
                clean, estimate = resample(reference, sample_rate_hz, rate_hz), resample(audio, sample_rate_hz, rate_hz)
                values[metric] = INTRUSIVE[metric](clean, estimate, rate_hz)
        except (MetricError, MediaError) as error:
            values[metric], reasons[metric] = None, str(error)
    return Answer(values, reasons)


def _dnsmos(audio: np.ndarray, sample_rate_hz: int, *, fast: bool) -> dict[str, float]:
    heard = normalise_loudness(resample(audio, sample_rate_hz, DNSMOS_RATE_HZ), DNSMOS_RATE_HZ)
    scores = dnsmos(heard, DNSMOS_RATE_HZ, fast=fast)
    return {"dnsmos_fast_ovrl": scores.ovrl} if fast else {"dnsmos_ovrl": scores.ovrl, "dnsmos_sig": scores.sig, "dnsmos_bak": scores.bak}
