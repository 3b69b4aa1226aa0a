"""How a learner learns, and on how many ranks: what `actors` builds with DeepSpeed, RLlib and Ray."""

from typing import Literal

from pydantic import Field

from auricle.config import Config
from auricle.learning.advantages import AdvantageConfig
from auricle.learning.supervised import SupervisedLossConfig


class EngineConfig(Config):
    """One optimiser over one or more ranks."""

    zero_stage: Literal[0, 1, 2, 3] = 0
    """What DeepSpeed spreads over the ranks: 0 nothing, 1 optimiser state, 2 gradients too, 3 parameters too."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Arithmetic of the network's layers. bf16 is torch's autocast: parameters, spectra and losses stay fp32."""
    lr: float = Field(default=1e-4, gt=0)
    """Learning rate of AdamW."""
    warmup_steps: int = Field(default=0, ge=0)
    """Optimiser steps over which the learning rate rises to `lr`."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay of AdamW."""
    grad_norm: float = Field(default=1.0, ge=0)
    """Largest norm of a gradient over all parameters; 0: no limit."""


class LearnerConfig(EngineConfig):
    """The policy's learner."""

    algorithm: Literal["ppo", "grpo"] = "ppo"
    """ppo: advantages as `advantages` says. grpo: each scene's samples against their own mean and spread."""
    clip: float = Field(default=0.2, gt=0, lt=1)
    """Clip range of the probability ratio, per knot in time."""
    epochs: int = Field(default=2, ge=1)
    """Passes over the rows of a step."""
    minibatch_scenes: int = Field(default=0, ge=0)
    """Scenes (with all their samples, over all ranks) per optimiser step; 0: all of a step's."""
    kl_beta: float = Field(default=1e-3, ge=0)
    """Weight of the KL divergence to the frozen pretrained policy."""
    anchor_gamma: float = Field(default=0.0, ge=0)
    """Weight of the supervised loss on the same scenes; above 0 the scenes need clean targets."""
    value_weight: float = Field(default=0.5, ge=0)
    """Weight of the critic's loss (baseline `critic` only)."""
    advantages: AdvantageConfig = AdvantageConfig()
    """Baseline, scale and credit in time."""
    anchor: SupervisedLossConfig = SupervisedLossConfig()
    """The supervised loss behind `anchor_gamma`."""

    def resolved_advantages(self) -> AdvantageConfig:
        """The advantages' configuration, after `algorithm` had its say."""
        if self.algorithm == "grpo":
            return self.advantages.model_copy(update={"baseline": "group", "scale": "group"})
        return self.advantages


class LearnerPoolConfig(Config):
    """How many learner ranks there are, and how long they may take."""

    ranks: int = Field(default=1, ge=1)
    """Learner ranks; the rows of a step are shared among them."""
    num_cpus: float = Field(default=0.5, ge=0)
    """Logical CPUs of each rank."""
    num_gpus: float = Field(default=0.0, ge=0)
    """GPUs of each rank."""
    resources: dict[str, float] = {}
    """Further Ray resources of each rank, such as {"learner": 1} to pin the pool to a kind of node."""
    start_timeout_s: float = Field(default=600.0, gt=0)
    """Longest time for all ranks to start, join one another and build the learner, in seconds."""
    call_timeout_s: float = Field(default=600.0, gt=0)
    """Longest time for one call of all ranks, and for one rank to wait for another, in seconds."""
    max_rebuilds: int = Field(default=3, ge=0)
    """How often `rebuild` may be asked for."""
