"""The anchor: what calibration taught goes on being taught while GRPO learns, on the same clips, so that nothing unasked is unlearned.

GRPO sees only what its questions reward; the score drifts although no answer about it was worse (docs/log.md). The KL divergence holds back
everything alike; true answers hold what they are about.
"""

import json
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from auricle.listeners.dataset import labels_from_dict
from auricle.listeners.lessons import make_lessons
from auricle.listeners.processing import AuricleListenerProcessor
from auricle.listeners.turns import Turns, tokenise

_DRAWS = 11  # the stream of random numbers of the anchor's questions


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
