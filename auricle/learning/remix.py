"""Training clips for supervised learning: scenes kept in memory, cut and mixed anew each time, so that a small corpus goes a long way.

A mixture is its target plus what is left of it, the interference. A remix keeps the target and its picture, takes the interference of this
or another scene, and shifts the scene's own SNR a little. Everything about an example follows from its seed.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from jaxtyping import Float32, Int16, UInt8
from pydantic import Field

from auricle.config import Config
from auricle.errors import SceneError
from auricle.mouth import Crop
from auricle.scenes.loading import load_clip
from auricle.scenes.scene import Scene

_FULL_SCALE = 32767.0
_QUIET = 1e-5


class RemixConfig(Config):
    """How training examples are made from scenes."""

    crop_s: float = Field(default=2.0, gt=0)
    """Length of an example, in seconds; shorter scenes are padded with silence."""
    swap: float = Field(default=0.5, ge=0, le=1)
    """Share of examples whose interference comes from another scene."""
    snr_jitter_db: float = Field(default=5.0, ge=0)
    """Largest shift of a scene's own SNR, up or down."""
    mirror: float = Field(default=0.5, ge=0, le=1)
    """Share of examples with mirrored pictures."""
    video_dropout: float = Field(default=0.1, ge=0, le=1)
    """Share of examples without a picture: the network has to learn to do without."""
    cached_scenes: int = Field(default=4096, ge=1)
    """Scenes kept in memory; further ones are read again."""


@dataclass(frozen=True)
class Example:
    """One training example. frames: all black where the picture was left out; None where the network looks at none."""

    mix: Float32[np.ndarray, " samples"]
    target: Float32[np.ndarray, " samples"]
    frames: UInt8[np.ndarray, "frames height width"] | None


@dataclass(frozen=True)
class _Recording:
    target: Int16[np.ndarray, " samples"]
    interference: Int16[np.ndarray, " samples"]
    frames: UInt8[np.ndarray, "frames height width"] | None
    snr_db: float


class ClipBank:
    """The scenes of a training set, read once."""

    def __init__(
        self,
        scenes: Sequence[Scene],
        config: RemixConfig,
        *,
        sample_rate_hz: int,
        frame_rate_hz: float,
        frame_size_px: int,
        crop: Crop = "mouth",
        with_video: bool = True,
    ) -> None:
        """Raises SceneError where a scene has no target: there is nothing to learn from it."""
        without = [scene.scene_id for scene in scenes if scene.target is None]
        if without:
            raise SceneError(f"{len(without)} scene(s) have no clean target ({', '.join(without[:3])}...): training needs one each")
        self._scenes, self._config, self._with_video = list(scenes), config, with_video
        self._sample_rate_hz, self._frame_rate_hz, self._frame_size_px = sample_rate_hz, frame_rate_hz, frame_size_px
        self._crop = crop
        self._kept: OrderedDict[int, _Recording] = OrderedDict()

    def __len__(self) -> int:
        return len(self._scenes)

    def example(self, index: int, seed: int) -> Example:
        """The example of scene `index` with all its choices made by `seed`."""
        config, draw = self._config, np.random.default_rng(seed)
        own = self._recording(index)
        other = self._recording(int(draw.integers(len(self._scenes)))) if draw.random() < config.swap else own
        samples = round(config.crop_s * self._sample_rate_hz)
        first_frame = int(draw.integers(1 + self._spare_frames(len(own.target), samples)))
        start = round(first_frame / self._frame_rate_hz * self._sample_rate_hz)
        target = _cut(own.target, start, samples)
        other_start = start if other is own else int(draw.integers(1 + max(0, len(other.interference) - samples)))
        interference = _cut(other.interference, other_start, samples)
        snr_db = own.snr_db + draw.uniform(-config.snr_jitter_db, config.snr_jitter_db)
        mix = target + 10.0 ** ((other.snr_db - snr_db) / 20.0) * _relative_level(own, other) * interference
        return Example(mix.astype(np.float32), target, self._pictures(own, first_frame, samples, draw))

    def _spare_frames(self, have: int, samples: int) -> int:
        return max(0, int((have - samples) / self._sample_rate_hz * self._frame_rate_hz))

    def _pictures(self, own: _Recording, first: int, samples: int, draw: np.random.Generator) -> np.ndarray | None:
        mirrored, dropped = draw.random() < self._config.mirror, draw.random() < self._config.video_dropout
        if not self._with_video:
            return None
        count = max(1, ceil(samples / self._sample_rate_hz * self._frame_rate_hz - 1e-6))
        if own.frames is None or dropped:
            return np.zeros((count, self._frame_size_px, self._frame_size_px), dtype=np.uint8)
        frames = own.frames[np.minimum(np.arange(first, first + count), len(own.frames) - 1)]
        return np.ascontiguousarray(frames[:, :, ::-1]) if mirrored else frames

    def _recording(self, index: int) -> _Recording:
        if index in self._kept:
            self._kept.move_to_end(index)
            return self._kept[index]
        clip = load_clip(
            self._scenes[index],
            sample_rate_hz=self._sample_rate_hz,
            frame_rate_hz=self._frame_rate_hz,
            frame_size_px=self._frame_size_px,
            crop=self._crop,
            with_video=self._with_video,
        )
        assert clip.target is not None
        interference = clip.mix - clip.target
        recording = _Recording(_as_int16(clip.target), _as_int16(interference), clip.frames, _ratio_db(clip.target, interference))
        while len(self._kept) >= self._config.cached_scenes:
            self._kept.popitem(last=False)
        self._kept[index] = recording
        return recording


def _relative_level(own: _Recording, other: _Recording) -> float:
    """What brings the other scene's target to the level of this one's; its interference then has that scene's own SNR to this target."""
    return 1.0 if other is own else (_rms(own.target) + _QUIET) / (_rms(other.target) + _QUIET)


def _cut(audio: Int16[np.ndarray, " all"], start: int, samples: int) -> Float32[np.ndarray, " samples"]:
    part = audio[start : start + samples].astype(np.float32) / _FULL_SCALE
    return np.pad(part, (0, samples - len(part)))


def _as_int16(audio: np.ndarray) -> Int16[np.ndarray, " samples"]:
    return np.clip(np.round(audio * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE).astype(np.int16)


def _ratio_db(target: np.ndarray, interference: np.ndarray) -> float:
    return 20.0 * float(np.log10((_rms(target) + _QUIET) / (_rms(interference) + _QUIET)))


def _rms(audio: np.ndarray) -> float:
    scale = _FULL_SCALE if audio.dtype == np.int16 else 1.0
    return float(np.sqrt(np.mean(np.square(audio.astype(np.float64) / scale))))
