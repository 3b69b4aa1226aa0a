"""The record of one noisy talking-face clip, and the clip itself once loaded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float32, UInt8

Split = Literal["train", "dev", "eval"]
InterfererKind = Literal["speech", "noise", "music"]


@dataclass(frozen=True)
class Scene:
    """One scene on disk. Paths are absolute; what a corpus does not have is None.

    mix: the noisy wav. target: the clean (reverberant) talker as in the mix. target_anechoic: the talker without the room.
    interferer: the sum of the interferers. video: the talker's face without sound.
    channel: which channel of the wavs to hear (AVSEC-4's binaural files: 0, the reference); None is their mean.
    speaker: who talks; scenes of one name are one cluster of intervals, also across the corpora of a folder (auricle.scenes.layouts).
    snr_db: speech-weighted signal-to-noise ratio. condition: a free label of the acoustic condition (noises, rooms, codec).
    """

    scene_id: str
    split: Split
    mix: Path
    video: Path | None = None
    target: Path | None = None
    target_anechoic: Path | None = None
    interferer: Path | None = None
    snr_db: float | None = None
    interferer_kinds: tuple[InterfererKind, ...] = ()
    speaker: str | None = None
    condition: str = ""
    channel: int | None = None


@dataclass(frozen=True)
class Clip:
    """A loaded scene (or a crop of one), at the enhancer's rates.

    mix, target: mono, at sample_rate_hz; target is None where the scene has none.
    frames: grey mouth crops at frame_rate_hz; None where the scene has no video.
    """

    scene: Scene
    mix: Float32[np.ndarray, " samples"]
    target: Float32[np.ndarray, " samples"] | None
    frames: UInt8[np.ndarray, "frames height width"] | None
    sample_rate_hz: int
    frame_rate_hz: float
