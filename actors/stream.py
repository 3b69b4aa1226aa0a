"""The stream: one Ray Data Dataset a phase links the pools.

    range(blocks) --> RolloutStage (actor pool, gated) --> RewardStage (async clients of the panel) --> streaming_split --> learner ranks

Invariants:
- Order is kept, so that a rank's n-th block belongs to the step that it expects; a block is a rank's share of a step, or a fraction.
- Ray Data executes a block at least once; a block is a pure function of its index and of the version the gate grants.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.data import ActorPoolStrategy, DataIterator

from actors.reward_client import RewardStage
from actors.rollout import RolloutStage
from actors.settings import RewardConfig, RolloutConfig
from auricle.enhancers.exploration import ExplorationConfig
from auricle.errors import ConfigError
from auricle.judging.panel import PanelConfig
from auricle.learning.schedule import RolloutSchedule
from auricle.learning.staleness import StalenessConfig
from auricle.scenes.scene import Scene

MOST_BLOCKS = 4000
"""Blocks of one Dataset: beyond about 5,000 its start takes minutes (docs/log.md). Longer runs are several phases."""


@dataclass(frozen=True)
class StreamPlan:
    """What flows: steps [first_step, end_step) of a schedule, to `ranks` learner ranks, in blocks of `scenes_per_block` scenes."""

    schedule: RolloutSchedule
    first_step: int
    end_step: int
    ranks: int
    scenes_per_block: int

    @property
    def rows_per_block(self) -> int:
        """Rollouts in a block."""
        return self.scenes_per_block * self.schedule.samples_per_scene

    @property
    def blocks_per_step(self) -> int:
        """Blocks of all ranks in a step."""
        return self.schedule.scenes_per_step // self.scenes_per_block

    @property
    def rows_per_rank(self) -> int:
        """Rollouts of one rank in a step."""
        return self.schedule.global_batch // self.ranks


def plan_stream(schedule: RolloutSchedule, first_step: int, end_step: int, ranks: int, blocks_per_rank: int) -> StreamPlan:
    """A plan whose end_step is as far as one Dataset goes. Raises ConfigError where a step cannot be divided among ranks and blocks."""
    blocks = ranks * blocks_per_rank
    if schedule.scenes_per_step % blocks:
        raise ConfigError(
            f"finetune.scenes_per_step = {schedule.scenes_per_step} cannot be divided into {blocks} blocks "
            f"({ranks} learner ranks x {blocks_per_rank} blocks a rank); make it a multiple of {blocks}"
        )
    furthest = first_step + MOST_BLOCKS // blocks
    return StreamPlan(schedule, first_step, min(end_step, furthest), ranks, schedule.scenes_per_step // blocks)


def start_stream(
    plan: StreamPlan,
    *,
    scenes: Sequence[Scene],
    enhancer_folder: str,
    exploration: ExplorationConfig,
    rollout: RolloutConfig,
    reward: RewardConfig,
    panel: PanelConfig,
    panel_app: str,
    staleness: StalenessConfig,
    store: Any,
    with_target: bool,
    with_reference: bool,
) -> list[DataIterator]:
    """Start the pools; returns one iterator a learner rank. The pools stop when the iterators are dropped."""
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    blocks = (plan.end_step - plan.first_step) * plan.blocks_per_step
    dataset = ray.data.range(blocks, override_num_blocks=blocks)
    dataset = dataset.map_batches(
        RolloutStage,
        fn_constructor_args=(rollout, plan.schedule, list(scenes), enhancer_folder, exploration, store),
        fn_constructor_kwargs={
            "first_block": plan.first_step * plan.blocks_per_step,
            "rows_per_block": plan.rows_per_block,
            "staleness": staleness,
            "with_target": with_target,
            "with_reference": with_reference,
        },
        batch_size=1,
        compute=ActorPoolStrategy(size=rollout.actors),
        num_cpus=rollout.num_cpus,
        num_gpus=rollout.num_gpus,
        resources=rollout.resources,
    )
    dataset = dataset.map_batches(
        RewardStage,
        fn_constructor_args=(reward, panel, panel_app),
        batch_size=None,
        compute=ActorPoolStrategy(
            size=reward.clients,
            max_tasks_in_flight_per_actor=reward.blocks_in_flight,
            max_concurrent_calls_per_actor=reward.blocks_in_flight,
        ),
        num_cpus=reward.num_cpus,
    )
    return dataset.streaming_split(plan.ranks, equal=True)
