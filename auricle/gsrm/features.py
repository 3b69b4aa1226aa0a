"""GSRM's acoustic features of a clip (arXiv 2602.13891): six of every vowel, and a few of the clip around them.

    24 kHz, first channel --> Praat's track --> speech stretches --> vowel nuclei --> six features a vowel
                                    +--------------------------------------------> measures of the clip

Per vowel: pitch level (geometric mean, Hz), pitch variation (standard deviation, semitones), pitch slope (least squares, semitones a
second), intensity level (mean, dB; relative to the mean over the clip's vowels, so that the recording's own level is not heard), intensity
variation (standard deviation, dB), duration (seconds). Where too few frames are voiced the three of pitch are NaN: a vowel without a voice
is a finding, and no number.

The paper's evidence log also speaks of the context and of non-verbal sounds. What is said there has to be checkable too, so the clip has
measures of its own (CLIP_MEASURES): these are ours.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from auricle.config import Config
from auricle.errors import MetricError
from auricle.gsrm.activity import ActivityConfig, Stretch, active_frames, speech_stretches
from auricle.gsrm.bands import band_measures
from auricle.gsrm.nuclei import NucleiConfig, Vowel, find_nuclei, formant_class
from auricle.gsrm.praat import Track, formants_hz, sound_of, track
from auricle.gsrm.traces import trace_measures

VOWEL_FEATURES = ("pitch", "pitch variation", "pitch slope", "intensity", "intensity variation", "duration")
"""In the order of every [vowels, 6] array here."""

CLIP_MEASURES = (
    *("noise", "clarity", "brightness", "depth", "crispness", "flutter", "rate", "melody", "dynamics", "rhythm"),
    *("flatness", "holes", "jumps", "hiss", "grain", "voids"),
)
"""noise: level of the quietest tenth of frames below the loudest tenth, in dB (0: no pause is quieter than speech). clarity: harmonics to
noise of voiced vowels, in dB. brightness, depth, crispness, flutter: see `bands`. rate: vowels a second of speech. melody, dynamics:
standard deviation over vowels of their pitch level (semitones) and intensity level (dB). rhythm: that of their log duration. flatness,
holes, jumps, hiss, grain, voids: see `traces`."""

_INTENSITY = VOWEL_FEATURES.index("intensity")
SHORTEST_S = 0.3
_VOICED_FRAMES = 3


class FeaturesConfig(Config):
    """How a clip is measured."""

    activity: ActivityConfig = ActivityConfig()
    """Speech against pauses."""
    nuclei: NucleiConfig = NucleiConfig()
    """The offline vowel detector."""


@dataclass(frozen=True)
class Measured:
    """What was measured of one clip. vowels: where, and which kind; values: VOWEL_FEATURES of each, NaN where there is no voice.
    clip: CLIP_MEASURES in order, NaN where there are too few vowels for one."""

    duration_s: float
    speech_s: float
    vowels: tuple[Vowel, ...]
    values: Float[np.ndarray, "vowels 6"]
    clip: Float[np.ndarray, " measures"]

    @property
    def unvoiced(self) -> int:
        """Vowels in which no pitch was found."""
        return int(np.isnan(self.values[:, 0]).sum())


Aligner = Callable[[Float[np.ndarray, " samples"], int], Sequence[Vowel]]
"""(audio, sample rate) -> vowels with their kinds: `auricle.gsrm.alignment.CtcAligner`, in place of the offline detector."""


def measure(
    audio: Float[np.ndarray, " samples"], sample_rate_hz: int, config: FeaturesConfig | None = None, aligner: Aligner | None = None
) -> Measured:
    """The features of one clip. Raises MetricError for a clip that is shorter than SHORTEST_S, or silent."""
    config = config or FeaturesConfig()
    duration_s = len(audio) / sample_rate_hz
    if duration_s < SHORTEST_S:
        raise MetricError(f"gsrm features: a clip of {duration_s:.2f} s; {SHORTEST_S:g} s or more are needed")
    if float(np.max(np.abs(audio))) < 1e-6:
        raise MetricError("gsrm features: the clip is silent; nothing can be measured")
    found = track(audio, sample_rate_hz)
    stretches = speech_stretches(found, config.activity)
    if aligner is not None:
        vowels = tuple(aligner(audio, sample_rate_hz))
    else:
        vowels = _classed(audio, sample_rate_hz, find_nuclei(found, stretches, config.nuclei))
    values = np.array([vowel_features(found, vowel) for vowel in vowels], dtype=np.float64).reshape(-1, len(VOWEL_FEATURES))
    if vowels:
        values[:, _INTENSITY] -= values[:, _INTENSITY].mean()
    return Measured(
        duration_s,
        sum(stretch.duration_s for stretch in stretches),
        vowels,
        values,
        _clip_measures(audio, sample_rate_hz, found, stretches, vowels, values, config),
    )


def vowel_features(found: Track, vowel: Vowel) -> Float[np.ndarray, " 6"]:
    """VOWEL_FEATURES of one vowel."""
    frames = found.frames(vowel.start_s, vowel.end_s)
    pitch_hz, level_db = found.pitch_hz[frames], found.intensity_db[frames]
    voiced = np.isfinite(pitch_hz)
    level = variation = slope = np.nan
    if np.count_nonzero(voiced) >= _VOICED_FRAMES:
        semitones = 12 * np.log2(pitch_hz[voiced])
        level, variation = 2 ** (semitones.mean() / 12), semitones.std()
        slope = np.polyfit(found.times_s[frames][voiced], semitones, 1)[0]
    loudness = (level_db.mean(), level_db.std()) if len(level_db) else (np.nan, np.nan)
    return np.array([level, variation, slope, *loudness, vowel.duration_s])


def _classed(audio: np.ndarray, sample_rate_hz: int, vowels: Sequence[Vowel]) -> tuple[Vowel, ...]:
    """The vowels with their formants' class as their kind."""
    if not vowels:
        return ()
    formants = formants_hz(sound_of(audio, sample_rate_hz), np.array([vowel.centre_s for vowel in vowels]))
    return tuple(vowel._replace(kind=formant_class(pair)) for vowel, pair in zip(vowels, formants, strict=True))


def _clip_measures(
    audio: np.ndarray,
    sample_rate_hz: int,
    found: Track,
    stretches: Sequence[Stretch],
    vowels: Sequence[Vowel],
    values: np.ndarray,
    config: FeaturesConfig,
) -> np.ndarray:
    quiet_db, loud_db = np.quantile(found.intensity_db, [0.1, 0.9])
    speech_s = sum(stretch.duration_s for stretch in stretches)
    pitches = values[np.isfinite(values[:, 0]), 0]
    several = len(vowels) >= _VOICED_FRAMES
    return np.array(
        [
            quiet_db - loud_db,
            _harmonicity_db(found, vowels),
            *band_measures(audio, sample_rate_hz, found, active_frames(found, config.activity)),
            len(vowels) / speech_s if speech_s > 0 else np.nan,
            np.std(12 * np.log2(pitches)) if len(pitches) >= _VOICED_FRAMES else np.nan,
            np.std(values[:, 3]) if several else np.nan,
            np.std(np.log(values[:, 5])) if several else np.nan,
            *trace_measures(audio, sample_rate_hz),
        ]
    )


def _harmonicity_db(found: Track, vowels: Sequence[Vowel]) -> float:
    """Mean of 10 log10(r / (1 - r)) over the voiced frames of vowels (Boersma 1993, equation 4)."""
    frames = [found.strength[found.frames(vowel.start_s, vowel.end_s)] for vowel in vowels]
    strength = np.concatenate(frames) if frames else np.zeros(0)
    strength = np.clip(strength[strength > 0], 0.01, 0.9999)
    return float(np.mean(10 * np.log10(strength / (1 - strength)))) if len(strength) else float("nan")
