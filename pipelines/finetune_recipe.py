"""The enhancer's recipe: scenes are cleaned by the policy and judged by the panel."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from actors.learner import PolicyLearner
from actors.stream import Stage, StreamPlan, enhancement_stages
from auricle.enhancers.checkpoint import load_enhancer
from auricle.errors import ConfigError
from auricle.judging.panel import JudgeConfig, part_names, part_weights
from auricle.judging.registry import find_judge
from auricle.learning.schedule import RolloutSchedule
from pipelines.finetune_scenes import FinetuneScenes
from pipelines.recipe import Recipe
from pipelines.settings import Settings

LEARNED = ("rollout_id", "step", "scene_id", "mix", "frames", "action", "action_mean", "reference_mean", "parts")
"""Columns that every update reads."""


def enhancer_recipe(settings: Settings, scenes: FinetuneScenes, enhancer_folder: str, panel_app: str) -> Recipe:
    """The main job's. Raises ConfigError where the scenes cannot give what the learner wants."""
    size, learner = settings.finetune, settings.learner
    if learner.anchor_gamma > 0 and all(scene.target is None for scene in scenes.train):
        raise ConfigError(
            "learner.anchor_gamma is above 0, but no training scene has a clean target: set it to 0 for unlabelled clips, or name a "
            "labelled corpus beside them (--set scenes.labelled=PATH)"
        )
    advantages = learner.resolved_advantages()
    if advantages.disagreement_penalty > 0 and advantages.baseline == "group" and size.samples_per_scene < 3:
        raise ConfigError(
            f"learner.advantages.disagreement_penalty = {advantages.disagreement_penalty:g} does nothing to {size.samples_per_scene} "
            "samples of a scene, which lie equally far from their mean: raise finetune.samples_per_scene to 3, or set the penalty to 0"
        )
    comparing = [judge for judge in settings.panel.judges if _compares(judge)]
    voting = [judge.name for judge in comparing if any(judge.weights.values())]
    if voting and any(scene.target is None for scene in [*scenes.train, *scenes.dev]):
        raise ConfigError(
            f"panel.judges: {', '.join(voting)} need clean targets, which some training or held-out scenes lack: every rollout of theirs "
            "would be dropped; take the vote (weights = {}), or use labelled scenes alone"
        )
    by_reference = advantages.baseline == "reference"

    def stages(plan: StreamPlan, store: Any, coordinator: Any) -> Sequence[Stage]:
        return enhancement_stages(
            plan,
            scenes=scenes.train,
            enhancer_folder=enhancer_folder,
            exploration=settings.exploration,
            rollout=settings.rollout,
            reward=settings.reward,
            panel=settings.panel,
            panel_app=panel_app,
            staleness=settings.staleness,
            store=store,
            coordinator=coordinator,
            with_target=learner.anchor_gamma > 0 or bool(comparing),
            with_reference=by_reference or any(judge.relative for judge in settings.panel.judges),
            precision=learner.precision,
        )

    columns = [*LEARNED, *(["target"] if learner.anchor_gamma > 0 else []), *(["reference_parts"] if by_reference else [])]
    if learner.advantages.credit_weight > 0:
        columns.append("credit")
    return Recipe(
        schedule=RolloutSchedule(settings.run.seed, len(scenes.train), size.scenes_per_step, size.samples_per_scene),
        size=size,
        checkpoint_every=settings.guard.every,
        learner=partial(
            PolicyLearner, learner, enhancer_folder, settings.exploration, part_weights(settings.panel), seed=settings.run.seed
        ),
        first_weights=partial(_pretrained_weights, enhancer_folder),
        stages=stages,
        columns=tuple(columns),
        part_names=part_names(settings.panel),
        panel_app=panel_app,
        quarantine_after=settings.quarantine.after,
    )


def _compares(judge: JudgeConfig) -> bool:
    return find_judge(judge.kind_or_name).needs_reference or bool(judge.options.get("double_ended"))


def _pretrained_weights(enhancer_folder: str) -> dict[str, np.ndarray]:
    return {name: value.float().numpy() for name, value in load_enhancer(enhancer_folder).state_dict().items()}
