"""The listener's learner: calibration by labelled clips, on the same engine and in the same ranks as the policy's.

    train(n): n times [plan of (seed, step) -> this rank's share of clips and questions -> loss -> backward -> step -> average]

Invariants
- A step is a function of (seed, step): any number of ranks takes the same steps, up to rounding.
- A learner that was saved and loaded goes on to the bit at the same number of ranks; its averaged weights too.
- `trained` gives the averaged weights of what learned, whole; frozen parts come from where training started.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from actors.average import AveragedWeights
from actors.engine import Engine, gather_objects, join_alone
from auricle.errors import LearningError
from auricle.learning.config import EngineConfig
from auricle.listeners.auxiliary import AuxiliaryHead
from auricle.listeners.calibration import CalibrateConfig
from auricle.listeners.courses import courses_of
from auricle.listeners.dataset import SomeClips, read_sets
from auricle.listeners.listener_module import ListenerModule
from auricle.listeners.trainable import trainee
from auricle.listeners.training import average_share, learning_rate_share, parameter_groups, plan_step, step_loss


class ListenerLearner:
    """One rank of calibration; with no group joined, a learner of its own in this process."""

    def __init__(self, config: CalibrateConfig, sets: Sequence[Path], rows: Sequence[int] | None = None) -> None:
        """sets: folders of prepared clips, which every rank can read; rows: those of them to learn from (default: all)."""
        join_alone()
        self.config, self.version = config, 0
        training = config.training
        clips = read_sets(sets)
        self._clips, self._courses = clips if rows is None else SomeClips(clips, rows), courses_of(config)
        listener = trainee(config)
        self._processor = listener.processor
        self._language = listener.model.language_model
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(training.seed)
            head = AuxiliaryHead(listener.model.config.text_config.hidden_size)
        module = ListenerModule(listener.model.train(), head, precision=training.precision)
        settings = EngineConfig(
            lr=training.learning_rate, grad_norm=training.gradient_norm, zero_stage=training.zero_stage, precision=training.precision
        )
        self.engine = Engine(module, settings, parameter_groups(module, training.weight_decay))
        self._average = AveragedWeights(self.engine.unwrapped)

    def train(self, steps: int) -> dict[str, float]:
        """`steps` optimiser steps; their mean loss and gradient norm. Collective. Raises LearningError: it diverged."""
        began, training = time.monotonic(), self.config.training
        losses: list[float] = []
        norms: list[float] = []
        for _ in range(steps):
            losses.append(self._step(norms))
        mean = float(np.mean(np.sum(gather_objects(losses), axis=0)))
        if not np.isfinite(mean):
            raise LearningError(f"the loss is {mean} after {self.version} steps: it diverged; lower calibrate.training.learning_rate")
        elapsed_s = time.monotonic() - began
        rate = learning_rate_share(self.version - 1, training) * training.learning_rate
        clips = steps * min(training.batch, len(self._clips))
        return {"loss": mean, "grad_norm": float(np.mean(norms)), "learning_rate": rate, "clips_per_s": clips / elapsed_s}

    def trained(self) -> dict[str, np.ndarray]:
        """The averaged weights of everything that learns, by their names in a `ListenerModule`. Collective."""
        return {name: tensor.numpy() for name, tensor in self._average.whole().items()}

    def save(self, folder: str | Path) -> None:
        """Parameters, optimiser, averages and step into `folder`, which the caller renames into place. Collective."""
        self.engine.save(Path(folder), version=self.version)
        self._average.save(Path(folder))

    def load(self, folder: str | Path) -> None:
        """Go on from what `save` wrote. Collective. Raises CheckpointError."""
        self.version = int(self.engine.load(Path(folder))["version"])
        self._average.load(Path(folder))

    def _step(self, norms: list[float]) -> float:
        training = self.config.training
        plan = plan_step(self._clips, self._courses, self.version, training, mels=self._clips.features.shape[1])
        loss = step_loss(
            self.engine.module,
            plan,
            self._clips,
            self._processor,
            training,
            rank=dist.get_rank(),
            ranks=dist.get_world_size(),
            device=self.engine.device,
        )
        self.engine.backward(loss)
        if plan.hearing and training.zero_stage == 0:
            # DeepSpeed fills in zeros where there was no gradient; Adam would count them, and weight decay act on them.
            for parameter in self._language.parameters():
                parameter.grad = None
        norms.append(self.engine.step(learning_rate_share(self.version, training)))
        self._average.move(average_share(self.version, training))
        self.version += 1
        return float(loss.detach())
