"""One supervised training run on disk, and its loop.

RUN/config.toml  metrics.jsonl  best/ (enhancer)  last/ (enhancer)  checkpoints/step-000150/{engine, run.json}  evaluation.json

Invariants
- A checkpoint appears under its final name only when it is complete; a run killed anywhere goes on from its last one.
- `best` is the enhancer of the best validation so far; validations never see the training scenes.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from actors.learner_pool import LearnerPool
from auricle.config import to_toml
from auricle.enhancers.checkpoint import save_enhancer
from auricle.enhancers.interface import Enhancer
from auricle.errors import ConfigError, DeadlineError, PoolError
from auricle.files import replacing
from auricle.learning.pretraining import EarlyStopping, new_enhancer, validation_score
from auricle.learning.validation import means, score_enhancer
from auricle.progress import Progress
from auricle.scenes.scene import Clip
from pipelines.settings import Settings
from pipelines.tracking import Tracker

STEPS_PER_CALL = 25
"""Steps between two looks at the clock and the progress bar."""


class PretrainRun:
    """A run folder and what is done in it."""

    def __init__(self, settings: Settings, *, resume: bool) -> None:
        """Raises ConfigError where a new run's folder is taken, or a resumed one has no checkpoint."""
        self.settings, self.config = settings, settings.pretrain
        self.path = (settings.run.folder / settings.run.name).absolute()
        self.best, self.last = self.path / "best", self.path / "last"
        self.stopping = EarlyStopping(self.config.patience)
        self.enhancer: Enhancer = new_enhancer(self.config)
        self.step = 0
        self._checkpoint = self._newest() if resume else None
        if resume:
            self._restore()
        elif (self.path / "config.toml").exists():
            raise ConfigError(f"{self.path}: a run stands there already; resume it, or give another --set run.name=NAME")
        self.path.mkdir(parents=True, exist_ok=True)
        self._write_text("config.toml", to_toml(settings))

    def train(self, build: Callable[[], Any], clips: Sequence[Clip], tracker: Tracker, console: Console, deadline: float | None) -> None:
        """Train until the steps, the minutes or the patience are spent. Lost ranks are rebuilt from the last checkpoint."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        pool = LearnerPool(build, self.settings.learner_pool)
        try:
            pool.start(self._engine_folder())
            pool.require_seen(self.path)
            with Progress(*columns, console=console) as progress:
                bar = progress.add_task("training", total=self.config.steps, completed=self.step)
                clock = _Clock(self.config.steps, deadline, done=self.step)
                while not (clock.is_over(self.step) or self.stopping.exhausted):
                    try:
                        self._some_steps(pool, clips, tracker, clock)
                    except (PoolError, DeadlineError) as error:
                        console.print(f"{error}; going on from the last checkpoint", highlight=False)
                        pool.rebuild(self._engine_folder())
                        self._restore()
                    progress.update(bar, completed=self.step, total=clock.total_steps, description=self._said())
        finally:
            pool.stop()

    def write(self, name: str, value: Any) -> None:
        """`value` as JSON into the run's folder."""
        self._write_text(name, json.dumps(value, indent=1) + "\n")

    def _some_steps(self, pool: LearnerPool, clips: Sequence[Clip], tracker: Tracker, clock: "_Clock") -> None:
        due = self.config.validate_every - self.step % self.config.validate_every
        count = min(STEPS_PER_CALL, due, clock.total_steps - self.step)
        report = pool.call("train", count, clock.total_steps)[0]
        self.step += count
        clock.took(count)
        if self.step % self.config.validate_every == 0 or clock.is_over(self.step):
            report |= self._validate(pool, clips)
        tracker.log_metrics(self.step, {f"pretrain/{name}": value for name, value in report.items()})
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": self.step, **report}) + "\n")

    def _validate(self, pool: LearnerPool, clips: Sequence[Clip]) -> dict[str, float]:
        weights = pool.call("weights")[0]
        self.enhancer.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in weights.items()})
        found = means(score_enhancer(self.enhancer, clips, "own" if self.config.use_video else "none"))
        score = validation_score(found)
        if self.stopping.add(self.step, score):
            save_enhancer(self.enhancer, self.best)
        save_enhancer(self.enhancer, self.last)
        self._save(pool)
        return {**{f"dev_{name}": value for name, value in found.items()}, "dev_score": score}

    def _save(self, pool: LearnerPool) -> None:
        final = self.path / "checkpoints" / f"step-{self.step:06d}"
        partial = final.with_name(f".partial-{final.name}")
        shutil.rmtree(partial, ignore_errors=True)
        pool.call("save", str(partial / "engine"))
        (partial / "run.json").write_text(json.dumps({"step": self.step, "stopping": vars(self.stopping)}))
        shutil.rmtree(final, ignore_errors=True)
        os.replace(partial, final)
        before, self._checkpoint = self._checkpoint, final
        if before is not None and before != final:
            shutil.rmtree(before, ignore_errors=True)

    def _newest(self) -> Path:
        found = sorted((self.path / "checkpoints").glob("step-*"))
        if not found:
            raise ConfigError(f"{self.path}: no checkpoint to resume from; start it anew")
        return found[-1]

    def _restore(self) -> None:
        """Step and validations as of the last checkpoint."""
        self.step, self.stopping = 0, EarlyStopping(self.config.patience)
        if self._checkpoint is not None:
            record = json.loads((self._checkpoint / "run.json").read_text())
            self.step = int(record["step"])
            self.stopping = EarlyStopping(**{**record["stopping"], "patience": self.config.patience})
        metrics = self.path / "metrics.jsonl"
        if metrics.exists():  # steps beyond the checkpoint will be done, and noted, again
            lines = [line for line in metrics.read_text(encoding="utf-8").splitlines() if json.loads(line)["step"] <= self.step]
            self._write_text("metrics.jsonl", "".join(line + "\n" for line in lines))

    def _engine_folder(self) -> Path | None:
        return None if self._checkpoint is None else self._checkpoint / "engine"

    def _said(self) -> str:
        best = "" if self.stopping.best_step < 0 else f", best {self.stopping.best_score:.3f} at {self.stopping.best_step}"
        return f"training{best}"

    def _write_text(self, name: str, text: str) -> None:
        with replacing(self.path / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


class _Clock:
    """How many steps there will be: those asked for, or as many as fit into the time that is left at the rate so far."""

    def __init__(self, steps: int, deadline: float | None, *, done: int) -> None:
        self.total_steps = steps
        self._asked, self._deadline, self._done = steps, deadline, done
        self._began: float | None = None
        self._since_first = 0

    def took(self, count: int) -> None:
        """`count` more steps are done. The first ones, which read the clips, do not count for the rate."""
        self._done += count
        now = time.monotonic()
        if self._began is None:
            self._began = now
            return
        self._since_first += count
        if self._deadline is not None:
            rate = self._since_first / max(now - self._began, 1e-6)
            self.total_steps = min(self._asked, self._done + max(0, round(rate * (self._deadline - now))))

    def is_over(self, step: int) -> bool:
        """Whether no step is left."""
        return step >= self.total_steps or (self._deadline is not None and time.monotonic() >= self._deadline)
