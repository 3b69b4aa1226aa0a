"""Supervised training: its configuration, its learning rate, and when it stops."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from auricle.config import Config
from auricle.enhancers.checkpoint import load_enhancer
from auricle.enhancers.interface import Enhancer
from auricle.enhancers.registry import build_enhancer, config_class_of, find_class
from auricle.learning.config import EngineConfig
from auricle.learning.remix import RemixConfig
from auricle.learning.supervised import SupervisedLossConfig


class SupervisedEngineConfig(EngineConfig):
    """The supervised learner's optimiser."""

    lr: float = Field(default=2e-3, gt=0)
    """Learning rate of AdamW: labels bear a much larger one than rewards."""


class PretrainConfig(Config):
    """The supervised baseline."""

    enhancer: str = "tf_fusion"
    """Registered name of the network, or `package.module:Class`."""
    options: dict[str, Any] = {}
    """The network's own configuration."""
    start: Path | None = None
    """Checkpoint folder to go on from instead of fresh weights; its network is used, whatever `enhancer` and `options` say."""
    use_video: bool = True
    """False: the pictures are never shown; for the audio-only ablation."""
    steps: int = Field(default=5000, ge=1)
    """Optimiser steps at most; the learning rate falls to its last share over them."""
    batch_clips: int = Field(default=8, ge=1)
    """Clips in a step, over all ranks."""
    engine: SupervisedEngineConfig = SupervisedEngineConfig()
    """Optimiser and ranks' sharing."""
    last_lr_share: float = Field(default=0.05, ge=0, le=1)
    """Share of the learning rate that is left at the end of a cosine."""
    remix: RemixConfig = RemixConfig()
    """How examples are made."""
    loss: SupervisedLossConfig = SupervisedLossConfig()
    """What they are judged by."""
    validate_every: int = Field(default=250, ge=1)
    """Steps between two validations; a checkpoint is written at each."""
    validation_scenes: int = Field(default=32, ge=1)
    """Dev scenes that are enhanced and scored each time."""
    patience: int = Field(default=8, ge=1)
    """Validations without a new best after which the training stops."""


def new_enhancer(config: PretrainConfig) -> Enhancer:
    """The network to be trained: that of `start`, or a fresh one.

    Without video a network that can be built without its visual part is: one that never saw a picture must not be shown one later.
    """
    if config.start is not None:
        return load_enhancer(config.start)
    options = dict(config.options)
    if not config.use_video and "use_video" in config_class_of(find_class(config.enhancer)).model_fields:
        options["use_video"] = False
    return build_enhancer(config.enhancer, options)


def lr_scale(step: int, total_steps: int, last_share: float) -> float:
    """The learning rate of `step` relative to the configured one: a cosine from 1 to `last_share`."""
    done = min(1.0, step / total_steps)
    return last_share + (1.0 - last_share) * 0.5 * (1.0 + math.cos(math.pi * done))


def validation_score(scores: dict[str, float]) -> float:
    """One number to choose checkpoints by: PESQ + 5 STOI + SI-SDR / 10, about equal shares of what training gains in each."""
    return scores["pesq"] + 5.0 * scores["stoi"] + scores["si_sdr"] / 10.0


@dataclass
class EarlyStopping:
    """Keeps the best validation, and says when to stop. A plain record: `vars` of it is what a checkpoint holds."""

    patience: int
    best_step: int = -1
    best_score: float = -math.inf
    waited: int = 0

    def add(self, step: int, score: float) -> bool:
        """Take the next validation; True where it is the best so far."""
        if score > self.best_score:
            self.best_step, self.best_score, self.waited = step, score, 0
            return True
        self.waited += 1
        return False

    @property
    def exhausted(self) -> bool:
        """Whether the last `patience` validations were no better."""
        return self.waited >= self.patience
