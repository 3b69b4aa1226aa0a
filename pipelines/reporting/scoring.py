"""Metrics of many clips at once, in processes of their own.

    clip of a system --> worker process --> {metric: value or None}, {metric: reason}

Every clip gets an answer for every metric that was asked of it: a number, or None with a reason.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Protocol

import numpy as np
from jaxtyping import Float32

from auricle.errors import PoolError
from auricle.metrics.scoring import Answer, check_metrics, score_clip


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
