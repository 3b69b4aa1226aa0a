"""One phase of learning from the stream: one Dataset, one set of learner ranks, from a checkpoint until a directive to stop or a fault.

    Phase(...) -> messages() ... until finished() -> reason -> close()

Invariants:
- Whatever breaks (a rank dies, the stream gives up, no step ends in time) comes out of `finished` as PoolError, within the deadlines, and
  names the actor, its place and the cause as far as Ray knows it. Where something hangs, what every pool was doing is written first.
- `close` ends every process that the phase started, also after a fault.
"""

import gc
import time
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from safetensors.numpy import load_file

from actors.cluster import ON_HEAD
from actors.coordinator import Message, RunCoordinator, StepReport
from actors.deaths import broken_ranks, describe, faults_of
from actors.home import mark
from actors.learner_pool import LearnerPool
from actors.stream import plan_stream, start_stages
from actors.stream_learner import StreamLinks, run_stream
from actors.watchdog import what_all_do
from actors.weights import WeightStore
from auricle.errors import DeadlineError, PoolError
from auricle.files import on_disk
from auricle.learning.quarantine import QuarantineConfig
from pipelines.recipe import Recipe
from pipelines.run_folder import RunFolder
from pipelines.settings import Settings


class Phase:
    """See the module's text."""

    def __init__(self, settings: Settings, run: RunFolder, recipe: Recipe, checkpoint: tuple[int, Path] | None) -> None:
        """checkpoint: step and folder to go on from; None: from the pretrained policy."""
        self._settings, self._size, self._timeout_s = settings, recipe.size, recipe.size.call_timeout_s
        self._run, self._panel_app, self._steps = run, recipe.panel_app, checkpoint[0] if checkpoint else 0
        self.reason = ""
        self._actors: list[Any] = []
        self._pool: LearnerPool | None = None
        self._iterators: list[Any] = []
        self._runs: list[Any] = []
        self._named: dict[str, Any] = {}
        self._hangs = False
        self._began = self._born = time.monotonic()
        try:
            self._start(run, recipe, checkpoint)
        except (RayError, DeadlineError) as error:
            self.close()
            raise PoolError(f"the pools could not be started: {describe(error)}") from error
        except BaseException:
            self.close()
            raise

    def messages(self, timeout_s: float) -> list[Message]:
        """Finished steps and checkpoints since the last call."""
        found = self._ask(self._coordinator.messages.remote(timeout_s), timeout_s + self._timeout_s)
        self._steps = max([self._steps, *(message.step + 1 for message in found if isinstance(message, StepReport))])
        return found

    def remaining_messages(self) -> list[Message]:
        """What the coordinator still holds, once the ranks have ended; nothing where it is gone, or hangs, too."""
        if self._hangs:
            return []
        try:
            return self.messages(timeout_s=0.1)
        except PoolError:
            return []

    def finished(self) -> bool:
        """Whether all ranks have ended; raises PoolError where one broke, or where no step has ended for step_timeout_s."""
        ready, waiting = ray.wait(self._runs, num_returns=len(self._runs), timeout=0)
        try:
            reasons = [ray.get(run) for run in ready]
        except RayError as error:
            assert self._pool is not None
            raise broken_ranks(faults_of(self._runs), self._pool.places) from error
        if not waiting:
            self.reason = reasons[0]
            return True
        self._check_silence()
        return False

    def ask_to_stop(self, reason: str) -> None:
        """Stop, with a checkpoint, at the next step."""
        self._coordinator.request_stop.remote(reason)

    def close(self) -> None:
        """End the phase's processes."""
        if self._pool is not None:
            self._pool.stop()
            self._pool = None
        self._runs, self._iterators = [], []
        for actor in self._actors:
            ray.kill(actor)
        self._actors = []
        gc.collect()  # the iterators' last references go, and with them the stream's executor and its pools

    def _start(self, run: RunFolder, recipe: Recipe, checkpoint: tuple[int, Path] | None) -> None:
        settings, size = self._settings, recipe.size
        first_step = checkpoint[0] if checkpoint else 0
        schedule = recipe.schedule
        plan = plan_stream(schedule, first_step, size.steps, settings.learner_pool.ranks, size.blocks_per_rank)
        store = self._actor(WeightStore, settings.staleness.max_staleness + 2)
        self._publish(store, recipe, checkpoint)
        self._coordinator = self._actor(
            RunCoordinator,
            str(run.path),
            world_size=plan.ranks,
            first_step=first_step,
            phase_end_step=plan.end_step,
            end_step=size.steps,
            global_batch=schedule.global_batch,
            max_staleness=settings.staleness.max_staleness,
            checkpoint_every=recipe.checkpoint_every,
            budget=settings.failure_budget,
            quarantine=QuarantineConfig(after=recipe.quarantine_after),
            scenes=schedule.scenes,
        )
        self._named = {"coordinator": self._coordinator, "weight store": store}
        self._pool = LearnerPool(recipe.learner, settings.learner_pool)
        self._pool.start(checkpoint[1] / "engine" if checkpoint else None)
        self._iterators = start_stages(plan, recipe.stages(plan, store, self._coordinator))
        with on_disk(run.path):
            home = mark(run.path)
        links = StreamLinks(store, self._coordinator, str(run.path), recipe.columns, recipe.part_names, self._timeout_s, home)
        self._runs = [
            rank.apply.remote(run_stream, shard, plan, links) for rank, shard in zip(self._pool.ranks, self._iterators, strict=True)
        ]
        self._began = time.monotonic()

    def _actor(self, cls: type, *arguments: Any, **keywords: Any) -> Any:
        actor = ray.remote(num_cpus=0, max_concurrency=1000, resources=ON_HEAD)(cls).remote(*arguments, **keywords)
        self._actors.append(actor)
        return actor

    def _publish(self, store: Any, recipe: Recipe, checkpoint: tuple[int, Path] | None) -> None:
        """The versions that the gate may ask for: the pretrained weights, or those kept in the checkpoint."""
        if checkpoint is None:
            versions = {0: recipe.first_weights()}
        else:
            files = sorted((checkpoint[1] / "versions").glob("v*.safetensors"))
            versions = {int(path.stem[1:]): load_file(path) for path in files}
        for version, weights in sorted(versions.items()):
            ray.get(store.publish.remote(version, weights), timeout=self._timeout_s)

    def _ask(self, answer: Any, timeout_s: float) -> Any:
        try:
            return ray.get(answer, timeout=timeout_s)
        except GetTimeoutError as error:
            self._hangs = True
            told = f"the run's coordinator has not answered for {timeout_s:.0f} s"
            raise PoolError(f"{told}; {self._dump(told)}") from error
        except RayError as error:
            raise PoolError(f"the run's coordinator is gone: {describe(error)}") from error

    def _check_silence(self) -> None:
        limit = self._size.step_timeout_s
        if time.monotonic() - self._began < limit:
            return
        silent_s = self._ask(self._coordinator.silent_s.remote(), self._timeout_s)
        if silent_s > limit:
            told = f"no learner step has ended for {silent_s:.0f} s (step_timeout_s = {limit:g})"
            raise PoolError(f"{told}; {self._dump(told)}")

    def _dump(self, why: str) -> str:
        """Write what every pool is doing into the run's folder; answers with where it stands."""
        page = what_all_do(self._named, app=self._panel_app, since_s=time.monotonic() - self._born)
        path = self._run.write_dump(self._steps, f"{why}\n\n{page}\n")
        return f"what every pool was doing then stands in {path}"
