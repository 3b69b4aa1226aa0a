"""A running job whose policy learns from the stream: what the driver does with every report, phase after phase, whatever the policy is.

run_phase: Phase (store, coordinator, ranks, stream) --StepReport--> metrics.jsonl, MLflow, Prometheus, display
                                                     --Committed--> guard's meter --Measurement--> monitor: go on | best | stop
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from actors.coordinator import Committed, Message
from auricle.learning.quarantine import Quarantined
from pipelines.command import EXIT_ERROR, EXIT_INTERRUPTED, EXIT_OK
from pipelines.display import Display
from pipelines.finetune_guard import GuardWatch
from pipelines.finetune_metrics import StepMetrics
from pipelines.finetune_phase import Phase
from pipelines.gauges import Gauges
from pipelines.recipe import Recipe
from pipelines.run_folder import RunFolder
from pipelines.scaling import ScaleEvents
from pipelines.settings import Settings, StreamSettings
from pipelines.tracking import Tracker

EXIT_STOPPED = 3


@dataclass(frozen=True)
class Outcome:
    """How the job ended: a sentence for people, and the exit status."""

    sentence: str
    exit_status: int


class StreamJob(ABC):
    """What the jobs of all policies share. `section`: its settings' section, which is also the verb."""

    section = ""

    def __init__(
        self, settings: Settings, size: StreamSettings, run: RunFolder, tracker: Tracker, display: Display, guard_settings: Settings
    ) -> None:
        """guard_settings: as `settings`, with this job's own guard."""
        self.settings, self.size, self.guard_settings = settings, size, guard_settings
        self.run, self.tracker, self.display = run, tracker, display
        self.stop_asked = ""
        self.broke = False
        self._guard = GuardWatch(guard_settings, run, tracker, display, note=self.note, stop=self.ask_to_stop)
        self._phase: Phase | None = None
        self._started_s = time.monotonic()
        self._metrics = StepMetrics(self.workers(), self.part_names(), time.time())
        self._gauges, self._scaling = Gauges(settings.run.name), ScaleEvents(run.path)

    @abstractmethod
    def recipe(self) -> Recipe:
        """What a phase is made of."""

    @abstractmethod
    def workers(self) -> Mapping[str, int]:
        """How many workers each pool has, for busy shares: rollout, reward, learner."""

    @abstractmethod
    def part_names(self) -> tuple[str, ...]:
        """The parts of the reward."""

    @abstractmethod
    def finish(self, outcome: Outcome) -> None:
        """What is left to do when the last phase is over."""

    def on_step(self, step: int, metrics: Mapping[str, float]) -> None:  # noqa: B027 - not every job looks at the steps
        """After every learner step."""

    def watch(self) -> None:  # noqa: B027 - not every job has more to look after
        """About every second while a phase runs."""

    def figures(self) -> dict[str, float]:
        """What the job itself adds to the metrics of a step."""
        return {}

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
        if first_step >= self.size.steps:
            self._guard.measure_what_is_missing(checkpoint)  # a run killed at its very end
            self._guard.wait()
            if self._guard.fooled or self._guard.unguarded:
                return self._outcome("done")
            return Outcome(f"all {first_step} steps are made; nothing to do (raise {self.section}.steps to go on)", EXIT_OK)
        self.run.rewind(first_step)
        if first_step:
            self.note(f"going on at the checkpoint of step {first_step}")
        self.display.phase("starting the pools")
        self._metrics = StepMetrics(self.workers(), self.part_names(), time.time())
        self._phase = Phase(self.settings, self.run, self.recipe(), checkpoint)
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

    def _follow(self, phase: Phase) -> None:
        try:
            while not phase.finished():
                for message in phase.messages(timeout_s=1.0):
                    self._take(message)
                self._guard.collect()
                self.watch()
                self._check_time()
        finally:
            # What was finished before a rank broke is told and measured all the same.
            for message in phase.remaining_messages():
                self._take(message)

    def _take(self, message: Message) -> None:
        if isinstance(message, Quarantined):
            self.note(message.sentence())
            return
        if isinstance(message, Committed):
            self.run.publish(message.step)
            if message.step % self.guard_settings.guard.every == 0 or message.step >= self.size.steps:
                self._guard.measure(message.step, Path(message.folder))
            self.run.prune_checkpoints(self.size.keep_checkpoints, self._guard.measuring)
            return
        metrics = self._metrics.add(message, self._scaling.new()) | self.figures()
        self.run.append("metrics.jsonl", {"step": message.step, "time_s": message.time_s, "metrics": metrics})
        self.tracker.log_metrics(message.step, metrics)
        self._gauges.set(metrics)
        self.display.step(message.step + 1, metrics)
        self.on_step(message.step, metrics)
        if message.words:
            scene_id, _, words = message.words.partition(": ")
            self.display.words(scene_id, words)

    def _check_time(self) -> None:
        limit = self.size.max_minutes
        if limit and not self.stop_asked and time.monotonic() - self._started_s > 60 * limit:
            self.ask_to_stop(f"time: {self.section}.max_minutes = {limit:g} are over")

    def _outcome(self, reason: str) -> Outcome:
        kind, _, detail = reason.partition(": ")
        if self._guard.fooled:
            return Outcome(self._guard.fooled, EXIT_STOPPED)
        if self._guard.unguarded:  # also where all steps were made before that was known
            return Outcome(f"the run is unguarded: {self._guard.unguarded}", EXIT_ERROR)
        if kind == "done":
            return Outcome(f"done: {self.size.steps} steps", EXIT_OK)
        if kind == "time":
            return Outcome(f"{detail}; go on with --resume {self.run.path}", EXIT_OK)
        if kind == "interrupted":
            return Outcome(
                f"interrupted; a checkpoint is written, go on with: auricle {self.section} --resume {self.run.path}", EXIT_INTERRUPTED
            )
        return Outcome(detail or reason, EXIT_STOPPED if kind in ("guard", "alarm") else EXIT_ERROR)
