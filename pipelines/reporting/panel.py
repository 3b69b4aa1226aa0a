"""The panel as a scorer of many clips: requests are gathered into blocks, a few blocks are under way at a time, failures are counted.

submit --> block of requests --> Panel (Serve) --> {judge: verdict} --> Answer (one score a part, and the panel's own)
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from actors.cluster import cluster
from actors.panel import start_panel, stop_panel
from auricle.judging.panel import PanelConfig, panel_scores, part_names
from auricle.metrics.scoring import Answer
from pipelines.reporting.config import EvaluateConfig
from pipelines.settings import Settings

PANEL = "panel"
APP_NAME = "auricle-evaluate"
_BLOCKS_UNDER_WAY = 4


class PanelScorer:
    """Scores clips by a running panel."""

    def __init__(self, handle: DeploymentHandle, panel: PanelConfig, config: EvaluateConfig, threads: ThreadPoolExecutor) -> None:
        self.names = (PANEL, *part_names(panel))
        self._handle, self._panel, self._config, self._threads = handle, panel, config, threads
        self._waiting: list[tuple[dict[str, Any], Future[Answer]]] = []

    def submit(
        self, clip_id: str, audio: Float32[np.ndarray, " samples"], reference: Float32[np.ndarray, " samples"] | None, sample_rate_hz: int
    ) -> "Future[Answer]":
        """Hand one clip over; it may wait for others until `flush`."""
        future: Future[Answer] = Future()
        request = {"clip_id": clip_id, "audio": audio, "sample_rate_hz": sample_rate_hz, "reference": reference}
        self._waiting.append((request, future))
        if len(self._waiting) >= self._config.panel_batch:
            self.flush()
        return future

    def flush(self) -> None:
        """Send what is waiting for a full block."""
        if self._waiting:
            self._threads.submit(self._ask, self._waiting)
            self._waiting = []

    def _ask(self, block: Sequence[tuple[dict[str, Any], "Future[Answer]"]]) -> None:
        requests = [request for request, _ in block]
        try:
            verdicts = self._handle.judge.remote(requests).result(timeout_s=self._config.panel_timeout_s)
            answers = [panel_answer(self._panel, one) for one in verdicts]
        except (RayError, RayServeException, TimeoutError) as error:
            reason = "no answer in time" if isinstance(error, TimeoutError) else f"the panel broke: {type(error).__name__}"
            answers = [Answer(dict.fromkeys(self.names), dict.fromkeys(self.names, reason))] * len(block)
        except BaseException as error:  # handed to whoever waits: a thread must not end without an answer
            for _, future in block:
                future.set_exception(error)
            raise
        for (_, future), answer in zip(block, answers, strict=True):
            future.set_result(answer)


def panel_answer(panel: PanelConfig, verdicts: Mapping[str, Mapping[str, Any]]) -> Answer:
    """One clip's verdicts as an `Answer`: each part, their weighted mean `panel`, and the words of the first judge that gave any."""
    parts, totals = panel_scores(panel, [verdicts])
    values = {PANEL: _score(totals[0]), **{name: _score(column[0]) for name, column in parts.items()}}
    reasons = {name: _reason(name, verdicts) for name, value in values.items() if value is None}
    words = next((v["rationale"] for v in verdicts.values() if v.get("state") == "scored" and v.get("rationale")), "")
    return Answer(values, reasons, words)


@contextmanager
def panel_scorer(settings: Settings, log: Path | None = None) -> Iterator[PanelScorer]:
    """The run's panel, started for the time of the block (on the cluster that the settings name). log: see `actors.cluster.cluster`."""
    if log is not None:
        log.mkdir(parents=True, exist_ok=True)
    with cluster(settings.cluster, namespace="auricle", log=log), ThreadPoolExecutor(_BLOCKS_UNDER_WAY, "panel") as threads:
        handle = start_panel(settings.panel, app_name=APP_NAME)
        try:
            yield PanelScorer(handle, settings.panel, settings.evaluate, threads)
        finally:
            stop_panel(app_name=APP_NAME)


def _score(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _reason(name: str, verdicts: Mapping[str, Mapping[str, Any]]) -> str:
    judge = name.partition(".")[0]
    verdict = verdicts.get(judge)
    if name == PANEL:
        failed = [one for one, answer in verdicts.items() if answer.get("state") != "scored"]
        return f"failed: {', '.join(failed)}" if failed else "a part has no value"
    if verdict is None:
        return "no answer"
    return str(verdict.get("reason") or "no such dimension")
