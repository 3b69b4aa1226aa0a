"""Metrics of many clips at once, in processes of their own.

    clip of a system --> worker process --> {metric: value or None}, {metric: reason}

Every clip gets an answer for every metric that was asked of it: a number, or None with a reason.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Protocol

import numpy as np
from jaxtyping import Float32

from auricle.audio import resample
from auricle.errors import ConfigError, MediaError, MetricError, PoolError
from auricle.levels import normalise_loudness
from auricle.metrics.dnsmos import RATE_HZ as DNSMOS_RATE_HZ
from auricle.metrics.dnsmos import dnsmos
from auricle.metrics.intrusive import INTRUSIVE, PESQ_RATE_HZ

NON_INTRUSIVE = ("dnsmos_ovrl", "dnsmos_sig", "dnsmos_bak")
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
    """
    values: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    wanted = [metric for metric in metrics if reference is not None or metric in NON_INTRUSIVE]
    for metric in wanted:
        if metric in values:
            continue
        try:
            if metric in NON_INTRUSIVE:
                scores = _dnsmos(audio, sample_rate_hz)
                values |= {name: scores[name] for name in NON_INTRUSIVE if name in wanted}
            elif reference is not None:
                rate_hz = PESQ_RATE_HZ if metric == "pesq" else sample_rate_hz
                clean, estimate = resample(reference, sample_rate_hz, rate_hz), resample(audio, sample_rate_hz, rate_hz)
                values[metric] = INTRUSIVE[metric](clean, estimate, rate_hz)
        except (MetricError, MediaError) as error:
            values[metric], reasons[metric] = None, str(error)
    return Answer(values, reasons)


def _dnsmos(audio: np.ndarray, sample_rate_hz: int) -> dict[str, float]:
    heard = normalise_loudness(resample(audio, sample_rate_hz, DNSMOS_RATE_HZ), DNSMOS_RATE_HZ)
    scores = dnsmos(heard, DNSMOS_RATE_HZ)
    return {"dnsmos_ovrl": scores.ovrl, "dnsmos_sig": scores.sig, "dnsmos_bak": scores.bak}


class ClipScorer(Protocol):
    """Whatever scores clips: metrics in processes, or a panel of judges. names: the scores it may give."""

    names: tuple[str, ...]

    def submit(
        self, clip_id: str, audio: Float32[np.ndarray, " samples"], reference: Float32[np.ndarray, " samples"] | None, sample_rate_hz: int
    ) -> "Future[Answer]":
        """Hand one clip over."""
        ...

    def flush(self) -> None:
        """No more clips will come for now: work on what was handed over."""
        ...


class MetricScorer:
    """Metrics in worker processes."""

    def __init__(self, pool: ProcessPoolExecutor, metrics: Sequence[str]) -> None:
        self.names = tuple(metrics)
        self._pool = pool

    def submit(
        self, clip_id: str, audio: Float32[np.ndarray, " samples"], reference: Float32[np.ndarray, " samples"] | None, sample_rate_hz: int
    ) -> "Future[Answer]":
        """Hand one clip over."""
        return self._pool.submit(score_clip, audio, reference, sample_rate_hz, self.names)

    def flush(self) -> None:
        """Nothing to do: workers begin at once."""


@contextmanager
def metric_scorer(metrics: Sequence[str], workers: int) -> Iterator[MetricScorer]:
    """`workers` processes (0: one a core) for the time of the block. Raises PoolError where a process dies (mostly: out of memory)."""
    check_metrics(metrics)
    with ProcessPoolExecutor(workers or os.cpu_count(), mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        try:
            yield MetricScorer(pool, metrics)
        except BrokenProcessPool as error:
            raise PoolError("a process that computes metrics died (often: out of memory); lower evaluate.workers and try again") from error


def _one_thread() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
