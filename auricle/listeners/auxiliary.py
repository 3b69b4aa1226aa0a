"""A regression head beside the language model: it teaches the audio tower to hear before the decoder learns to speak."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from auricle.listeners.labels import ARTEFACTS, AUDIBLE, DIMENSIONS, Labels

SCORES = 1 + len(DIMENSIONS)
LOCAL_SHARE = 0.75
"""An artefact that covers less of the clip than this has a place in time."""


class AuxiliaryOutput(NamedTuple):
    """scores: quality, dimensions and severities on the scale of `auxiliary_targets`. local: logits of a local artefact, by token."""

    scores: Float[Tensor, "batch scores"]
    local: Float[Tensor, "batch tokens"]

    def rows(self, places: Sequence[int]) -> "AuxiliaryOutput":
        """Those of some sounds."""
        rows = torch.tensor(places, dtype=torch.long, device=self.scores.device)
        return AuxiliaryOutput(self.scores[rows], self.local[rows])


class AuxiliaryHead(nn.Module):
    """Audio tokens to scores (quality and dimensions), severities of the artefacts, and, by token, whether a local artefact is there.

    Only for training; no checkpoint of a listener has it.
    """

    def __init__(self, hidden_size: int):
        super().__init__()
        self.pooled = nn.Sequential(nn.LayerNorm(2 * hidden_size), nn.Linear(2 * hidden_size, 128), nn.GELU())
        self.scores = nn.Linear(128, SCORES + len(ARTEFACTS))
        self.local = nn.Sequential(nn.LayerNorm(hidden_size), nn.Linear(hidden_size, 1))

    def forward(self, tokens: Float[Tensor, "batch tokens hidden"]) -> AuxiliaryOutput:
        """What the head reads from audio tokens."""
        pooled = torch.cat([tokens.mean(1), tokens.amax(1)], dim=-1)
        return AuxiliaryOutput(self.scores(self.pooled(pooled)), self.local(tokens)[..., 0])


def auxiliary_loss(output: AuxiliaryOutput, labels: Sequence[Labels], clip_s: float) -> Float[Tensor, " batch"]:
    """For each clip: Huber loss of scores and severities plus cross entropy of the local mask."""
    scores, local = (part.to(output.scores.device) for part in auxiliary_targets(labels, output.local.shape[1], clip_s))
    regression = nn.functional.smooth_l1_loss(output.scores.float(), scores, beta=0.3, reduction="none").mean(1)
    # Local artefacts are rare: a hit weighs more than a miss.
    weight = scores.new_tensor(3.0)
    mask = nn.functional.binary_cross_entropy_with_logits(output.local.float(), local, pos_weight=weight, reduction="none")
    return regression + 0.3 * mask.mean(1)


def auxiliary_targets(
    labels: Sequence[Labels], tokens: int, clip_s: float
) -> tuple[Float[Tensor, "batch scores"], Float[Tensor, "batch tokens"]]:
    """Scores scaled to about -1..1 with quality counted first, then severities 0..1; and the share of each token a local artefact fills."""
    scores = np.zeros((len(labels), SCORES + len(ARTEFACTS)), dtype=np.float32)
    local = np.zeros((len(labels), tokens), dtype=np.float32)
    step_s = clip_s / tokens
    starts_s = np.arange(tokens) * step_s
    for row, label in enumerate(labels):
        scores[row, 0] = label.quality - 3.0
        scores[row, 1:SCORES] = [(label.dimensions[name] - 3.0) / 2.0 for name in DIMENSIONS]
        for damage in label.damages:
            column = SCORES + ARTEFACTS.index(damage.artefact)
            scores[row, column] = max(scores[row, column], damage.severity)
            if damage.severity < AUDIBLE or sum(end - start for start, end in damage.spans) > LOCAL_SHARE * label.duration_s:
                continue
            for start_s, end_s in damage.spans:
                overlap = np.minimum(starts_s + step_s, end_s) - np.maximum(starts_s, start_s)
                local[row] = np.maximum(local[row], np.clip(overlap / step_s, 0.0, 1.0))
    return torch.from_numpy(scores), torch.from_numpy(local)
