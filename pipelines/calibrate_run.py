"""One calibration on disk, and its loop.

OUTPUT/checkpoints/step-000500/{engine.json, average.safetensors, ...}  metrics.jsonl  listener/ (what comes out)  report.md

Invariants
- A checkpoint appears under its final name only when it is complete; a training killed anywhere goes on from its last one.
- The listener that is written has the averaged weights, adapters merged: one folder for transformers and vLLM.
"""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from actors.learner_pool import LearnerPool
from auricle.errors import DeadlineError, PoolError
from auricle.learning.config import LearnerPoolConfig
from auricle.listeners.calibration import CalibrateConfig
from auricle.listeners.checkpoint import Listener, load_listener, save_listener
from auricle.listeners.trainable import assembled
from auricle.progress import Progress
from pipelines.tracking import Tracker

LISTENER = "listener"
STEPS_PER_CALL = 20
"""Steps between two lines of metrics."""


class CalibrateRun:
    """The folder of a calibration and what is done in it."""

    def __init__(self, config: CalibrateConfig, pool: LearnerPoolConfig) -> None:
        self.config, self._pool_config = config, pool
        self.path = config.output.absolute()
        self.path.mkdir(parents=True, exist_ok=True)
        self._checkpoint = self._newest()
        self.step = self._step_of(self._checkpoint)

    def train(self, sets: Sequence[Path], tracker: Tracker, console: Console) -> Listener:
        """Train, save and read back: the report is about the file. Lost ranks are rebuilt from the last checkpoint."""
        steps = self.config.training.steps
        pool = LearnerPool(_builder(self.config, sets), self._pool_config)
        try:
            pool.start(self._checkpoint)
            pool.require_seen(self.path)
            with bar(console) as progress:
                task = progress.add_task("training", total=steps, completed=self.step)
                while self.step < steps:
                    try:
                        report = self._some_steps(pool, tracker)
                        progress.update(task, completed=self.step, description=f"training (loss {report['loss']:.2f})")
                    except (PoolError, DeadlineError) as error:
                        console.print(f"{error}; going on from the last checkpoint", highlight=False)
                        pool.rebuild(self._checkpoint)
                        self.step = self._step_of(self._checkpoint)
            trained = pool.call("trained")[0]
        finally:
            pool.stop()
        folder = self.path / LISTENER
        save_listener(assembled(self.config, trained), folder, half=self.config.half)
        return load_listener(folder)

    def _some_steps(self, pool: LearnerPool, tracker: Tracker) -> dict[str, float]:
        training = self.config.training
        due = training.checkpoint_steps - self.step % training.checkpoint_steps
        count = min(STEPS_PER_CALL, due, training.steps - self.step)
        report: dict[str, float] = pool.call("train", count)[0]
        self.step += count
        tracker.log_metrics(self.step, {f"calibrate/{name}": value for name, value in report.items()})
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": self.step, **report}) + "\n")
        if self.step % training.checkpoint_steps == 0 or self.step == training.steps:
            self._save(pool)
        return report

    def _save(self, pool: LearnerPool) -> None:
        final = self.path / "checkpoints" / f"step-{self.step:06d}"
        partial_folder = final.with_name(f".partial-{final.name}")
        shutil.rmtree(partial_folder, ignore_errors=True)
        pool.call("save", str(partial_folder))
        shutil.rmtree(final, ignore_errors=True)
        os.replace(partial_folder, final)
        before, self._checkpoint = self._checkpoint, final
        if before is not None and before != final:
            shutil.rmtree(before, ignore_errors=True)

    def _newest(self) -> Path | None:
        found = sorted((self.path / "checkpoints").glob("step-*"))
        return found[-1] if found else None

    @staticmethod
    def _step_of(checkpoint: Path | None) -> int:
        return 0 if checkpoint is None else int(checkpoint.name.removeprefix("step-"))


def bar(console: Console) -> Progress:
    """The progress bar of clips and of steps."""
    return Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console)


def _builder(config: CalibrateConfig, sets: Sequence[Path]) -> Callable[[], Any]:
    from actors.listener_learner import ListenerLearner  # torch.distributed and the engine, only once there is work for them

    return partial(ListenerLearner, config, [path.absolute() for path in sets])
