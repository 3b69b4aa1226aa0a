"""Where there is speech in a clip: the stretches between pauses (GSRM, arXiv 2602.13891: pauses below 1000 ms do not part them)."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool
from pydantic import Field, PositiveFloat

from auricle.config import Config
from auricle.gsrm.praat import STEP_S, Track


class ActivityConfig(Config):
    """When a frame counts as speech."""

    below_peak_db: PositiveFloat = 30.0
    """Frames this far below the clip's loud frames (95th percentile) are pauses, in dB."""
    above_floor_share: float = Field(default=0.3, ge=0.0, le=1.0)
    """Speech lies above the noise floor (5th percentile) by at least this share of the way up to the loud frames."""
    merge_s: PositiveFloat = 1.0
    """Pauses shorter than this do not part two stretches, in seconds."""
    shortest_s: PositiveFloat = 0.05
    """Shorter bursts are no speech, in seconds."""


class Stretch(NamedTuple):
    """Speech from start_s to end_s."""

    start_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        """Its length, in seconds."""
        return self.end_s - self.start_s


def active_frames(track: Track, config: ActivityConfig) -> Bool[np.ndarray, " frames"]:
    """Frame by frame, before merging: loud enough to be speech."""
    level = track.voice_db
    floor_db, loud_db = np.quantile(level, [0.05, 0.95])
    # A clip without pauses has no floor to be above: the gap is then the spread of speech itself, and nearly all of it counts.
    threshold_db = max(loud_db - config.below_peak_db, floor_db + config.above_floor_share * min(loud_db - floor_db, config.below_peak_db))
    return level >= threshold_db


def bursts(active: Bool[np.ndarray, " frames"], track: Track, config: ActivityConfig) -> list[Stretch]:
    """The unmerged runs of active frames of at least `shortest_s`."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], active, [False]]).astype(int)))
    found = [
        Stretch(max(0.0, float(track.times_s[first] - STEP_S / 2)), min(track.duration_s, float(track.times_s[last - 1] + STEP_S / 2)))
        for first, last in edges.reshape(-1, 2)
    ]
    return [stretch for stretch in found if stretch.duration_s >= config.shortest_s]


def speech_stretches(track: Track, config: ActivityConfig) -> list[Stretch]:
    """Stretches of speech, in order, at least `merge_s` apart."""
    merged: list[Stretch] = []
    for burst in bursts(active_frames(track, config), track, config):
        if merged and burst.start_s - merged[-1].end_s < config.merge_s:
            merged[-1] = Stretch(merged[-1].start_s, burst.end_s)
        else:
            merged.append(burst)
    return merged
