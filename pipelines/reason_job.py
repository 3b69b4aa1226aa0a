"""The running job of `auricle reason`: the listener's meter stays up from phase to phase, and the alarm looks at every step's answers."""

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from actors.answer_learner import LISTENER
from actors.listener_meter import ListenerMeter
from auricle.learning.guard import GuardConfig
from auricle.ledger import account
from auricle.listeners.assets import default_listener
from auricle.reasoning.alarm import Alarm
from auricle.reasoning.config import PARTS
from pipelines.display import Display
from pipelines.reason_recipe import ReasonClips, listener_recipe
from pipelines.recipe import Recipe
from pipelines.report import build_report
from pipelines.reporting.publish import publish_run
from pipelines.run_folder import RunFolder
from pipelines.settings import Settings
from pipelines.stream_job import Outcome, StreamJob
from pipelines.tracking import Tracker


class ReasonJob(StreamJob):
    """A context manager: on entry the meter starts and the calibrated listener is measured."""

    section = "reason"

    def __init__(self, settings: Settings, run: RunFolder, clips: ReasonClips, tracker: Tracker, display: Display) -> None:
        self.clips = clips
        self.listener_folder = str((settings.reason.listener or default_listener()).absolute())
        limits = settings.reason.limits
        guard = GuardConfig(
            every=limits.every,
            metrics=tuple(limits.tolerance),
            tolerance=limits.tolerance,
            patience=limits.patience,
            stop=limits.stop,
            timeout_s=settings.reason.deadline_s,
        )
        super().__init__(settings, settings.reason, run, tracker, display, settings.model_copy(update={"guard": guard}))
        self._alarm = Alarm(settings.reason.alarm)

    def __enter__(self) -> Self:
        self._guard.watch_with(
            ListenerMeter, self.clips.sets, self.clips.dev, self.listener_folder, self.settings.reason.rewards, export=LISTENER
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._phase is not None:
            self._phase.close()

    def recipe(self) -> Recipe:
        """See `StreamJob.recipe`."""
        return listener_recipe(self.settings, self.clips, self.listener_folder)

    def workers(self) -> Mapping[str, int]:
        """See `StreamJob.workers`."""
        return {"rollout": self.settings.reason.answers.actors, "reward": 1, "learner": self.settings.learner_pool.ranks}

    def part_names(self) -> tuple[str, ...]:
        """See `StreamJob.part_names`."""
        return PARTS

    def run_phase(self) -> Outcome | None:
        """See `StreamJob.run_phase`; the alarm first hears again what happened before the checkpoint."""
        self._alarm = Alarm(self.settings.reason.alarm)
        for record in self.run.lines("metrics.jsonl"):
            if record["step"] < self.checkpoint_step():
                self._alarm.add(record["step"], record["metrics"])
        return super().run_phase()

    def on_step(self, step: int, metrics: Mapping[str, float]) -> None:
        """See `StreamJob.on_step`."""
        for collapse in self._alarm.add(step, metrics):
            self.note(f"alarm {collapse.name}: {collapse.sentence}")
            if self.settings.reason.alarm.stop and not self.stop_asked:
                self.ask_to_stop(f"alarm: stopped by the alarm {collapse.name}: {collapse.sentence}")

    def finish(self, outcome: Outcome) -> None:
        """The sum of the ledger, the report, and where the listener is."""
        self.note(outcome.sentence)
        self.note(account(self.run.path / "ledger").sentence())
        shown = self.run.best_checkpoint() or self.run.last_checkpoint()
        if shown:
            self.note(f"listener: {shown[1] / LISTENER}")
        report = build_report(self.run.path)
        publish_run(self.tracker, self.run.path)
        self.note(f"report: {report}")
