"""Vowel nuclei without a transcript or a model: peaks of the vowel band that are periodic.

After de Jong & Wempe (2009): a syllable's nucleus is a peak of intensity with a dip on either side, and voiced. Peaks are looked for in
300-3000 Hz, where fricatives and hum are weak. A nucleus reaches as far as the level stays near its peak and the voice goes on.
"""

import itertools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from pydantic import Field, PositiveFloat
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from auricle.config import Config
from auricle.gsrm.activity import Stretch
from auricle.gsrm.praat import STEP_S, Track


class NucleiConfig(Config):
    """What counts as the nucleus of a vowel."""

    dip_db: PositiveFloat = 1.0
    """How far the level falls between two nuclei, in dB."""
    below_peak_db: PositiveFloat = 25.0
    """Peaks this far below the clip's loud frames are no vowels, in dB."""
    edge_db: PositiveFloat = 8.0
    """A nucleus ends where the level is this far below its peak, in dB."""
    strength: float = Field(default=0.45, ge=0.0, le=1.0)
    """Least periodicity (Praat's autocorrelation) at the peak, 0-1."""
    smoothing_s: PositiveFloat = 0.015
    """Width of the Gaussian that the level is smoothed with, in seconds."""
    shortest_s: PositiveFloat = 0.03
    """Shorter nuclei are left out, in seconds."""
    longest_s: PositiveFloat = 0.4
    """Longer ones are cut around their peak, in seconds."""


class Vowel(NamedTuple):
    """A vowel's nucleus. kind: its IPA symbol where an aligner knows it, a class of formants where not, empty where nobody looked."""

    start_s: float
    end_s: float
    kind: str = ""

    @property
    def duration_s(self) -> float:
        """Its length, in seconds."""
        return self.end_s - self.start_s

    @property
    def centre_s(self) -> float:
        """Its middle, in seconds."""
        return (self.start_s + self.end_s) / 2


def find_nuclei(track: Track, stretches: list[Stretch], config: NucleiConfig) -> list[Vowel]:
    """The nuclei within the stretches of speech, in order and disjoint."""
    level = gaussian_filter1d(track.voice_db, config.smoothing_s / STEP_S)
    loud_db = float(np.quantile(level, 0.95))
    peaks, _ = find_peaks(level, prominence=config.dip_db, height=loud_db - config.below_peak_db)
    strength = np.maximum.reduce([np.roll(track.strength, shift) for shift in (-2, -1, 0, 1, 2)])
    kept = [int(peak) for peak in peaks if strength[peak] >= config.strength and _within(stretches, float(track.times_s[peak]))]
    borders = [0, *(left + int(np.argmin(level[left:right])) for left, right in itertools.pairwise(kept)), len(level)]
    vowels = []
    for place, peak in enumerate(kept):
        first, last = _reach(level, track.strength, peak, borders[place], borders[place + 1], config)
        start_s = max(0.0, float(track.times_s[first]) - STEP_S / 2)
        end_s = min(track.duration_s, float(track.times_s[last]) + STEP_S / 2)
        if end_s - start_s >= config.shortest_s:
            vowels.append(Vowel(start_s, end_s))
    return vowels


def formant_class(formants_hz: Float[np.ndarray, " 2"]) -> str:
    """A vowel's coarse kind by F1 and F2 of its middle: open, front or back, and `other` where Praat finds no formants."""
    first_hz, second_hz = formants_hz
    if not np.isfinite(first_hz + second_hz):
        return "other"
    if first_hz > 600.0:
        return "open"
    return "front" if second_hz > 1600.0 else "back"


def _reach(level: np.ndarray, strength: np.ndarray, peak: int, low: int, high: int, config: NucleiConfig) -> tuple[int, int]:
    """First and last frame of the nucleus around `peak`, within [low, high)."""
    half = round(config.longest_s / STEP_S / 2)
    floor_db = level[peak] - config.edge_db
    first, last = peak, peak
    while first - 1 >= max(low, peak - half) and level[first - 1] >= floor_db and (strength[first - 1] > 0 or first > peak - 2):
        first -= 1
    while last + 1 < min(high, peak + half) and level[last + 1] >= floor_db and (strength[last + 1] > 0 or last < peak + 2):
        last += 1
    return first, last


def _within(stretches: list[Stretch], time_s: float) -> bool:
    return any(stretch.start_s <= time_s <= stretch.end_s for stretch in stretches)
