"""Random recording conditions, applied to log-mels: band limit, small equaliser, noise floor.

Without them the listener takes the top mel bands for a sign of distortion, and rates files that are merely band-limited near 7.5 kHz as it
pleases. No synthetic held-out set shows that; rated recordings do (docs/log.md).
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from auricle.listeners.features import POWER_FLOOR, mel_centres_hz

LOWEST_LIMIT_HZ, HIGHEST_LIMIT_HZ = 6_300.0, 8_000.0
LIMITED_SHARE = 0.6
EQUALISER_KNOTS, EQUALISER_DB = 5, 2.5
FLOOR_LOG10 = (-9.5, -7.5)


@dataclass(frozen=True)
class RecordingChains:
    """What a microphone, a codec's band limit and a quiet room may add: one chain a clip."""

    gain_db: Float[np.ndarray, "batch mels"]
    floor_log10: Float[np.ndarray, " batch"]

    @classmethod
    def draw(cls, rng: np.random.Generator, batch: int, mels: int, sample_rate_hz: int = 16_000) -> "RecordingChains":
        """`batch` random chains."""
        gain_db = _equaliser(rng, batch, mels) + _band_limit(rng, batch, mels, sample_rate_hz)
        return cls(gain_db, rng.uniform(*FLOOR_LOG10, size=batch))

    def apply(self, log10_power: Float[Tensor, "some mels frames"], rows: np.ndarray) -> Float[Tensor, "some mels frames"]:
        """The clips `rows` of the batch, each through its own chain."""
        gain = torch.from_numpy(10 ** (self.gain_db[rows] / 10)).to(log10_power.dtype)[..., None]
        floor = torch.from_numpy(10 ** self.floor_log10[rows]).to(log10_power.dtype)[:, None, None]
        power = torch.pow(10.0, log10_power) - POWER_FLOOR
        return torch.log10(power.clamp_min(0.0) * gain + floor + POWER_FLOOR)


def _equaliser(rng: np.random.Generator, batch: int, mels: int) -> Float[np.ndarray, "batch mels"]:
    knots = rng.normal(0.0, EQUALISER_DB, size=(batch, EQUALISER_KNOTS))
    knots -= knots.mean(axis=1, keepdims=True)
    place = np.linspace(0, EQUALISER_KNOTS - 1, mels)
    return np.stack([np.interp(place, np.arange(EQUALISER_KNOTS), row) for row in knots])


def _band_limit(rng: np.random.Generator, batch: int, mels: int, sample_rate_hz: int) -> Float[np.ndarray, "batch mels"]:
    """A slope of 20 to 120 dB per kHz above the limit, for some of the clips."""
    limit_hz = rng.uniform(LOWEST_LIMIT_HZ, HIGHEST_LIMIT_HZ, size=(batch, 1))
    slope_db_per_hz = rng.uniform(0.02, 0.12, size=(batch, 1))
    limited = rng.random((batch, 1)) < LIMITED_SHARE
    return np.where(limited, -slope_db_per_hz, 0.0) * np.maximum(0.0, mel_centres_hz(mels, sample_rate_hz) - limit_hz)
