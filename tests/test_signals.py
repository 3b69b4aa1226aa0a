"""Rates and alignment."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.audio import read_audio
from auricle.signals import align, find_lag_samples, resample

RATE_HZ = 16_000


def sine(hz: float, rate_hz: int, seconds: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(round(rate_hz * seconds)) / rate_hz)


@pytest.mark.parametrize("from_hz", [8_000, 22_050, 44_100, 48_000])
def test_a_tone_keeps_level_and_pitch(from_hz: int) -> None:
    changed = resample(sine(1000, from_hz), from_hz, RATE_HZ)
    assert len(changed) == RATE_HZ
    assert np.abs(changed - sine(1000, RATE_HZ))[500:-500].max() < 1e-3


@pytest.mark.parametrize("hz", [8_100.0, 9_000.0, 15_000.0, 20_000.0])
def test_what_the_new_rate_cannot_hold_is_gone(hz: float) -> None:
    left = resample(sine(hz, 44_100), 44_100, RATE_HZ)[1000:-1000]
    assert 20 * np.log10(np.sqrt(np.mean(left**2)) * np.sqrt(2)) < -80


def test_the_pass_band_reaches_nine_tenths_of_the_band() -> None:
    kept = resample(sine(7200, 44_100), 44_100, RATE_HZ)[1000:-1000]
    assert np.sqrt(np.mean(kept**2) * 2) == pytest.approx(1.0, abs=0.01)


@settings(max_examples=30, deadline=None)
@given(st.integers(-900, 900), st.integers(0, 2**31))
def test_alignment_finds_the_shift(shift: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    long = rng.standard_normal(6000)
    reference, audio = long[1000:5000], long[1000 - shift : 5000 - shift] + 0.3 * rng.standard_normal(4000)
    aligned, lag = align(audio, reference, 1000)
    assert lag == shift
    assert len(aligned) == len(reference)
    inner = slice(1000, 3000)
    assert np.corrcoef(aligned[inner], reference[inner])[0, 1] > 0.9


def test_silence_and_shifts_beyond_the_limit_do_not_move_anything() -> None:
    assert find_lag_samples(np.zeros(100), np.ones(100), 50) == 0
    assert find_lag_samples(np.zeros(0), np.ones(100), 50) == 0
    pulse, late = np.zeros(1000), np.zeros(1000)
    pulse[100], late[600] = 1.0, 1.0
    assert find_lag_samples(late, pulse, 100) == 0
    assert find_lag_samples(late, pulse, 500) == 500


def test_the_published_lag_of_real_degraded_files(shared_data: Path) -> None:
    folder = shared_data / "mos_p835" / "wb16k"
    reference = read_audio(folder / "c0_f1.wav", RATE_HZ)
    assert {align(read_audio(folder / f"c{k}_f1.wav", RATE_HZ), reference, RATE_HZ)[1] for k in (1, 5, 9)} == {275}
