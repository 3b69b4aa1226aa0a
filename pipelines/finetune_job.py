"""The main job: the panel and the guard's meter stay up from phase to phase; the rest is `pipelines.stream_job`."""

import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from actors.panel import join_panel, start_panel, stop_panel
from auricle.enhancers.assets import default_enhancer
from auricle.errors import AuricleError, DeadlineError
from auricle.judging.panel import part_names
from auricle.ledger import account
from pipelines.display import Display
from pipelines.exact import exact_settings
from pipelines.finetune_check import check_before_the_run
from pipelines.finetune_recipe import enhancer_recipe
from pipelines.finetune_samples import write_samples
from pipelines.finetune_scenes import FinetuneScenes
from pipelines.pool_watch import PoolWatch
from pipelines.recipe import Recipe
from pipelines.report import build_report
from pipelines.reporting.publish import publish_run
from pipelines.run_folder import RunFolder
from pipelines.scaling import scale_event
from pipelines.settings import Settings
from pipelines.stream_job import Outcome, StreamJob
from pipelines.tracking import Tracker


class FinetuneJob(StreamJob):
    """A context manager: on entry the panel starts and the pretrained enhancer is measured; on exit the panel stops.

    With `panel.app` it joins a panel that is up, and leaves it running.
    """

    section = "finetune"

    def __init__(self, settings: Settings, run: RunFolder, scenes: FinetuneScenes, tracker: Tracker, display: Display) -> None:
        settings = exact_settings(settings)
        self.scenes = scenes
        self.enhancer_folder = str((settings.finetune.enhancer or default_enhancer()).absolute())
        # A name of its own: two jobs on one cluster must not judge with each other's judges, unless they are told to.
        self._panel_app = settings.panel.app or f"panel-{settings.run.name}-{uuid.uuid4().hex[:8]}"
        self._pools: PoolWatch | None = None
        super().__init__(settings, settings.finetune, run, tracker, display, settings)

    def __enter__(self) -> Self:
        self.display.phase("starting the judges")
        try:
            handle = self._seat_panel()
            self._pools = PoolWatch(handle).start()
            self._check_judges(handle)
            self._guard.start(self.scenes.dev, self.enhancer_folder, self._panel_app)
        except BaseException:
            self._leave_panel()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._phase is not None:
            self._phase.close()
        self._leave_panel()

    def _seat_panel(self) -> DeploymentHandle:
        """A panel of this run's own, or the one that `panel.app` names."""
        panel = self.settings.panel
        return (join_panel if panel.app else start_panel)(panel, app_name=self._panel_app)

    def _leave_panel(self) -> None:
        if self._pools is not None:
            self._pools.stop()
        try:
            self.watch()
        finally:
            if not self.settings.panel.app:
                stop_panel(app_name=self._panel_app)

    def watch(self) -> None:
        """See `StreamJob.watch`: what was scaled goes into scaling.jsonl, and is told."""
        for event in self._pools.events() if self._pools else ():
            self.run.append("scaling.jsonl", event)
            self.note(f"pool {scale_event(event).sentence()}")

    def figures(self) -> dict[str, float]:
        """See `StreamJob.figures`: each pool's processes and queue."""
        return self._pools.figures() if self._pools else {}

    def workers(self) -> Mapping[str, int]:
        """See `StreamJob.workers`; the reward pool's are the blocks that may be at the panel at once."""
        settings = self.settings
        at_panel = settings.reward.clients * settings.reward.blocks_in_flight
        return {"rollout": settings.rollout.actors, "reward": at_panel, "learner": settings.learner_pool.ranks}

    def part_names(self) -> tuple[str, ...]:
        """See `StreamJob.part_names`."""
        return part_names(self.settings.panel)

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
        deadline_s = 2 * self.settings.panel.longest_s

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

    def recipe(self) -> Recipe:
        """See `StreamJob.recipe`."""
        return enhancer_recipe(self.settings, self.scenes, self.enhancer_folder, self._panel_app)
