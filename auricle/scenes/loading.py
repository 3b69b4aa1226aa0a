"""From a scene on disk to arrays: one crop of sound and picture, at the enhancer's rates, that lie on each other in time."""

from math import ceil
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8

from auricle.audio import read_audio, sound_duration_s
from auricle.errors import MediaError
from auricle.mouth import Crop
from auricle.scenes.cache import cached_crops
from auricle.scenes.scene import Clip, Scene

MAX_MISMATCH_S = 0.2
"""Largest difference in length between the files of a scene that passes as normal (GRID's sound is 22-48 ms shorter than its picture)."""


def load_clip(
    scene: Scene,
    *,
    sample_rate_hz: int,
    frame_rate_hz: float,
    frame_size_px: int,
    crop: Crop = "mouth",
    start_s: float = 0.0,
    duration_s: float | None = None,
    with_video: bool = True,
    max_mismatch_s: float = MAX_MISMATCH_S,
) -> Clip:
    """The part of a scene from start_s on, of exactly duration_s (or to the end of the mixture).

    Where the files end earlier, sound is padded with zeros and pictures with the last one. There are as many pictures as the sound's
    length needs, rounded up. Choose start_s at a whole picture; else the nearest one is the first. with_video=False leaves
    the pictures out. Raises MediaError where a file cannot be used, lengths differ by more than max_mismatch_s, or start_s is past the end.
    """
    total_s = sound_duration_s(scene.mix)
    if not 0 <= start_s < total_s:
        raise MediaError(f"{scene.mix}: asked for the part from {start_s:g} s on, but it lasts {total_s:.3f} s", fault="length")
    if duration_s is not None and not duration_s > 0:
        raise MediaError(f"{scene.mix}: asked for a part of {duration_s:g} s; expected more than 0", fault="length")
    samples = None if duration_s is None else max(1, round(duration_s * sample_rate_hz))
    mix = _sound(scene.mix, scene, sample_rate_hz, start_s, samples)
    target = None
    if scene.target is not None:
        require_equal_length(scene.mix, total_s, scene.target, sound_duration_s(scene.target), max_mismatch_s)
        target = _sound(scene.target, scene, sample_rate_hz, start_s, len(mix))
    frames = None
    if with_video and scene.video is not None:
        pictures = cached_crops(scene.video, frame_rate_hz, frame_size_px, crop=crop).frames
        require_equal_length(scene.mix, total_s, scene.video, len(pictures) / frame_rate_hz, max_mismatch_s)
        # The small number keeps 3.0 s at 25 per second at 75 whatever the rounding of the product.
        wanted = max(1, ceil(len(mix) / sample_rate_hz * frame_rate_hz - 1e-6))
        frames = _pictures(pictures, round(start_s * frame_rate_hz), wanted)
    return Clip(scene, mix, target, frames, sample_rate_hz, frame_rate_hz)


def require_equal_length(mix: Path, mix_s: float, other: Path, other_s: float, max_mismatch_s: float) -> None:
    """Raises MediaError, naming both files, where they differ by more than max_mismatch_s."""
    if abs(mix_s - other_s) > max_mismatch_s:
        raise MediaError(
            f"{other} lasts {other_s:.3f} s, {mix} lasts {mix_s:.3f} s: more than {max_mismatch_s:g} s apart; do they belong together?",
            fault="length",
        )


def _sound(path: Path, scene: Scene, sample_rate_hz: int, start_s: float, samples: int | None) -> Float32[np.ndarray, " samples"]:
    duration_s = None if samples is None else samples / sample_rate_hz
    audio = read_audio(path, sample_rate_hz, start_s=start_s, duration_s=duration_s, channel=scene.channel)
    return audio if samples is None else np.pad(audio[:samples], (0, max(0, samples - len(audio))))


def _pictures(pictures: UInt8[np.ndarray, "all height width"], first: int, count: int) -> UInt8[np.ndarray, "frames height width"]:
    return pictures[np.minimum(np.arange(first, first + count), len(pictures) - 1)]
