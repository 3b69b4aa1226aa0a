"""What every enhancer offers, so that exploration, learning and inference need not know which network it is.

Shapes: batch, samples (time domain), frames (video), bins (frequency bins or learned filters), steps (mask frames).
"""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal, TypedDict

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from auricle.config import Config
from auricle.mouth import Crop


class ClipFormat(TypedDict):
    """What an enhancer wants to be given, as arguments of `load_clip`, `check_scenes` and `ClipBank`."""

    sample_rate_hz: int
    frame_rate_hz: float
    frame_size_px: int
    crop: Crop


class Enhancer(nn.Module, ABC):
    """A mask-based audio-visual enhancer.

    Subclasses are plain torch modules built from one frozen `Config` (kept as `self.config`); everything a checkpoint holds besides
    tensors is that configuration and the class's registered name.
    """

    config: Config
    mask_kind: ClassVar[Literal["sigmoid", "relu"]] = "sigmoid"
    """The function that squashes the logits into the mask; exploration needs to know it."""
    sample_rate_hz: int
    """Rate of mixture and output, in Hz."""
    frame_rate_hz: float
    """Rate of the video frames it expects, in frames per second."""
    frame_size_px: int
    """Height and width of the frames it expects."""
    crop: ClassVar[Crop] = "mouth"
    """What of the picture it was trained to see."""
    hop_s: float
    """Seconds between two mask steps."""

    @property
    def clip_format(self) -> ClipFormat:
        """How its clips are loaded."""
        return ClipFormat(
            sample_rate_hz=self.sample_rate_hz, frame_rate_hz=self.frame_rate_hz, frame_size_px=self.frame_size_px, crop=self.crop
        )

    @abstractmethod
    def mask_logits(
        self, mix: Float[Tensor, "batch samples"], frames: UInt8[Tensor, "batch frames height width"] | None
    ) -> Float[Tensor, "batch bins steps"]:
        """The mask before its squashing function. `frames=None` means that there is no picture (audio only)."""

    @abstractmethod
    def apply_mask(self, mix: Float[Tensor, "batch samples"], logits: Float[Tensor, "batch bins steps"]) -> Float[Tensor, "batch samples"]:
        """The enhanced waveform, of the mixture's length."""

    @property
    @abstractmethod
    def bin_frequencies_hz(self) -> Float[Tensor, " bins"]:
        """The centre frequency of each mask bin (for learned filters: of the filter), on which exploration's bands are laid."""

    def forward(
        self, mix: Float[Tensor, "batch samples"], frames: UInt8[Tensor, "batch frames height width"] | None
    ) -> Float[Tensor, "batch samples"]:
        """The enhanced waveform: `apply_mask(mix, mask_logits(mix, frames))`."""
        return self.apply_mask(mix, self.mask_logits(mix, frames))

    @torch.no_grad()
    def enhance(
        self, mix: Float[Tensor, "batch samples"], frames: UInt8[Tensor, "batch frames height width"] | None
    ) -> Float[Tensor, "batch samples"]:
        """`forward` without gradients, in evaluation mode; the mode is put back afterwards."""
        training = self.training
        self.eval()
        try:
            return self(mix, frames)
        finally:
            self.train(training)
