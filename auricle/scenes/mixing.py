"""How a talker and interferers become a scene. Pure functions; every draw comes from a generator seeded with (seed, split, index, stream).

Sounds are [channels, samples]: channel 0 is the mono microphone, on which levels are measured; further channels (the ears) get its gains.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int16
from pydantic import Field, model_validator
from scipy import signal

from auricle.config import Config
from auricle.errors import SceneError
from auricle.levels import noise_gain_for_snr, speech_weighted_rms
from auricle.scenes.scene import InterfererKind, Split

KINDS: tuple[InterfererKind, ...] = ("speech", "noise", "music")
Sound = Float[np.ndarray, "channels samples"]


class MixConfig(Config):
    """How scenes are mixed."""

    snr_db_min: float = -10.0
    """Lowest speech-weighted signal-to-noise ratio, in dB; drawn uniformly up to `snr_db_max`."""
    snr_db_max: float = 10.0
    """Highest speech-weighted signal-to-noise ratio, in dB."""
    count_shares: tuple[float, float, float] = (0.6, 0.3, 0.1)
    """Shares of scenes with one, two and three interferers."""
    speech_share: float = Field(default=0.3, ge=0, le=1)
    """Probability that one interferer is a competing talker (0.3 makes 40 % of the scenes have at least one)."""
    music_share: float = Field(default=0.2, ge=0, le=1)
    """Probability that one interferer is music; a scene has at most one. The rest is noise."""
    level_spread_db: float = Field(default=3.0, ge=0)
    """Interferers of one scene differ in level by up to this, in dB either way."""
    ramp_s: float = Field(default=0.25, ge=0)
    """Interferers fade in and out over half a cosine of this length (at most a quarter of the scene), in seconds. AVSEC: 0.5."""
    high_pass_hz: float = Field(default=80.0, ge=0)
    """Interferers are high-passed here, so that rumble does not take up the level; 0 leaves them."""
    peak: float = Field(default=0.9, gt=0, le=0.99)
    """The common factor of a scene brings the largest sample of mix, target and interferer here."""

    @model_validator(mode="after")
    def _check(self) -> "MixConfig":
        if self.snr_db_min > self.snr_db_max:
            raise ValueError(f"snr_db_min {self.snr_db_min} is above snr_db_max {self.snr_db_max}; swap them")
        if self.speech_share + self.music_share > 1:
            raise ValueError("speech_share + music_share is above 1; noise takes the rest, so lower one of them")
        if min(self.count_shares) < 0 or sum(self.count_shares) <= 0:
            raise ValueError("count_shares must be three numbers of at least 0, not all 0")
        return self


@dataclass(frozen=True)
class Mixture:
    """A mixed scene as 16-bit integers: mix == target + interferer, exactly."""

    mix: Int16[np.ndarray, "channels samples"]
    target: Int16[np.ndarray, "channels samples"]
    target_anechoic: Int16[np.ndarray, "channels samples"]
    interferer: Int16[np.ndarray, "channels samples"]


def scene_rng(seed: int, split: Split, index: int, stream: str) -> np.random.Generator:
    """The generator of one scene's draws of one sort. Streams are independent: what the noise draws never moves the face."""
    return np.random.default_rng([seed, zlib.crc32(split.encode()), index, zlib.crc32(stream.encode())])


def draw_kinds(rng: np.random.Generator, config: MixConfig, available: Sequence[InterfererKind] = KINDS) -> list[InterfererKind]:
    """The kinds of a scene's one to three interferers, at most one of them music, from those `available`."""
    shares = {"speech": config.speech_share, "music": config.music_share, "noise": 1 - config.speech_share - config.music_share}
    counts = np.array(config.count_shares) / sum(config.count_shares)
    kinds: list[InterfererKind] = []
    for _ in range(1 + rng.choice(3, p=counts)):
        choice = [kind for kind in KINDS if kind in available and not (kind == "music" and kind in kinds)]
        weights = np.array([shares[kind] for kind in choice])
        if not choice or weights.sum() <= 0:
            break
        kinds.append(choice[rng.choice(len(choice), p=weights / weights.sum())])
    if not kinds:
        raise SceneError(f"no interferer can be drawn from {list(available)} with these shares; give more kinds, or other shares")
    return kinds


def high_pass(
    audio: Float[np.ndarray, "*channels samples"], sample_rate_hz: int, cutoff_hz: float
) -> Float[np.ndarray, "*channels samples"]:
    """`audio` without what lies below `cutoff_hz` (4th-order Butterworth, forwards only)."""
    if cutoff_hz <= 0:
        return audio
    return signal.sosfilt(signal.butter(4, cutoff_hz, "highpass", fs=sample_rate_hz, output="sos"), audio, axis=-1)


def ramped(audio: Float[np.ndarray, "*channels samples"], sample_rate_hz: int, ramp_s: float) -> Float[np.ndarray, "*channels samples"]:
    """`audio` faded in and out over half a cosine of `ramp_s`, at most a quarter of its length."""
    count = min(round(ramp_s * sample_rate_hz), audio.shape[-1] // 4)
    if count == 0:
        return audio
    gain = np.ones(audio.shape[-1])
    gain[:count] = 0.5 - 0.5 * np.cos(np.pi * (np.arange(count) + 0.5) / count)
    gain[-count:] = gain[:count][::-1]
    return audio * gain


def excerpt(
    audio: Float[np.ndarray, " available"], samples: int, rng: np.random.Generator, *, loop: bool
) -> tuple[Float[np.ndarray, " samples"], int]:
    """`samples` of `audio` from a random place, and that place. What is too short is repeated (`loop`), or placed at random in silence."""
    missing = samples - len(audio)
    if missing <= 0:
        offset = int(rng.integers(-missing + 1))
        return audio[offset : offset + samples], offset
    if loop:
        offset = int(rng.integers(len(audio)))
        return np.take(audio, np.arange(offset, offset + samples), mode="wrap"), offset
    before = int(rng.integers(missing + 1))
    return np.pad(audio, (before, missing - before)), 0


def in_room(audio: Float[np.ndarray, " samples"], responses: Float[np.ndarray, "channels taps"]) -> Sound:
    """A dry sound as each channel receives it, cut to its own length."""
    return signal.fftconvolve(audio[None, :], responses, axes=1)[:, : len(audio)]


def sum_interferers(parts: Sequence[Sound], sample_rate_hz: int, config: MixConfig, rng: np.random.Generator) -> Sound:
    """Interferers, each high-passed, brought to about the same speech-weighted level, summed and faded. Raises SceneError on silence."""
    total = np.zeros_like(parts[0])
    for number, part in enumerate(parts):
        passed = high_pass(part, sample_rate_hz, config.high_pass_hz)
        level = speech_weighted_rms(passed[0], sample_rate_hz)
        if level < 1e-6:
            raise SceneError(f"interferer {number + 1} of {len(parts)} is silent above {config.high_pass_hz:g} Hz; take another excerpt")
        total += passed * (10 ** (rng.uniform(-config.level_spread_db, config.level_spread_db) / 20) / level)
    return ramped(total, sample_rate_hz, config.ramp_s)


def mix(target: Sound, target_anechoic: Sound, interferer: Sound, sample_rate_hz: int, snr_db: float, peak: float = 0.9) -> Mixture:
    """The scene at `snr_db` (speech-weighted, on channel 0), all parts scaled by one factor so that the largest sample is `peak`."""
    interferer = interferer * noise_gain_for_snr(target[0], interferer[0], sample_rate_hz, snr_db)
    return quantised(target, target_anechoic, interferer, peak)


def quantised(target: Sound, target_anechoic: Sound, interferer: Sound, peak: float = 0.9) -> Mixture:
    """16-bit parts under one factor. Target and interferer are rounded, and the mix is their sum, so that it holds to the last bit."""
    loudest = max(float(np.abs(part).max()) for part in (target, target_anechoic, interferer, target + interferer))
    scale = 32768 * peak / loudest
    target16, anechoic16, interferer16 = (np.rint(part * scale).astype(np.int16) for part in (target, target_anechoic, interferer))
    return Mixture(target16 + interferer16, target16, anechoic16, interferer16)
