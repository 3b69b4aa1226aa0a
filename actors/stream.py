"""The stream: one Ray Data Dataset a phase links the pools.

    range(blocks) --> RolloutStage (actor pool, gated) --> RewardStage (async clients of the panel) --> streaming_split --> learner ranks
                      AnswerStage (vLLM, gated)        --> AnswerRewardStage (against the labels)

Invariants:
- Order is kept, so that a rank's n-th block belongs to the step that it expects; a block is a rank's share of a step, or a fraction.
- Ray Data executes a block at least once; a block is a pure function of its index and of the version the gate grants.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.data import ActorPoolStrategy, DataIterator

from actors.gate import CALLS_AT_ONCE, CALLS_QUEUED
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
            f"scenes_per_step = {schedule.scenes_per_step} cannot be divided into {blocks} blocks "
            f"({ranks} learner ranks x {blocks_per_rank} blocks a rank); make it a multiple of {blocks}"
        )
    furthest = first_step + MOST_BLOCKS // blocks
    return StreamPlan(schedule, first_step, min(end_step, furthest), ranks, schedule.scenes_per_step // blocks)


@dataclass(frozen=True)
class Stage:
    """One pool of the stream: `kind` is a `map_batches` callable, built in each actor from `arguments` and `keywords`.

    The first stage of a stream takes block indices, one at a time; the others the rows of a block. calls_at_once: blocks that one actor
    works on at a time, for stages whose call is asynchronous; 0 where it is not. gated: calls wait at the gate (`actors.gate`), in threads.
    """

    kind: Callable[..., Any]
    arguments: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)
    actors: int = 1
    num_cpus: float = 0.1
    num_gpus: float = 0.0
    resources: Mapping[str, float] = field(default_factory=dict)
    calls_at_once: int = 0
    gated: bool = False

    def pool(self) -> ActorPoolStrategy:
        """Its actors, and how many calls each has at a time."""
        if self.gated:
            return ActorPoolStrategy(
                size=self.actors,
                max_tasks_in_flight_per_actor=CALLS_QUEUED,
                max_concurrent_calls_per_actor=CALLS_AT_ONCE,
                enable_true_multi_threading=True,
            )
        at_once = self.calls_at_once or None
        return ActorPoolStrategy(size=self.actors, max_tasks_in_flight_per_actor=at_once, max_concurrent_calls_per_actor=at_once)


def first_block_of(plan: StreamPlan) -> dict[str, int]:
    """What a first stage has to know to turn the index of a block into rollout ids."""
    return {"first_block": plan.first_step * plan.blocks_per_step, "rows_per_block": plan.rows_per_block}


def start_stages(plan: StreamPlan, stages: Sequence[Stage]) -> list[DataIterator]:
    """Start the pools; returns one iterator a learner rank. The pools stop when the iterators are dropped."""
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    blocks = (plan.end_step - plan.first_step) * plan.blocks_per_step
    dataset = ray.data.range(blocks, override_num_blocks=blocks)
    for place, stage in enumerate(stages):
        dataset = dataset.map_batches(
            stage.kind,
            fn_constructor_args=stage.arguments,
            fn_constructor_kwargs=dict(stage.keywords),
            batch_size=None if place else 1,
            compute=stage.pool(),
            num_cpus=stage.num_cpus,
            **({"num_gpus": stage.num_gpus} if stage.num_gpus else {}),
            **({"resources": dict(stage.resources)} if stage.resources else {}),
        )
    return dataset.streaming_split(plan.ranks, equal=True)


def enhancement_stages(
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
    coordinator: Any,
    with_target: bool,
    with_reference: bool,
    precision: str = "fp32",
) -> list[Stage]:
    """The enhancer's pools: rollouts, and the panel's clients.

    precision: the learner's, so that rollouts and updates see one policy.
    """
    rollouts = Stage(
        RolloutStage,
        (rollout, plan.schedule, list(scenes), enhancer_folder, exploration, store, coordinator),
        {
            **first_block_of(plan),
            "staleness": staleness,
            "with_target": with_target,
            "with_reference": with_reference,
            "precision": precision,
        },
        actors=rollout.actors,
        num_cpus=rollout.num_cpus,
        num_gpus=rollout.num_gpus,
        resources=rollout.resources,
        gated=True,
    )
    rewards = Stage(
        RewardStage,
        (reward, panel, panel_app),
        {"exact": staleness.exact_staleness},
        actors=reward.clients,
        num_cpus=reward.num_cpus,
        calls_at_once=reward.blocks_in_flight,
    )
    return [rollouts, rewards]
