"""Simple synthetic music: chord pads, plucked broken chords, and a pulse."""

import numpy as np
from jaxtyping import Float

_PROGRESSIONS = ((0, 5, 3, 4), (0, 3, 4, 0), (5, 3, 0, 4), (0, 4, 5, 3))
_MAJOR = np.array([0, 2, 4, 5, 7, 9, 11])
STYLES = ("pads", "plucks")


def music(rng: np.random.Generator, samples: int, sample_rate_hz: int, style: str) -> Float[np.ndarray, " samples"]:
    """A few bars in a random key. style: `pads` (slow sustained chords) or `plucks` (quick decaying notes with a bass pulse)."""
    key = int(rng.integers(48, 60))
    beat_s = 60 / rng.uniform(70, 140)
    progression = _PROGRESSIONS[rng.integers(len(_PROGRESSIONS))]
    partials = rng.uniform(0.2, 1.0, 8) / np.arange(1, 9) ** rng.uniform(0.7, 1.6)
    note_s, decay_s = (2 * beat_s, 3.0) if style == "pads" else (beat_s / 2, rng.uniform(0.12, 0.35))
    audio = np.zeros(samples)
    start = -rng.uniform(0, 4 * beat_s)
    step = 0
    while start < samples / sample_rate_hz:
        bar = int(step * note_s // (4 * beat_s)) % 4
        degrees = progression[bar] + np.array([0, 2, 4, 7])
        pitches = key + 12 * (degrees // 7) + _MAJOR[degrees % 7]
        played = pitches if style == "pads" else pitches[[rng.integers(4)]] + 12
        for pitch in [*played, pitches[0] - 12]:
            _add_note(audio, sample_rate_hz, start, note_s * (1.1 if style == "pads" else 2.0), pitch, partials, decay_s)
        start, step = start + note_s, step + 1
    return audio


def _add_note(
    audio: Float[np.ndarray, " samples"],
    sample_rate_hz: int,
    start_s: float,
    length_s: float,
    pitch: float,
    partials: Float[np.ndarray, "8"],
    decay_s: float,
) -> None:
    first, last = max(round(start_s * sample_rate_hz), 0), min(round((start_s + length_s) * sample_rate_hz), len(audio))
    if last <= first:
        return
    time_s = np.arange(first, last) / sample_rate_hz - start_s
    frequency_hz = 440 * 2 ** ((pitch - 69) / 12)
    envelope = np.minimum(time_s / 0.01, 1) * np.exp(-time_s / decay_s) * np.minimum((length_s - time_s) / 0.02, 1)
    for number, gain in enumerate(partials, start=1):
        if number * frequency_hz < 0.45 * sample_rate_hz:
            audio[first:last] += gain * envelope * np.sin(2 * np.pi * number * frequency_hz * time_s)
