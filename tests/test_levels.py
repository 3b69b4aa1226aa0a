"""Loudness by the recommendation's own figures, and speech-weighted levels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.errors import MediaError
from auricle.levels import integrated_loudness_lufs, noise_gain_for_snr, normalise_loudness, speech_weighted_rms, speech_weighted_snr_db

RATE_HZ = 16_000


def sine(hz: float, rate_hz: int, seconds: float, level_db: float = 0.0) -> np.ndarray:
    return 10 ** (level_db / 20) * np.sin(2 * np.pi * hz * np.arange(round(rate_hz * seconds)) / rate_hz)


@pytest.mark.parametrize("rate_hz", [16_000, 22_050, 44_100, 48_000])
def test_a_full_scale_997_hz_sine_reads_minus_3_01_lufs(rate_hz: int) -> None:
    assert integrated_loudness_lufs(sine(997, rate_hz, 3.0), rate_hz) == pytest.approx(-3.01, abs=0.05)


def test_the_relative_gate_leaves_quiet_parts_out() -> None:
    """EBU Tech 3341's case 3 in mono: 10 s at -36, 60 s at -23, 10 s at -36 dBFS read the middle part alone (3.01 LU lower than stereo)."""
    parts = [sine(1000, RATE_HZ, seconds, level) for seconds, level in ((10, -36), (60, -23), (10, -36))]
    assert integrated_loudness_lufs(np.concatenate(parts), RATE_HZ) == pytest.approx(-26.01, abs=0.1)


def test_short_clips_are_one_block_and_silence_has_no_loudness() -> None:
    assert integrated_loudness_lufs(sine(997, RATE_HZ, 0.1), RATE_HZ) == pytest.approx(-3.01, abs=0.2)
    assert integrated_loudness_lufs(np.ones(1), RATE_HZ) < 10
    for silence in (np.zeros(RATE_HZ), np.zeros(0), sine(997, RATE_HZ, 1.0, -80)):
        assert integrated_loudness_lufs(silence, RATE_HZ) == -np.inf
        assert (normalise_loudness(silence, RATE_HZ) == silence.astype(np.float32)).all()


@settings(max_examples=30, deadline=None)
@given(st.floats(-55, 0), st.integers(20, 30_000), st.integers(0, 2**31))
def test_any_clip_comes_to_the_wanted_loudness_or_to_the_peak(level_db: float, samples: int, seed: int) -> None:
    audio = 10 ** (level_db / 20) * np.random.default_rng(seed).uniform(-1, 1, samples)
    done = normalise_loudness(audio, RATE_HZ)
    assert np.abs(done).max() <= 0.9901
    assert integrated_loudness_lufs(done, RATE_HZ) == pytest.approx(-26.0, abs=0.05)


def test_a_click_limits_the_gain_instead_of_being_clipped() -> None:
    audio = sine(300, RATE_HZ, 2.0, -60)
    audio[5000] = 1.0
    done = normalise_loudness(audio, RATE_HZ)
    assert np.abs(done).max() == pytest.approx(0.99, abs=1e-4)
    assert np.corrcoef(done, audio)[0, 1] == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
def test_the_speech_weighting_follows_the_band_importance(rate_hz: int) -> None:
    level = {hz: 20 * np.log10(speech_weighted_rms(sine(hz, rate_hz, 2.0), rate_hz) * np.sqrt(2)) for hz in (20, 50, 250, 1000, 2000, 5000)}
    # 10 log10(importance / largest importance), ANSI S3.5 table 3.
    for hz, importance in ((1000, 0.0818), (2000, 0.0898), (250, 0.0150), (5000, 0.0527)):
        assert level[hz] == pytest.approx(10 * np.log10(importance / 0.0898), abs=0.7)
    assert level[20] < -25
    assert level[50] < level[250] - 5


@settings(max_examples=20, deadline=None)
@given(st.floats(-20, 20), st.floats(0.01, 10))
def test_the_gain_gives_the_wanted_ratio(snr_db: float, scale: float) -> None:
    rng = np.random.default_rng(1)
    speech, noise = rng.standard_normal(8000), scale * np.cumsum(rng.standard_normal(8000))
    gain = noise_gain_for_snr(speech, noise, RATE_HZ, snr_db)
    assert speech_weighted_snr_db(speech, gain * noise, RATE_HZ) == pytest.approx(snr_db, abs=1e-6)


def test_silent_or_broken_parts_are_errors() -> None:
    with pytest.raises(MediaError, match="noise is silent"):
        speech_weighted_snr_db(np.ones(100), np.zeros(100), RATE_HZ)
    with pytest.raises(MediaError, match="NaN"):
        normalise_loudness(np.array([np.nan, 0.0]), RATE_HZ)
