"""One clip as Praat measures it: pitch, its strength, and intensity, on one clock.

Pitch is autocorrelation (Boersma 1993) in two passes: the first finds the talker's range, the second looks only there, which keeps octave
errors out (Hirst 2011: floor 0.75 x the first quartile, ceiling 1.5 x the third; here wider, for excited speech).
"""

from dataclasses import dataclass

import numpy as np
import parselmouth
from jaxtyping import Float

from auricle.signals import resample

RATE_HZ = 24_000
"""The rate that GSRM's features are measured at."""
STEP_S = 0.01
WIDEST_HZ = (60.0, 600.0)
"""The range of pitch of the first pass."""
_FLOOR, _CEILING = 0.75, 1.9
_INTENSITY_FLOOR_HZ = 100.0


@dataclass(frozen=True)
class Track:
    """Frames STEP_S apart. pitch_hz: NaN where unvoiced. strength: Praat's autocorrelation, 0-1, 0 where unvoiced. intensity_db: the
    level, any reference. voice_db: the same of 300-3000 Hz, where vowels are."""

    times_s: Float[np.ndarray, " frames"]
    pitch_hz: Float[np.ndarray, " frames"]
    strength: Float[np.ndarray, " frames"]
    intensity_db: Float[np.ndarray, " frames"]
    voice_db: Float[np.ndarray, " frames"]
    duration_s: float

    def frames(self, start_s: float, end_s: float) -> slice:
        """The frames whose centres lie within [start_s, end_s]."""
        first, last = np.searchsorted(self.times_s, [start_s - 1e-6, end_s + 1e-6])
        return slice(int(first), int(last))


def sound_of(audio: Float[np.ndarray, " samples"], sample_rate_hz: int) -> parselmouth.Sound:
    """Praat's form of a clip, at RATE_HZ."""
    at_rate = audio if sample_rate_hz == RATE_HZ else resample(np.asarray(audio, dtype=np.float32), sample_rate_hz, RATE_HZ)
    return parselmouth.Sound(np.asarray(at_rate, dtype=np.float64), RATE_HZ)


def track(audio: Float[np.ndarray, " samples"], sample_rate_hz: int) -> Track:
    """Pitch and intensity of a clip of at least 0.1 s."""
    sound = sound_of(audio, sample_rate_hz)
    pitch, strength, times_s = _pitch(sound)
    return Track(
        times_s,
        pitch,
        strength,
        _intensity(sound, times_s),
        _intensity(_band(sound), times_s),
        float(sound.duration),
    )


def formants_hz(sound: parselmouth.Sound, times_s: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 2"]:
    """F1 and F2 (Burg) at the times asked for; NaN where Praat finds none."""
    found = sound.to_formant_burg(time_step=0.02, max_number_of_formants=5.0, maximum_formant=5500.0)
    return np.array([[found.get_value_at_time(number, float(time_s)) for number in (1, 2)] for time_s in times_s]).reshape(-1, 2)


def _pitch(sound: parselmouth.Sound) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    floor_hz, ceiling_hz = WIDEST_HZ
    wide = sound.to_pitch_ac(time_step=STEP_S, pitch_floor=floor_hz, pitch_ceiling=ceiling_hz)
    voiced = wide.selected_array["frequency"]
    voiced = voiced[voiced > 0]
    found = wide
    if len(voiced) >= 5:
        low, high = np.quantile(voiced, [0.25, 0.75])
        narrow = (max(floor_hz, _FLOOR * low), min(ceiling_hz, _CEILING * high))
        found = sound.to_pitch_ac(time_step=STEP_S, pitch_floor=narrow[0], pitch_ceiling=max(narrow[1], 1.5 * narrow[0]))
    frequency, strength = found.selected_array["frequency"], found.selected_array["strength"]
    voiced_frames = frequency > 0
    return np.where(voiced_frames, frequency, np.nan), np.where(voiced_frames, strength, 0.0), found.xs()


def _intensity(sound: parselmouth.Sound, times_s: np.ndarray) -> np.ndarray:
    """dB at the given times. Praat leaves out the edges that its window does not fill; the outermost values stand for them."""
    found = sound.to_intensity(minimum_pitch=_INTENSITY_FLOOR_HZ, time_step=STEP_S, subtract_mean=True)
    return np.interp(times_s, found.xs(), np.maximum(found.values[0], -100.0))


def _band(sound: parselmouth.Sound) -> parselmouth.Sound:
    return parselmouth.praat.call(sound, "Filter (pass Hann band)", 300.0, 3000.0, 100.0)
