"""The running job: what stays up from phase to phase (panel, guard's meter), and what the driver does with every report.

run_phase: Phase (store, coordinator, ranks, stream) --StepReport--> metrics.jsonl, MLflow, display
                                                     --Committed--> guard's meter --Measurement--> monitor: go on | best | stop
"""

import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from actors.coordinator import Committed, StepReport
from actors.panel import start_panel, stop_panel
from auricle.enhancers.assets import default_enhancer
from auricle.errors import AuricleError, DeadlineError
from auricle.ledger import account
from pipelines.command import EXIT_ERROR, EXIT_INTERRUPTED, EXIT_OK
from pipelines.display import Display
from pipelines.finetune_check import check_before_the_run
from pipelines.finetune_guard import GuardWatch
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
        # A name of its own: two jobs on one cluster must not judge with each other's judges.
        self._panel_app = f"panel-{settings.run.name}-{uuid.uuid4().hex[:8]}"
        self._guard = GuardWatch(settings, run, tracker, display, note=self.note, stop=self.ask_to_stop)
        self._phase: Phase | None = None
        self._started_s = time.monotonic()
        self._metrics = StepMetrics(settings, time.time())

    def __enter__(self) -> Self:
        self.display.phase("starting the judges")
        try:
            handle = start_panel(self.settings.panel, app_name=self._panel_app)
            self._check_judges(handle)
            self._guard.start(self.scenes.dev, self.enhancer_folder, self._panel_app)
        except BaseException:
            stop_panel(app_name=self._panel_app)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._phase is not None:
            self._phase.close()
        stop_panel(app_name=self._panel_app)

    def checkpoint_step(self) -> int:
        """The step of the last checkpoint; 0 before the first."""
        checkpoint = self.run.last_checkpoint()
        return checkpoint[0] if checkpoint else 0

    def note(self, sentence: str) -> None:
        """Tell people, and keep it in the run's folder."""
        self.run.event(sentence, self.checkpoint_step())
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
        if first_step:
            self.note(f"going on at the checkpoint of step {first_step}")
        self.display.phase("starting the pools")
        self._metrics = StepMetrics(self.settings, time.time())
        self._phase = Phase(self.settings, self.run, self.scenes, self.enhancer_folder, self._panel_app, checkpoint)
        try:
            if self.stop_asked:
                self._phase.ask_to_stop(self.stop_asked)
            self._guard.measure_what_is_missing(checkpoint)
            self._follow(self._phase)
            self.display.phase("measuring the guard")
            self._guard.wait()
            reason = self._phase.reason
        finally:
            self._phase.close()
            self._phase = None
        return None if reason == "phase" else self._outcome(reason)

    def finish(self, outcome: Outcome) -> None:
        """Samples to hear, the sum of the ledger, the report."""
        self.display.phase("writing samples and the report")
        self.note(outcome.sentence)
        self.note(account(self.run.path / "ledger").sentence())
        best = self.run.best_checkpoint()
        if best is None and self.checkpoint_step():
            self.note("no checkpoint passed the guard; samples and tables show the last one")
        shown = best or self.run.last_checkpoint()
        if shown and self.settings.finetune.samples:
            self._write_samples(shown[1] / "enhancer")
        report = build_report(self.run.path)
        publish_run(self.tracker, self.run.path)
        self.note(f"report: {report}")

    def _check_judges(self, handle: DeploymentHandle) -> None:
        """Refuse judges that are not fit to reward anything (`finetune_check`)."""
        self.display.phase("checking the judges")
        deadline_s = 2 * max(judge.deadline_s for judge in self.settings.panel.judges)

        def ask(requests: list[dict[str, Any]]) -> list[dict[str, dict[str, Any]]]:
            try:
                return handle.judge.remote(requests).result(timeout_s=deadline_s)
            except TimeoutError:
                raise DeadlineError(f"the panel did not answer within {deadline_s:g} s; raise the judges' deadline_s") from None

        check_before_the_run(self.settings, ask, self.run.path / "check", self.note)

    def _write_samples(self, enhancer: Path) -> None:
        """Clips to hear. What goes wrong here costs the clips, not the report of a finished run."""
        scenes = self.scenes.dev[: self.settings.finetune.samples]
        try:
            write_samples(self.run.path, scenes, self.enhancer_folder, enhancer, self._panel_app, self.settings.reward.timeout_s)
        except (RayError, RayServeException, TimeoutError, AuricleError) as error:
            self.note(f"no samples were written: {type(error).__name__}: {str(error).strip().splitlines()[-1]}")

    def _follow(self, phase: Phase) -> None:
        try:
            while not phase.finished():
                for message in phase.messages(timeout_s=1.0):
                    self._take(message)
                self._guard.collect()
                self._check_time()
        finally:
            # What was finished before a rank broke is told and measured all the same.
            for message in phase.remaining_messages():
                self._take(message)

    def _take(self, message: StepReport | Committed) -> None:
        if isinstance(message, Committed):
            self.run.prune_checkpoints(self.settings.finetune.keep_checkpoints, self._guard.measuring)
            if message.step % self.settings.guard.every == 0 or message.step >= self.settings.finetune.steps:
                self._guard.measure(message.step, Path(message.folder))
            return
        metrics = self._metrics.add(message)
        self.run.append("metrics.jsonl", {"step": message.step, "time_s": message.time_s, "metrics": metrics})
        self.tracker.log_metrics(message.step, metrics)
        self.display.step(message.step + 1, metrics)
        if message.words:
            scene_id, _, words = message.words.partition(": ")
            self.display.words(scene_id, words)

    def _check_time(self) -> None:
        limit = self.settings.finetune.max_minutes
        if limit and not self.stop_asked and time.monotonic() - self._started_s > 60 * limit:
            self.ask_to_stop(f"time: finetune.max_minutes = {limit:g} are over")

    def _outcome(self, reason: str) -> Outcome:
        kind, _, detail = reason.partition(": ")
        if self._guard.fooled:
            return Outcome(self._guard.fooled, EXIT_STOPPED)
        if kind == "done":
            return Outcome(f"done: {self.settings.finetune.steps} steps", EXIT_OK)
        if kind == "time":
            return Outcome(f"{detail}; go on with --resume {self.run.path}", EXIT_OK)
        if kind == "interrupted":
            return Outcome(f"interrupted; a checkpoint is written, go on with: auricle finetune --resume {self.run.path}", EXIT_INTERRUPTED)
        return Outcome(detail or reason, EXIT_STOPPED if kind == "guard" else EXIT_ERROR)
