"""The listener's recipe: questions about labelled clips are answered by the policy, and the answers rewarded from the labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from actors.answer_learner import AnchorClips, AnswerLearner
from actors.answer_rewards import AnswerRewardStage
from actors.answers import AnswerStage
from actors.stream import Stage, StreamPlan, first_block_of
from auricle.learning.schedule import RolloutSchedule
from auricle.listeners.checkpoint import load_listener
from auricle.listeners.dataset import prepare_folder, read_sets
from auricle.reasoning.config import PARTS
from auricle.reasoning.rows import COLUMNS
from auricle.reasoning.tasks import name_weight, split_clips
from pipelines.recipe import Recipe
from pipelines.settings import Settings


@dataclass(frozen=True)
class ReasonClips:
    """Prepared clips: folders, and rows of them: which are asked about, which the anchor may teach (the same, as they come), and which are
    measured on. name_weight: `tasks.name_weight`."""

    sets: tuple[Path, ...]
    train: tuple[int, ...]
    lessons: tuple[int, ...]
    dev: tuple[int, ...]
    name_weight: float


def find_clips(settings: Settings) -> ReasonClips:
    """The clips that the settings name, or calibration's own (made where they are missing)."""
    reason, calibrate = settings.reason, settings.calibrate
    sets = reason.clips or (prepare_folder(calibrate.data, "train", calibrate.cache, processes=calibrate.processes, progress=_told),)
    sets = tuple(Path(folder).absolute() for folder in sets)
    labels = read_sets(sets).labels
    train, dev = split_clips(labels, reason.questions, settings.run.seed)
    weight = name_weight(labels, train.tolist(), reason.questions.dev_clips) if reason.questions.local_share is not None else 1.0
    return ReasonClips(sets, tuple(train.tolist()), tuple(range(len(labels) - len(dev))), tuple(dev.tolist()), weight)


def _told(done: int, total: int) -> None:
    """Every tenth of the clips, in a line."""
    if done % max(1, total // 10) == 0 or done == total:
        print(f"clips to reason about, made once: {done} of {total}", flush=True)


def listener_recipe(settings: Settings, clips: ReasonClips, listener_folder: str) -> Recipe:
    """What a phase of `auricle reason` is made of."""
    reason = settings.reason
    schedule = RolloutSchedule(settings.run.seed, len(clips.train), reason.clips_per_step, reason.answers_per_clip)
    pool = reason.answers

    def stages(plan: StreamPlan, store: Any, coordinator: Any) -> Sequence[Stage]:
        answers = Stage(
            AnswerStage,
            (pool, reason.questions, schedule, clips.sets, clips.train, listener_folder, store),
            {**first_block_of(plan), "staleness": settings.staleness},
            actors=pool.actors,
            num_cpus=pool.num_cpus,
            num_gpus=pool.num_gpus,
            resources=pool.resources,
            gated=True,
        )
        return [answers, Stage(AnswerRewardStage, (reason.rewards,))]

    return Recipe(
        schedule=schedule,
        size=reason,
        checkpoint_every=reason.limits.every,
        learner=partial(
            AnswerLearner,
            reason,
            listener_folder,
            steps=reason.steps,
            lessons=AnchorClips(clips.sets, clips.lessons, settings.run.seed, clips.name_weight),
        ),
        first_weights=partial(_calibrated_weights, listener_folder),
        stages=stages,
        columns=COLUMNS,
        part_names=PARTS,
    )


def _calibrated_weights(listener_folder: str) -> dict[str, np.ndarray]:
    return {name: value.float().numpy() for name, value in load_listener(listener_folder).model.state_dict().items()}
