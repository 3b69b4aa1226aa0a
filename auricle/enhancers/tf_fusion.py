"""A small audio-visual mask network in the time-frequency domain: the enhancer of the `tiny` preset.

    mixture --STFT--> log spectrum --convolutions over frequency--> audio features --+
                                                                                     +--> GRU, both ways --> mask logits
    mouth crops --convolutions over time and picture--> at the mask's rate ----------+

It is blind to the mixture's level (its spectrum is divided by the clip's own), and not causal. A frame that is black throughout counts as
missing; so do all frames of `frames=None`. Missing frames are replaced by a learned embedding, for which the training must leave some out.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Complex64, Float, UInt8
from pydantic import Field
from torch import Tensor, nn

from auricle.config import Config
from auricle.enhancers.interface import Enhancer
from auricle.errors import ConfigError
from auricle.spectrum import istft, stft

_FLOOR = 1e-3  # relative to the clip's own level: 60 dB below it nothing is heard


class TFFusionConfig(Config):
    """Sizes of the network. The defaults were chosen for what they learn in a few minutes on one core (docs/log.md)."""

    sample_rate_hz: int = 16000
    """Rate of mixture and output, in Hz."""
    window_samples: int = Field(default=512, ge=64)
    """Length of the STFT's window."""
    hop_samples: int = Field(default=256, ge=16)
    """Samples between two mask steps."""
    use_video: bool = True
    """False: no picture is looked at; the audio-only network of the ablation."""
    frame_rate_hz: float = Field(default=25.0, gt=0)
    """Rate of the mouth crops, in frames per second."""
    frame_size_px: int = Field(default=32, ge=16)
    """Height and width of the mouth crops."""
    channels: int = Field(default=8, ge=1)
    """Channels of the convolutions over the spectrum."""
    width: int = Field(default=96, ge=8)
    """Audio features a step, and units of the recurrent layers, each way."""
    video_width: int = Field(default=32, ge=4)
    """Video features a step."""
    layers: int = Field(default=2, ge=1)
    """Recurrent layers."""


class TFFusion(Enhancer):
    """See the module's text. Mask: a sigmoid per STFT bin and step; the mixture's phase is kept."""

    config: TFFusionConfig

    def __init__(self, config: TFFusionConfig):
        super().__init__()
        if config.window_samples % config.hop_samples or config.window_samples < 2 * config.hop_samples:
            raise ConfigError(
                f"tf_fusion: window_samples = {config.window_samples} must be a multiple of "
                f"hop_samples = {config.hop_samples}, and at least twice as long"
            )
        self.config = config
        self.sample_rate_hz = config.sample_rate_hz
        self.frame_rate_hz = config.frame_rate_hz
        self.frame_size_px = config.frame_size_px
        self.hop_s = config.hop_samples / config.sample_rate_hz

        bins = config.window_samples // 2 + 1
        self.audio = _AudioFrontEnd(bins, config.channels, config.width)
        self.video = _VideoFrontEnd(config.frame_size_px, config.video_width) if config.use_video else None
        fused = config.width + (config.video_width if config.use_video else 0)
        self.core = nn.GRU(fused, config.width, num_layers=config.layers, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * config.width + config.width, bins)

    @property
    def bin_frequencies_hz(self) -> Float[Tensor, " bins"]:
        return torch.linspace(0.0, self.sample_rate_hz / 2, self.config.window_samples // 2 + 1)

    def mask_logits(
        self, mix: Float[Tensor, "batch samples"], frames: UInt8[Tensor, "batch frames height width"] | None
    ) -> Float[Tensor, "batch bins steps"]:
        heard = self.audio(_level_free_log(self._stft(mix)))
        fused = heard
        if self.video is not None:
            seen = self.video(frames, len(mix), heard.shape[1], self.hop_s * self.frame_rate_hz)
            fused = torch.cat([heard, seen], dim=2)
        context, _ = self.core(fused)
        return self.head(torch.cat([context, heard], dim=2)).mT

    def apply_mask(self, mix: Float[Tensor, "batch samples"], logits: Float[Tensor, "batch bins steps"]) -> Float[Tensor, "batch samples"]:
        return istft(self._stft(mix) * torch.sigmoid(logits), self.config.hop_samples, mix.shape[1])

    def _stft(self, mix: Float[Tensor, "batch samples"]) -> Complex64[Tensor, "batch bins steps"]:
        return stft(mix, self.config.window_samples, self.config.hop_samples)


def _level_free_log(spectrum: Tensor) -> Float[Tensor, "batch bins steps"]:
    magnitude = spectrum.abs()
    level = magnitude.square().mean(dim=(1, 2), keepdim=True).sqrt()
    return torch.log(magnitude / level.clamp(min=1e-8) + _FLOOR) / 2.0 + 1.5  # about zero mean and unit deviation on speech


class _AudioFrontEnd(nn.Module):
    """Two strided convolutions over frequency, then all of a step's features at once: [batch, bins, steps] -> [batch, steps, width]."""

    def __init__(self, bins: int, channels: int, width: int):
        super().__init__()
        self.low = nn.Conv2d(1, channels, (5, 3), stride=(2, 1), padding=(2, 1))
        self.high = nn.Conv2d(channels, channels, (5, 3), stride=(2, 1), padding=(2, 1))
        reduced = (((bins + 1) // 2) + 1) // 2
        self.join = nn.Linear(channels * reduced, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, spectrum: Float[Tensor, "batch bins steps"]) -> Float[Tensor, "batch steps width"]:
        features = F.relu(self.high(F.relu(self.low(spectrum[:, None]))))
        return F.relu(self.norm(self.join(features.flatten(1, 2).mT)))


class _VideoFrontEnd(nn.Module):
    """Mouth crops to features at the mask's rate; missing frames become one learned embedding."""

    def __init__(self, size_px: int, width: int):
        super().__init__()
        self.motion = nn.Conv3d(1, 12, (3, 5, 5), stride=(1, 2, 2), padding=(1, 2, 2))
        self.shape = nn.Conv2d(12, 24, 3, stride=2, padding=1)
        self.detail = nn.Conv2d(24, 32, 3, stride=2, padding=1)
        side = -(-size_px // 8)
        self.join = nn.Linear(32 * side * side, width)
        self.context = nn.Conv1d(width, width, 5, padding=2)
        self.norm = nn.LayerNorm(width)
        self.missing = nn.Parameter(torch.zeros(width))

    def forward(
        self, frames: UInt8[Tensor, "batch frames height width"] | None, batch: int, steps: int, frames_per_step: float
    ) -> Float[Tensor, "batch steps features"]:
        if frames is None or frames.shape[1] == 0:
            return self.missing.expand(batch, steps, -1)
        present = frames.amax(dim=(2, 3)) > 0
        features = self._features(frames, present)
        features = torch.where(present[:, :, None], features, self.missing)
        return _resample(features, steps, frames_per_step)

    def _features(
        self, frames: UInt8[Tensor, "batch frames height width"], present: Bool[Tensor, "batch frames"]
    ) -> Float[Tensor, "batch frames features"]:
        batch, count = frames.shape[:2]
        images = _contrast(frames, present)
        moving = F.relu(self.motion(images[:, None]))
        flat = moving.transpose(1, 2).flatten(0, 1)
        flat = F.relu(self.detail(F.relu(self.shape(flat)))).flatten(1)
        joined = self.join(flat).unflatten(0, (batch, count))
        return F.relu(self.norm(joined + self.context(F.relu(joined).mT).mT))


def _contrast(frames: Tensor, present: Tensor) -> Float[Tensor, "batch frames height width"]:
    """Each clip's crops at zero mean and unit deviation over its present frames: light and skin colour leave no trace."""
    images = frames.float() / 255.0
    weight = present[:, :, None, None].float()
    count = weight.sum(dim=1, keepdim=True).clamp(min=1.0) * images.shape[2] * images.shape[3]
    centred = (images - (images * weight).sum(dim=(1, 2, 3), keepdim=True) / count) * weight
    return centred / ((centred.square().sum(dim=(1, 2, 3), keepdim=True) / count).sqrt() + 1e-2)


def _resample(
    features: Float[Tensor, "batch frames features"], steps: int, frames_per_step: float
) -> Float[Tensor, "batch steps features"]:
    """Linear interpolation at the steps' times. A frame is shown for its whole period, so its middle stands for it; the last one lasts."""
    last = features.shape[1] - 1
    position = (torch.arange(steps, device=features.device) * frames_per_step - 0.5).clamp(0, last)
    before = position.floor().long()
    weight = (position - before)[:, None]
    return features[:, before] * (1 - weight) + features[:, (before + 1).clamp(max=last)] * weight
