"""The anchor: what calibration taught goes on being taught while GRPO learns, so that nothing unasked is unlearned.

GRPO sees only what its questions reward; the score drifts although no answer about it was worse (docs/log.md). The KL divergence holds back
everything alike; true answers hold what they are about. They are about the clips of the step, or about more clips, drawn as calibration
draws its own (`Anchor`).
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from auricle.listeners.calibration import CalibrateConfig, TrainingConfig
from auricle.listeners.courses import courses_of
from auricle.listeners.dataset import labels_from_dict
from auricle.listeners.lessons import make_lessons
from auricle.listeners.processing import AuricleListenerProcessor
from auricle.listeners.training import Clips, Forward, plan_step, step_loss
from auricle.listeners.turns import Turns, tokenise
from auricle.reasoning.config import AnswerLearnerConfig

_DRAWS = 11  # the stream of random numbers of the anchor's questions


class Anchor:
    """Calibration's steps beside the policy's, on clips of its own. A step is a function of (seed, step), on any number of ranks."""

    def __init__(self, clips: Clips, config: AnswerLearnerConfig, seed: int, steps: int) -> None:
        self._clips = clips
        training = TrainingConfig(steps=steps, batch=config.anchor_clips, hearing_share=0.0, auxiliary_weight=0.0, seed=seed)
        self._courses = courses_of(CalibrateConfig(courses=config.anchor_courses, training=training))
        self._training = training

    def loss(self, forward: Forward, processor: AuricleListenerProcessor, step: int, **place: Any) -> Float[Tensor, ""]:
        """This rank's share of the loss of a step. place: rank, ranks and device, as `training.step_loss` takes them."""
        plan = plan_step(self._clips, self._courses, step, self._training, mels=self._clips.features.shape[1])
        return step_loss(forward, plan, self._clips, processor, self._training, **place)


def anchor_turns(labels: Sequence[str], processor: AuricleListenerProcessor, seed: int) -> tuple[list[Turns], list[float]]:
    """True answers to a long and a short question about each clip, and the weight of each batch; labels: as JSON, one a clip.

    Scores are taught as exact expectations, as in calibration (`auricle.listeners.turns`). Without labels nothing is taught.
    """
    if not labels:
        return [], []
    lessons = make_lessons([labels_from_dict(json.loads(one)) for one in labels], np.random.default_rng([_DRAWS, seed]), pairs=0)
    return [tokenise(lesson.exchanges, processor) for lesson in lessons], [lesson.weight for lesson in lessons]


def anchor_loss(
    turns: Sequence[Turns],
    weights: Sequence[float],
    ones: Sequence[Float[Tensor, " answer_tokens"]],
    others: Sequence[Float[Tensor, " answer_tokens"]],
) -> Float[Tensor, ""]:
    """Calibration's cross entropy: the mean over each batch's answer tokens. ones, others: as `ListenerModule` gives them."""
    losses = []
    for batch, weight, one, other in zip(turns, weights, ones, others, strict=True):
        shares = batch.shares.to(one.device)[:, 1:][batch.answered.to(one.device)]
        losses.append(-weight * torch.lerp(one, other, shares).mean())
    return torch.stack(losses).sum()
