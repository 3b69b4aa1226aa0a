"""The official baseline of the fourth COG-MHEAR AVSE challenge (AVSEC-4), loadable from its published checkpoints.

The checkpoints are `pretrained.ckpt` (binaural) and `pretrained_mono.ckpt` of the hub's cogmhear/avse4_baseline; Auricle ships neither:

    enhancer = from_official_checkpoint("pretrained_mono.ckpt")
    save_enhancer(enhancer, "my-avsec4")

A binaural network is given the mono mixture at both ears, and its two outputs are averaged.
"""

import pickle
from pathlib import Path
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from pydantic import Field
from torch import Tensor, nn

from auricle.config import Config
from auricle.enhancers.avsec4_layers import Separator, VisualFrontend
from auricle.enhancers.checkpoint import load_tensors
from auricle.enhancers.interface import Enhancer
from auricle.errors import CheckpointError
from auricle.mouth import Crop

_FREQUENCIES = "filter_frequencies_hz"
_SPECTRUM_POINTS = 1024


class Avsec4Config(Config):
    """Sizes of the network; the defaults are the official ones. Letters are those of the Conv-TasNet paper."""

    audio_channels: Literal[1, 2] = 1
    """1: `pretrained_mono.ckpt`. 2: `pretrained.ckpt`."""
    filters: int = Field(default=256, ge=2)
    """N: learned filters of encoder and decoder."""
    filter_samples: int = Field(default=40, ge=2, multiple_of=2)
    """L: length of a filter; the hop is half of it."""
    features: int = Field(default=256, ge=1)
    """B: features between blocks."""
    hidden: int = Field(default=512, ge=1)
    """H: features inside a block."""
    kernel: int = Field(default=3, ge=1)
    """P: taps of the depthwise convolutions; odd."""
    blocks: int = Field(default=8, ge=1)
    """X: blocks a repeat, with dilations 1, 2, 4..."""
    repeats: int = Field(default=4, ge=1)
    """R: repeats, each joined by the picture."""
    visual_channels: int = Field(default=64, ge=1)
    """Channels of the first visual layer; a frame has eight times as many features."""
    batch_norm: Literal["frozen", "trained"] = "frozen"
    """`frozen`: always the stored statistics, so that rollouts and learner see one and the same policy. `trained`: as in the challenge."""


class Avsec4Baseline(Enhancer):
    """See the module's text. 16 kHz, 25 grey frames of 112 x 112 a second (in the challenge: the middle of 224 x 224), ReLU mask."""

    config: Avsec4Config
    mask_kind: ClassVar[Literal["sigmoid", "relu"]] = "relu"
    crop: ClassVar[Crop] = "centre"
    filter_frequencies_hz: Float[Tensor, " bins"]

    def __init__(self, config: Avsec4Config):
        super().__init__()
        self.config = config
        self.sample_rate_hz = 16000
        self.frame_rate_hz = 25.0
        self.frame_size_px = 112
        self.hop = config.filter_samples // 2
        self.hop_s = self.hop / self.sample_rate_hz
        self.model = _Model(config)
        self.visual_frontend = VisualFrontend(config.visual_channels)
        self.register_buffer(_FREQUENCIES, torch.zeros(config.audio_channels * config.filters))
        self.measure_filters()
        self.train()

    @property
    def bin_frequencies_hz(self) -> Float[Tensor, " bins"]:
        return self.filter_frequencies_hz

    @torch.no_grad()
    def measure_filters(self) -> None:
        """Takes each filter's centre frequency, the peak of its spectrum.

        Kept in the checkpoint and not followed while the filters are trained: exploration's bands must stay where they are during a run.
        """
        power = torch.fft.rfft(self.model.encoder.conv1d_U.weight.float(), _SPECTRUM_POINTS).abs().square()  # [filters, channels, points]
        peak = power.argmax(dim=2).T.reshape(-1)  # all filters of the first ear, then of the second: as the mask has them
        self.filter_frequencies_hz.copy_(peak * (self.sample_rate_hz / _SPECTRUM_POINTS))

    def mask_logits(
        self, mix: Float[Tensor, "batch samples"], frames: UInt8[Tensor, "batch frames height width"] | None
    ) -> Float[Tensor, "batch bins steps"]:
        if frames is None or frames.shape[1] == 0:
            # In the challenge's training, clips whose picture ends early go on in black.
            count = max(1, round(mix.shape[1] / self.sample_rate_hz * self.frame_rate_hz))
            frames = mix.new_zeros(len(mix), count, self.frame_size_px, self.frame_size_px, dtype=torch.uint8)
        seen = self.visual_frontend(frames.to(mix.dtype) / 255.0)
        return self.model.separator(self._encode(mix), seen)

    def apply_mask(self, mix: Float[Tensor, "batch samples"], logits: Float[Tensor, "batch bins steps"]) -> Float[Tensor, "batch samples"]:
        channels = self.config.audio_channels
        mask = F.relu(logits).unflatten(1, (channels, self.config.filters))
        masked = (self._encode(mix)[:, None] * mask).flatten(0, 1)
        return self.model.decoder(masked).unflatten(0, (len(mix), channels)).mean(dim=1).squeeze(1)[:, : mix.shape[1]]

    def train(self, mode: bool = True) -> "Avsec4Baseline":
        super().train(mode)
        if self.config.batch_norm == "frozen":
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def _encode(self, mix: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch filters steps"]:
        length = self.config.filter_samples
        whole = max(length, mix.shape[1] + (length - mix.shape[1]) % self.hop)
        padded = F.pad(mix, (0, whole - mix.shape[1]))
        return self.model.encoder(padded[:, None].expand(-1, self.config.audio_channels, -1))


class _Model(nn.Module):
    """Encoder, separator and decoder, under the names of the official checkpoints."""

    def __init__(self, config: Avsec4Config):
        super().__init__()
        self.encoder = _Encoder(config)
        self.separator = Separator(
            filters=config.filters,
            features=config.features,
            hidden=config.hidden,
            kernel=config.kernel,
            blocks=config.blocks,
            repeats=config.repeats,
            visual=8 * config.visual_channels,
            audio_channels=config.audio_channels,
        )
        self.decoder = _Decoder(config)
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Linear):
                nn.init.xavier_normal_(module.weight)


class _Encoder(nn.Module):
    def __init__(self, config: Avsec4Config):
        super().__init__()
        length = config.filter_samples
        self.conv1d_U = nn.Conv1d(config.audio_channels, config.filters, length, stride=length // 2, bias=False)

    def forward(self, audio: Float[Tensor, "batch channels samples"]) -> Float[Tensor, "batch filters steps"]:
        return F.relu(self.conv1d_U(audio))


class _Decoder(nn.Module):
    def __init__(self, config: Avsec4Config):
        super().__init__()
        self.basis_signals = nn.Linear(config.filters, config.filter_samples, bias=False)

    def forward(self, masked: Float[Tensor, "signals filters steps"]) -> Float[Tensor, "signals 1 samples"]:
        # Frames overlap by half and are added: a transposed convolution with the basis signals.
        basis = self.basis_signals.weight.T[:, None]
        return F.conv_transpose1d(masked, basis, stride=basis.shape[2] // 2)


def from_official_checkpoint(path: Path | str) -> Avsec4Baseline:
    """The baseline with the weights of a PyTorch Lightning checkpoint of the challenge; mono or binaural is read off its tensors.

    Only tensors and plain values are unpickled (weights_only). Raises CheckpointError.
    """
    path = Path(path)
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(
            f"{path}: no such file; the official checkpoints are on the Hugging Face hub as cogmhear/avse4_baseline"
        ) from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(
            f"{path}: not a checkpoint that can be read safely ({reason}); is it complete, or a git-lfs pointer?"
        ) from error
    tensors = stored.get("state_dict", stored) if isinstance(stored, dict) else {}
    tensors = {_plain_name(name): value for name, value in tensors.items() if isinstance(value, Tensor)}
    encoder = tensors.get("model.encoder.conv1d_U.weight")
    if encoder is None or encoder.dim() != 3 or encoder.shape[1] not in (1, 2):
        raise CheckpointError(f"{path}: has no 'model.encoder.conv1d_U.weight' of one or two channels; is this an AVSEC-4 baseline?")
    enhancer = Avsec4Baseline(Avsec4Config(audio_channels=encoder.shape[1]))
    load_tensors(enhancer, {**tensors, _FREQUENCIES: enhancer.filter_frequencies_hz}, source=str(path))
    enhancer.measure_filters()
    return enhancer.eval()


def _plain_name(name: str) -> str:
    """Without what DistributedDataParallel and torch.compile put into names."""
    return ".".join(part for part in name.split(".") if part not in ("module", "_orig_mod"))
