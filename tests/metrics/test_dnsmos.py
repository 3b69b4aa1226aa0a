"""DNSMOS against published values; the fast window; bad input."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from auricle.errors import MetricError
from auricle.metrics.dnsmos import RATE_HZ, dnsmos, official_windows

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "pairs_speechscore"


@pytest.mark.parametrize("name", ["audio_1.wav", "audio_2.wav"])
def test_official_padding_gives_the_published_scores(name):
    if not DATA.exists():
        pytest.skip("the recordings of ../shared/data are not here")
    audio, rate_hz = soundfile.read(DATA / "noisy" / name)
    expected = json.loads((DATA / "expected.json").read_text())[name]["DNSMOS"]
    scores = dnsmos(audio, rate_hz)
    assert [scores.sig, scores.bak, scores.ovrl] == pytest.approx([expected["SIG"], expected["BAK"], expected["OVRL"]], abs=1e-4)
    assert scores.p808 == pytest.approx(expected["P808_MOS"], abs=1e-4)


def test_on_a_full_window_fast_and_official_are_the_same():
    audio = 0.1 * np.random.default_rng(0).standard_normal(144_160)
    assert dnsmos(audio, RATE_HZ, fast=True) == dnsmos(audio, RATE_HZ)


def test_windows_of_short_and_long_clips():
    assert official_windows(np.arange(16_000.0)).shape == (7, 144_160)  # doubled to 16 s
    assert official_windows(np.arange(11.0 * RATE_HZ)).shape == (2, 144_160)


@pytest.mark.parametrize(
    ("audio", "rate_hz", "says"),
    [
        (np.zeros(4_000), RATE_HZ, "at least"),
        (np.zeros(48_000), 48_000, "resample"),
        (np.full(16_000, np.nan), RATE_HZ, "NaN"),
        (np.full(16_000, 1.5), RATE_HZ, "peak"),
    ],
)
def test_bad_clips_are_errors(audio, rate_hz, says):
    with pytest.raises(MetricError, match=says):
        dnsmos(audio, rate_hz)
