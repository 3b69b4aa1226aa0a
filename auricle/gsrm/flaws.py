"""Speech whose prosody is spoilt in known ways, by Praat's overlap-add resynthesis (PSOLA, Moulines & Charpentier 1990).

The noise, clipping and suppression that `auricle.listeners.degradations` makes leave pitch and timing as they were. What a talker would
never do is made here: a flat or exaggerated melody, pitch that jumps from vowel to vowel, syllables of wrong length or loudness, a wrong
tempo. Severities are ours, on 0-1; no person has rated them.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import parselmouth
from jaxtyping import Float32
from parselmouth.praat import call
from scipy.ndimage import gaussian_filter1d

from auricle.gsrm.nuclei import Vowel
from auricle.gsrm.praat import WIDEST_HZ, Track
from auricle.signals import resample

Audio = Float32[np.ndarray, " samples"]
Prosody = Literal["flat melody", "exaggerated melody", "pitch jumps", "broken durations", "wrong tempo", "broken intensity"]
PROSODY: tuple[Prosody, ...] = get_args(Prosody)

SUBJECTS: Mapping[str, tuple[str, ...]] = {
    "flat melody": ("melody low", "pitch variation low"),
    "exaggerated melody": ("melody high", "pitch variation high", "pitch slope"),
    "pitch jumps": ("melody high", "pitch variation high"),
    "broken durations": ("rhythm high", "duration"),
    "wrong tempo": ("rate", "duration"),
    "broken intensity": ("dynamics high", "intensity", "intensity variation"),
}
"""Which evidence speaks of each flaw: a subject, and the way it goes (`low`: low or lowest) where it goes one way."""

_SMOOTH_S = 0.02


@dataclass(frozen=True)
class Flaw:
    """What was done. severity: 0-1."""

    prosody: Prosody
    severity: float


def spoil(audio: Audio, sample_rate_hz: int, track: Track, vowels: Sequence[Vowel], rng: np.random.Generator) -> tuple[Audio, Flaw]:
    """The clip with one flaw drawn at random. Its length changes with its timing. vowels: where syllables are; at least one."""
    prosody = PROSODY[int(rng.integers(len(PROSODY)))]
    severity = float(rng.uniform(0.15, 1.0))
    return apply_flaw(audio, sample_rate_hz, track, vowels, Flaw(prosody, severity), rng), Flaw(prosody, severity)


def apply_flaw(audio: Audio, sample_rate_hz: int, track: Track, vowels: Sequence[Vowel], flaw: Flaw, rng: np.random.Generator) -> Audio:
    """The clip with this flaw."""
    severity = flaw.severity
    if flaw.prosody == "broken intensity":
        return _with_gains(audio, sample_rate_hz, vowels, rng.standard_normal(len(vowels)) * 12.0 * severity)
    sound = parselmouth.Sound(np.asarray(audio, dtype=np.float64), sample_rate_hz)
    manipulation = call(sound, "To Manipulation", 0.01, *WIDEST_HZ)
    if flaw.prosody == "broken durations":
        _stretch(manipulation, vowels, np.exp(rng.standard_normal(len(vowels)) * 0.7 * severity))
    elif flaw.prosody == "wrong tempo":
        factor = 2.0 ** (0.9 * severity * (1 if rng.random() < 0.5 else -1))
        _stretch(manipulation, (Vowel(0.0, sound.duration),), [factor])
    else:
        _repitch(manipulation, track, vowels, flaw, rng)
    made = call(manipulation, "Get resynthesis (overlap-add)")
    samples = np.asarray(made.values[0], dtype=np.float32)
    return (
        samples if round(made.sampling_frequency) == sample_rate_hz else resample(samples, round(made.sampling_frequency), sample_rate_hz)
    )


def _repitch(manipulation: parselmouth.Data, track: Track, vowels: Sequence[Vowel], flaw: Flaw, rng: np.random.Generator) -> None:
    """A new pitch tier: the melody scaled about its middle, or moved vowel by vowel."""
    voiced = np.isfinite(track.pitch_hz)
    if not voiced.any():
        return
    times_s, semitones = track.times_s[voiced], 12 * np.log2(track.pitch_hz[voiced])
    middle = float(np.median(semitones))
    if flaw.prosody == "pitch jumps":
        centres = np.array([vowel.centre_s for vowel in vowels])
        nearest = np.abs(times_s[:, None] - centres).argmin(axis=1)
        semitones = semitones + (rng.standard_normal(len(vowels)) * 7.0 * flaw.severity)[nearest]
    else:
        scale = 1.0 - flaw.severity if flaw.prosody == "flat melody" else 1.0 + 2.0 * flaw.severity
        semitones = middle + scale * (semitones - middle)
    hertz = np.clip(2 ** (semitones / 12), *WIDEST_HZ)
    tier = call("Create PitchTier", "pitch", 0.0, track.duration_s)
    for time_s, pitch_hz in zip(times_s, hertz, strict=True):
        call(tier, "Add point", float(time_s), float(pitch_hz))
    call([manipulation, tier], "Replace pitch tier")


def _stretch(manipulation: parselmouth.Data, vowels: Sequence[Vowel], factors: Sequence[float] | np.ndarray) -> None:
    """A duration tier that makes each vowel so many times as long."""
    tier = call(manipulation, "Extract duration tier")
    for vowel, factor in zip(vowels, factors, strict=True):
        bounded = float(np.clip(factor, 0.35, 3.0))
        call(tier, "Add point", vowel.start_s - 1e-3, 1.0)
        call(tier, "Add point", vowel.start_s, bounded)
        call(tier, "Add point", vowel.end_s, bounded)
        call(tier, "Add point", vowel.end_s + 1e-3, 1.0)
    call([manipulation, tier], "Replace duration tier")


def _with_gains(audio: Audio, sample_rate_hz: int, vowels: Sequence[Vowel], gains_db: np.ndarray) -> Audio:
    """Each vowel and what is nearest to it, louder or softer, faded into one another."""
    times_s = np.arange(len(audio)) / sample_rate_hz
    borders = [(left.end_s + right.start_s) / 2 for left, right in itertools.pairwise(vowels)]
    gain_db = np.asarray(gains_db)[np.searchsorted(borders, times_s)]
    smooth_db = gaussian_filter1d(gain_db, _SMOOTH_S * sample_rate_hz)
    louder = audio * 10 ** (smooth_db / 20)
    return (louder * min(1.0, 0.99 / max(float(np.abs(louder).max()), 1e-9))).astype(np.float32)
