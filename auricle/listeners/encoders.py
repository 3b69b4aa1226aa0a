"""From features to audio tokens: the encoder, pooling in time, and the bridge into the decoder's space. Shared by transformers and vLLM."""

import math
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from transformers import ASTConfig, ASTModel, WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder as TransformersWhisperEncoder

from auricle.errors import ConfigError
from auricle.listeners.features import CENTRE_LOG10, SCALE_LOG10, WINDOW_SAMPLES, mel_centres_hz, mel_filters

AST_PATCH, AST_STRIDE = 16, 10
RATE_HZ = 16_000
PRE_EMPHASIS = 0.97
KALDI_FLOOR = 1.192e-7
AUDIOSET_MEAN, AUDIOSET_DEVIATION = -4.2677393, 4.5689974


class ConvEncoder(nn.Module):
    """Convolutions of stride 2 in frequency and time, then transformer blocks over time."""

    def __init__(self, mels: int, frames: int, channels: list[int], hidden_size: int, layers: int, heads: int, intermediate_size: int):
        super().__init__()
        widths = [1, *channels]
        self.stem = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(width_in, width_out, 3, stride=2, padding=1), nn.GroupNorm(min(8, width_out), width_out), nn.GELU())
                for width_in, width_out in zip(widths, channels, strict=False)
            )
        )
        for _ in channels:
            mels, frames = -(-mels // 2), -(-frames // 2)
        self.steps = frames
        self.stride = 2 ** len(channels)
        self.project = nn.Linear(mels * channels[-1], hidden_size)
        self.positions = nn.Parameter(torch.randn(frames, hidden_size) * 0.02)
        self.blocks = nn.ModuleList(Block(hidden_size, heads, intermediate_size) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden_size)

    def forward(
        self, features: Float[Tensor, "batch mels frames"], lengths: Int64[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch steps hidden"], Bool[Tensor, "batch steps"]]:
        """The encoded steps, and which of them hold sound."""
        hidden = self.project(self.stem(features[:, None]).flatten(1, 2).transpose(1, 2)) + self.positions
        heard = torch.arange(self.steps, device=features.device) * self.stride < lengths[:, None]
        for block in self.blocks:
            hidden = block(hidden, heard)
        return self.norm(hidden), heard


class Block(nn.Module):
    """A pre-norm transformer block with full attention among the steps that hold sound."""

    def __init__(self, hidden_size: int, heads: int, intermediate_size: int):
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(hidden_size)
        self.query_key_value = nn.Linear(hidden_size, 3 * hidden_size)
        self.out = nn.Linear(hidden_size, hidden_size)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(hidden_size), nn.Linear(hidden_size, intermediate_size), nn.GELU(), nn.Linear(intermediate_size, hidden_size)
        )

    def forward(
        self, hidden: Float[Tensor, "batch steps hidden"], heard: Bool[Tensor, "batch steps"]
    ) -> Float[Tensor, "batch steps hidden"]:
        """Steps without sound are read by none."""
        batch, steps, size = hidden.shape
        q, k, v = self.query_key_value(self.attention_norm(hidden)).view(batch, steps, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=heard[:, None, None, :])
        hidden = hidden + self.out(attended.transpose(1, 2).reshape(batch, steps, size))
        return hidden + self.feed_forward(hidden)


class AstEncoder(nn.Module):
    """transformers' Audio Spectrogram Transformer; its patches are averaged over frequency, so that steps are moments in time."""

    def __init__(self, mels: int, frames: int, hidden_size: int, layers: int, heads: int, intermediate_size: int):
        super().__init__()
        config = ASTConfig(
            hidden_size=hidden_size,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=intermediate_size,
            num_mel_bins=mels,
            max_length=frames,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
        self.model = ASTModel(config)
        self.bands = (mels - AST_PATCH) // AST_STRIDE + 1
        self.steps = (frames - AST_PATCH) // AST_STRIDE + 1
        self.stride = AST_STRIDE

    def forward(
        self, features: Float[Tensor, "batch mels frames"], lengths: Int64[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch steps hidden"], Bool[Tensor, "batch steps"]]:
        """As ConvEncoder; AST itself was trained on padded clips and masks nothing."""
        # The first two states are the class and the distillation token; then patches, frequency outside, time inside.
        patches = self.model(self.as_pretrained(features).transpose(1, 2)).last_hidden_state[:, 2:]
        hidden = patches.unflatten(1, (self.bands, self.steps)).mean(1)
        return hidden, torch.arange(self.steps, device=features.device) * self.stride < lengths[:, None]

    def as_pretrained(self, features: Float[Tensor, "batch mels frames"]) -> Float[Tensor, "batch mels frames"]:
        """Our log-mels on the scale of the features that published AST weights were trained on.

        Those are Kaldi's: natural logarithms of the energy after a pre-emphasis of 0.97, minus AudioSet's mean, over twice its standard
        deviation; their frames begin about one hop later. Window and lowest bands differ a little; fine-tuning takes care of that.
        """
        logarithms = (
            math.log(10.0) * (SCALE_LOG10 * features + CENTRE_LOG10) + features.new_tensor(_kaldi_offset(features.shape[1]))[:, None]
        )
        later = torch.cat([logarithms[..., 1:], logarithms[..., -1:]], dim=-1).clamp_min(math.log(KALDI_FLOOR))
        return (later - AUDIOSET_MEAN) / (2 * AUDIOSET_DEVIATION)


class WhisperEncoder(nn.Module):
    """transformers' Whisper encoder (Radford 2022) at any size, on a window of any length: two convolutions, then a transformer."""

    def __init__(self, mels: int, frames: int, hidden_size: int, layers: int, heads: int, intermediate_size: int):
        super().__init__()
        config = WhisperConfig(
            d_model=hidden_size,
            encoder_layers=layers,
            encoder_attention_heads=heads,
            encoder_ffn_dim=intermediate_size,
            num_mel_bins=mels,
            max_source_positions=frames // 2,
            dropout=0.0,
        )
        self.model = TransformersWhisperEncoder(config)
        self.frames, self.steps, self.stride = frames // 2 * 2, frames // 2, 2

    def forward(
        self, features: Float[Tensor, "batch mels frames"], lengths: Int64[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch steps hidden"], Bool[Tensor, "batch steps"]]:
        """As ConvEncoder; Whisper itself was trained on padded clips and masks nothing."""
        hidden = self.model(self.as_pretrained(features[..., : self.frames])).last_hidden_state
        return hidden, torch.arange(self.steps, device=features.device) * self.stride < lengths[:, None]

    def load_pretrained(self, model: TransformersWhisperEncoder) -> None:
        """The weights of a published encoder; of its positions, which are sinusoids, as many as the window needs. Raises ConfigError."""
        if model.config.max_source_positions < self.steps or model.config.num_mel_bins != self.model.config.num_mel_bins:
            raise ConfigError(
                f"calibrate.listener: this Whisper hears {model.config.num_mel_bins} mels and at most "
                f"{model.config.max_source_positions / 50:.0f} s; set listener.mels and listener.clip_s to that or less"
            )
        state = model.state_dict()
        state["embed_positions.weight"] = state["embed_positions.weight"][: self.steps]
        kept = self.model.config.max_source_positions
        self.model = TransformersWhisperEncoder(WhisperConfig(**{**model.config.to_dict(), "max_source_positions": kept}))
        self.model.load_state_dict(state)

    def as_pretrained(self, features: Float[Tensor, "batch mels frames"]) -> Float[Tensor, "batch mels frames"]:
        """Our log-mels as the features that published Whisper weights were trained on.

        Those are log10 of Slaney's mel bands, at most 8 below the clip's loudest, plus 4, over 4. Each of our bands becomes a power
        density at its centre, and densities are interpolated to Slaney's centres.
        """
        density, places, level = (features.new_tensor(value) for value in _slaney_from_ours(features.shape[1]))
        ours = SCALE_LOG10 * features + CENTRE_LOG10 - density[:, None]
        below, share = places.floor().long().clamp(max=features.shape[1] - 2), places - places.floor().clamp(max=features.shape[1] - 2)
        theirs = torch.lerp(ours[:, below], ours[:, below + 1], share[:, None].expand(-1, features.shape[2])) + level
        loudest = theirs.amax(dim=(1, 2), keepdim=True)
        return (torch.maximum(theirs.clamp_min(-10.0), loudest - 8.0) + 4.0) / 4.0


class AudioTower(nn.Module):
    """Encoder, masked adaptive average pool to `audio_tokens` equal stretches of the window, and an MLP bridge to the decoder's width.

    Tokens that lie wholly beyond the clip's end are one learned vector.
    """

    def __init__(self, encoder: dict[str, Any], mels: int, frames: int, audio_tokens: int, text_hidden_size: int):
        super().__init__()
        values = dict(encoder)
        kind = values.pop("kind")
        kinds: dict[str, type[ConvEncoder] | type[AstEncoder] | type[WhisperEncoder]] = {
            "conv": ConvEncoder,
            "ast": AstEncoder,
            "whisper": WhisperEncoder,
        }
        if kind not in kinds:
            raise ConfigError(f"encoder.kind = {kind!r}: choose one of {', '.join(kinds)}")
        self.encoder = kinds[kind](mels=mels, frames=frames, **values)
        self.frames, self.audio_tokens = frames, audio_tokens
        size = values["hidden_size"]
        self.bridge = nn.Sequential(nn.LayerNorm(size), nn.Linear(size, 2 * size), nn.GELU(), nn.Linear(2 * size, text_hidden_size))
        self.beyond = nn.Parameter(torch.randn(text_hidden_size) * 0.02)

    def forward(
        self, features: Float[Tensor, "batch mels frames"], lengths: Int64[Tensor, " batch"]
    ) -> Float[Tensor, "batch tokens text_hidden"]:
        """Audio tokens; token k stands for the k-th of `audio_tokens` equal parts of the window."""
        hidden, heard = self.encoder(features, lengths)
        weight = heard.to(hidden.dtype)[:, None]
        pool = nn.functional.adaptive_avg_pool1d
        pooled = pool(hidden.transpose(1, 2) * weight, self.audio_tokens) / pool(weight, self.audio_tokens).clamp_min(1e-6)
        tokens = self.bridge(pooled.transpose(1, 2))
        starts = torch.arange(self.audio_tokens, device=features.device) * self.frames
        within = starts < lengths[:, None] * self.audio_tokens
        return torch.where(within[..., None], tokens, self.beyond)


@lru_cache(maxsize=4)
def _slaney_from_ours(mels: int) -> tuple[tuple[float, ...], tuple[float, ...], float]:
    """log10 of our bands' widths in bins; where Slaney's centres lie among ours, in bands; log10 of Whisper's level over a density of one.

    A band of Whisper's, whose triangle has unit area over hertz, sums the density over bins of 40 Hz, not divided by the window's energy.
    """
    widths = np.log10(mel_filters(mels, RATE_HZ).sum(0))
    linear_top, step = 1000.0, math.log(6.4) / 27.0
    top = 15.0 + math.log(RATE_HZ / 2 / linear_top) / step
    scale = np.linspace(0.0, top, mels + 2)[1:-1]
    centres = np.where(scale < 15.0, scale * 200.0 / 3.0, linear_top * np.exp(step * (scale - 15.0)))
    places = np.interp(centres, mel_centres_hz(mels, RATE_HZ), np.arange(mels))
    level = math.log10(np.sum(np.hanning(WINDOW_SAMPLES + 1) ** 2) / (RATE_HZ / WINDOW_SAMPLES))
    return tuple(widths), tuple(places), level


@lru_cache(maxsize=4)
def _kaldi_offset(mels: int) -> tuple[float, ...]:
    """What pre-emphasis and the missing division by the window's energy add to a band's natural logarithm."""
    radians = 2 * np.pi * mel_centres_hz(mels, RATE_HZ) / RATE_HZ
    emphasis = 1 + PRE_EMPHASIS**2 - 2 * PRE_EMPHASIS * np.cos(radians)
    return tuple(np.log(emphasis) + np.log(np.sum(np.hanning(WINDOW_SAMPLES + 1) ** 2)))
