"""Vowel-like sounds whose pitch, slope, level and length are known: harmonics under two formants."""

import numpy as np

RATE_HZ = 24_000


def vowel(pitch_hz=150.0, slope_st_s=0.0, level_db=-20.0, duration_s=0.2, wobble_st=0.0, rate_hz=RATE_HZ):
    """Pitch moves by slope_st_s semitones a second around pitch_hz, and wobbles by wobble_st (amplitude) at 8 Hz."""
    times_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    semitones = slope_st_s * (times_s - duration_s / 2) + wobble_st * np.sin(2 * np.pi * 8 * times_s)
    phase = 2 * np.pi * np.cumsum(pitch_hz * 2 ** (semitones / 12)) / rate_hz
    sound = np.zeros_like(times_s)
    for number in range(1, int(3500 / pitch_hz)):
        height = 1 / (1 + ((number * pitch_hz - 700) / 400) ** 2) + 0.5 / (1 + ((number * pitch_hz - 1200) / 400) ** 2)
        sound += height * np.sin(number * phase)
    edge = round(0.01 * rate_hz)
    fade = np.ones_like(sound)
    fade[:edge] = np.linspace(0, 1, edge)
    fade[-edge:] = np.linspace(1, 0, edge)
    return (10 ** (level_db / 20) * sound / np.sqrt(np.mean(sound**2)) * fade).astype(np.float32)


def silence(duration_s, rate_hz=RATE_HZ):
    """Very faint noise, so that nothing is exactly zero."""
    return (1e-4 * np.random.default_rng(0).standard_normal(round(duration_s * rate_hz))).astype(np.float32)


def row(vowels, gap_s=0.1, rate_hz=RATE_HZ):
    """(sound, centres in seconds) of vowels with gaps before, between and after them."""
    pieces, centres, place = [silence(gap_s, rate_hz)], [], gap_s
    for one in vowels:
        centres.append(place + len(one) / rate_hz / 2)
        pieces += [one, silence(gap_s, rate_hz)]
        place += len(one) / rate_hz + gap_s
    return np.concatenate(pieces), np.array(centres)
