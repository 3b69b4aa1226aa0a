"""The supervised learner: an enhancer taught by clean targets, on the same engine and in the same ranks as the policy's.

    train(n): n times [this rank's share of a batch of remixed clips -> forward -> loss -> backward -> step]; version counts the steps

Invariants
- A step's batch is a function of (seed, step): any number of ranks takes the same steps, up to rounding.
- A learner that was saved and loaded goes on with the batch that is due.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from actors.engine import Engine, autocast, gather_objects, join_alone
from auricle.enhancers.interface import Enhancer
from auricle.errors import LearningError
from auricle.learning.pretraining import PretrainConfig, lr_scale, new_enhancer
from auricle.learning.remix import ClipBank, Example
from auricle.learning.schedule import RolloutSchedule, derive_seed
from auricle.learning.supervised import enhancement_loss
from auricle.scenes.scene import Scene

_PREFIX = "enhancer."


class SupervisedLearner:
    """One rank of supervised training; with no group joined, a learner of its own in this process."""

    def __init__(
        self, config: PretrainConfig, scenes: Sequence[Scene], *, seed: int, weights: Mapping[str, np.ndarray] | None = None
    ) -> None:
        """weights: where to start from; by default fresh ones, drawn from the seed."""
        join_alone()
        self.config, self.version = config, 0
        torch.manual_seed(derive_seed(seed, 5))
        self._enhancer = new_enhancer(config)
        if weights is not None:
            self._enhancer.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
        self._bank = ClipBank(
            scenes,
            config.remix,
            **self._enhancer.clip_format,
            with_video=config.use_video,
        )
        self._schedule = RolloutSchedule(seed, len(scenes), config.batch_clips, 1)
        self.engine = Engine(_Trainee(self._enhancer, config.engine.precision), config.engine)

    def train(self, steps: int, total_steps: int) -> dict[str, float]:
        """`steps` of `total_steps` optimiser steps; their mean loss and gradient norm. Collective. Raises LearningError: it diverged."""
        began, losses, norms = time.monotonic(), [], []
        for _ in range(steps):
            loss = self._loss(self._examples(self.version))
            self.engine.backward(loss)
            norms.append(self.engine.step(lr_scale(self.version, total_steps, self.config.last_lr_share)))
            losses.append(float(loss.detach()))
            self.version += 1
        mean = float(np.mean(np.sum(gather_objects(losses), axis=0)))
        if not np.isfinite(mean):
            raise LearningError(f"the loss is {mean} after {self.version} steps: the training diverged; lower pretrain.engine.lr")
        elapsed_s = time.monotonic() - began
        return {"loss": mean, "grad_norm": float(np.mean(norms)), "clips_per_s": steps * self.config.batch_clips / elapsed_s}

    def weights(self) -> dict[str, np.ndarray]:
        """The enhancer's weights, whole, as fp32 arrays. Collective."""
        return {name.removeprefix(_PREFIX): value for name, value in self.engine.weights().items()}

    def save(self, folder: str | Path) -> None:
        """Parameters, optimiser and step into `folder`, which the caller renames into place. Collective."""
        self.engine.save(Path(folder), version=self.version)

    def load(self, folder: str | Path) -> None:
        """Go on from what `save` wrote. Collective. Raises CheckpointError."""
        self.version = int(self.engine.load(Path(folder))["version"])

    def _examples(self, step: int) -> list[Example]:
        """This rank's share of a step's examples."""
        ids, ranks, rank = self._schedule.ids(step), dist.get_world_size(), dist.get_rank()
        own = ids[rank * len(ids) // ranks : (rank + 1) * len(ids) // ranks]
        rollouts = [self._schedule.rollout(rollout_id) for rollout_id in own]
        return [self._bank.example(rollout.scene_index, rollout.noise_seed) for rollout in rollouts]

    def _loss(self, examples: Sequence[Example]) -> Tensor:
        mix, target = (self._batch([getattr(example, name) for example in examples]) for name in ("mix", "target"))
        pictures = [example.frames for example in examples if example.frames is not None]
        enhanced = self.engine.module(mix, self._batch(pictures) if pictures else None)
        return enhancement_loss(enhanced, target, self.config.loss).sum() / self.config.batch_clips

    def _batch(self, arrays: Sequence[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.stack(arrays)).to(self.engine.device)


class _Trainee(nn.Module):
    """The enhancer as the engine calls it."""

    def __init__(self, enhancer: Enhancer, precision: str) -> None:
        super().__init__()
        self.enhancer, self._precision = enhancer, precision

    def forward(self, mix: Tensor, frames: Tensor | None) -> Tensor:
        with autocast(mix.device, self._precision):
            logits = self.enhancer.mask_logits(mix, frames)
        return self.enhancer.apply_mask(mix, logits.float())
