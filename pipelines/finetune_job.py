"""The running job: what stays up from phase to phase (panel, guard's meter), and what the driver does with every report.

run_phase: Phase (store, coordinator, ranks, stream) --StepReport--> metrics.jsonl, MLflow, display
                                                     --Committed--> guard's meter --Measurement--> monitor: go on | best | stop
"""

import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import ray
from ray.exceptions import RayError

from actors.coordinator import Committed, StepReport
from actors.guard import GuardMeter
from actors.panel import PANEL_APP, start_panel, stop_panel
from auricle.enhancers.assets import default_enhancer
from auricle.learning.guard import GuardMonitor, Measurement
from auricle.ledger import account
from pipelines.command import EXIT_ERROR, EXIT_INTERRUPTED, EXIT_OK
from pipelines.display import Display
from pipelines.finetune_metrics import StepMetrics
from pipelines.finetune_phase import Phase
from pipelines.finetune_samples import write_samples
from pipelines.finetune_scenes import FinetuneScenes
from pipelines.report import build_report
from pipelines.reporting.publish import publish_run
from pipelines.run_folder import RunFolder
from pipelines.settings import Settings
from pipelines.tracking import Tracker

EXIT_STOPPED = 3


@dataclass(frozen=True)
class Outcome:
    """How the job ended: a sentence for people, and the exit status."""

    sentence: str
    exit_status: int


class FinetuneJob:
    """A context manager: on entry the panel starts and the pretrained enhancer is measured; on exit the panel stops."""

    def __init__(self, settings: Settings, run: RunFolder, scenes: FinetuneScenes, tracker: Tracker, display: Display) -> None:
        self.settings, self.run, self.scenes, self.tracker, self.display = settings, run, scenes, tracker, display
        self.enhancer_folder = str((settings.finetune.enhancer or default_enhancer()).absolute())
        self.stop_asked = ""
        self._monitor = GuardMonitor(settings.guard)
        self._meter: Any = None
        self._measuring: list[Any] = []
        self._measuring_steps: set[int] = set()
        self._phase: Phase | None = None
        self._started_s = time.monotonic()
        self._metrics = StepMetrics(settings, time.time())

    def __enter__(self) -> Self:
        self.display.phase("starting the judges")
        start_panel(self.settings.panel)
        meter_class = ray.remote(num_cpus=0.1)(GuardMeter)
        guard = self.settings.guard
        self._meter = meter_class.remote(
            self.scenes.dev[: guard.scenes],
            self.enhancer_folder,
            self.settings.rollout.clip_s,
            guard.metrics,
            self.settings.panel,
            PANEL_APP,
            self.settings.reward.timeout_s,
        )
        self._recall_measurements()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._phase is not None:
            self._phase.close()
        stop_panel()

    def note(self, sentence: str) -> None:
        """Tell people, and keep it in the run's folder."""
        checkpoint = self.run.last_checkpoint()
        self.run.event(sentence, checkpoint[0] if checkpoint else 0)
        self.display.event(sentence)

    def ask_to_stop(self, reason: str) -> None:
        """Stop, with a checkpoint, at the next step."""
        self.stop_asked = reason
        if self._phase is not None:
            self._phase.ask_to_stop(reason)

    def run_phase(self) -> Outcome | None:
        """One phase, from the last checkpoint; None where another one has to follow. Raises PoolError where it broke."""
        checkpoint = self.run.last_checkpoint()
        first_step = checkpoint[0] if checkpoint else 0
        if first_step >= self.settings.finetune.steps:
            return Outcome(f"all {first_step} steps are made; nothing to do (raise finetune.steps to go on)", EXIT_OK)
        self.run.rewind(first_step)
        self._recall_measurements()
        if first_step:
            self.note(f"going on at the checkpoint of step {first_step}")
        self.display.phase("starting the pools")
        self._metrics = StepMetrics(self.settings, time.time())
        self._phase = Phase(self.settings, self.run, self.scenes, self.enhancer_folder, PANEL_APP, checkpoint)
        try:
            if self.stop_asked:
                self._phase.ask_to_stop(self.stop_asked)
            if first_step == 0:
                self._measure(0, None)
            self._follow(self._phase)
            self._await_measurements()
            reason = self._phase.reason
        finally:
            self._phase.close()
            self._phase = None
        return None if reason == "phase" else self._outcome(reason)

    def finish(self, outcome: Outcome) -> None:
        """Samples to hear, the sum of the ledger, the report."""
        self.display.phase("writing samples and the report")
        best = self.run.best_checkpoint() or self.run.last_checkpoint()
        if best and self.settings.finetune.samples:
            scenes = self.scenes.dev[: self.settings.finetune.samples]
            write_samples(self.run.path, scenes, self.enhancer_folder, best[1] / "enhancer", PANEL_APP, self.settings.reward.timeout_s)
        self.note(outcome.sentence)
        self.note(account(self.run.path / "ledger").sentence())
        report = build_report(self.run.path)
        publish_run(self.tracker, self.run.path)
        self.note(f"report: {report}")

    def _follow(self, phase: Phase) -> None:
        while not phase.finished():
            for message in phase.messages(timeout_s=1.0):
                self._take(message)
            self._collect_measurements()
            self._check_time()
        for message in phase.messages(timeout_s=0.1):
            self._take(message)

    def _take(self, message: StepReport | Committed) -> None:
        if isinstance(message, Committed):
            self.run.prune_checkpoints(self.settings.finetune.keep_checkpoints, self._measuring_steps)
            if message.step % self.settings.guard.every == 0 or message.step >= self.settings.finetune.steps:
                self._measure(message.step, Path(message.folder))
            return
        metrics = self._metrics.add(message)
        self.run.append("metrics.jsonl", {"step": message.step, "time_s": message.time_s, "metrics": metrics})
        self.tracker.log_metrics(message.step, metrics)
        self.display.step(message.step + 1, metrics)
        if message.words:
            scene_id, _, words = message.words.partition(": ")
            self.display.words(scene_id, words)

    def _measure(self, step: int, checkpoint: Path | None) -> None:
        folder = None if checkpoint is None else str(checkpoint / "enhancer")
        self._measuring_steps.add(step)
        self._measuring.append(self._meter.measure.remote(step, folder))

    def _collect_measurements(self, timeout_s: float = 0.0) -> None:
        ready, self._measuring = (
            ray.wait(self._measuring, num_returns=len(self._measuring), timeout=timeout_s) if self._measuring else ([], [])
        )
        for reference in ready:
            try:
                self._judge(ray.get(reference))
            except (RayError, TimeoutError) as error:
                self.note(f"a guard measurement failed and is left out: {str(error).strip().splitlines()[-1]}")

    def _await_measurements(self) -> None:
        self.display.phase("measuring the guard")
        deadline = time.monotonic() + self.settings.reward.timeout_s
        while self._measuring and time.monotonic() < deadline:
            self._collect_measurements(timeout_s=1.0)
        if self._measuring:
            self.note(f"{len(self._measuring)} guard measurements did not end within {self.settings.reward.timeout_s:g} s and are left out")
            self._measuring = []

    def _judge(self, measurement: Measurement) -> None:
        self._measuring_steps.discard(measurement.step)
        self.run.write_measurement(measurement)
        judgement = self._monitor.add(measurement)
        means = measurement.means()
        self.run.append("guard.jsonl", {"step": measurement.step, "time_s": time.time(), "metrics": means})
        self.tracker.log_metrics(measurement.step, {f"guard/{name}": value for name, value in means.items()})
        self.display.guard(measurement.step, means)
        if judgement.is_best and measurement.step > 0:
            self.run.mark_best(measurement.step, judgement.change)
        if judgement.sentence and self.settings.guard.stop:
            self.ask_to_stop(f"guard: {judgement.sentence}")

    def _recall_measurements(self) -> None:
        """Judge again what was measured before, so that patience and the best one are as they were."""
        self._monitor = GuardMonitor(self.settings.guard)
        for measurement in self.run.measurements():
            self._monitor.add(measurement)

    def _check_time(self) -> None:
        limit = self.settings.finetune.max_minutes
        if limit and not self.stop_asked and time.monotonic() - self._started_s > 60 * limit:
            self.ask_to_stop(f"time: finetune.max_minutes = {limit:g} are over")

    def _outcome(self, reason: str) -> Outcome:
        kind, _, detail = reason.partition(": ")
        if kind == "done":
            return Outcome(f"done: {self.settings.finetune.steps} steps", EXIT_OK)
        if kind == "time":
            return Outcome(f"{detail}; go on with --resume {self.run.path}", EXIT_OK)
        if kind == "interrupted":
            return Outcome(f"interrupted; a checkpoint is written, go on with: auricle finetune --resume {self.run.path}", EXIT_INTERRUPTED)
        return Outcome(detail or reason, EXIT_STOPPED if kind == "guard" else EXIT_ERROR)
