"""Intrusive metrics against published values, and their failures."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from auricle.errors import MetricError
from auricle.metrics.intrusive import estoi, matched, pesq_wb, si_sdr, stoi

DATA = Path(__file__).parents[2].parent / "shared" / "data"
RATE_HZ = 16_000


def _read(*parts):
    path = DATA.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{'/'.join(parts)}: the recordings of ../shared/data are not here")
    return soundfile.read(path)


def _speechlike(seconds=2.0, seed=0):
    rng = np.random.default_rng(seed)
    time_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    voice = sum(np.sin(2 * np.pi * 120 * k * time_s) / k for k in range(1, 20))
    return 0.1 * voice * (1 + np.sin(2 * np.pi * 3 * time_s)) + 1e-3 * rng.standard_normal(len(time_s))


def test_the_standard_pair_has_its_published_values():
    reference, rate_hz = _read("pair_pesq", "speech.wav")
    estimate, _ = _read("pair_pesq", "speech_bab_0dB.wav")
    assert pesq_wb(reference, estimate, rate_hz) == pytest.approx(1.0832337141, abs=1e-6)
    assert stoi(reference, estimate, rate_hz) == pytest.approx(0.6739177, abs=1e-6)
    assert estoi(reference, estimate, rate_hz) == pytest.approx(0.39044999, abs=1e-6)


@pytest.mark.parametrize("name", ["audio_1.wav", "audio_2.wav"])
def test_published_pesq_stoi_and_si_sdr(name):
    reference, rate_hz = _read("pairs_speechscore", "clean", name)
    estimate, _ = _read("pairs_speechscore", "noisy", name)
    expected = json.loads((DATA / "pairs_speechscore" / "expected.json").read_text())[name]
    assert pesq_wb(reference, estimate, rate_hz) == pytest.approx(expected["PESQ"], abs=1e-5)
    assert stoi(reference, estimate, rate_hz) == pytest.approx(expected["STOI"], abs=1e-5)
    assert si_sdr(reference, estimate, rate_hz) == pytest.approx(expected["SISDR"], abs=1e-3)


@pytest.mark.parametrize("row", range(0, 14, 4))
def test_published_pesq_and_stoi_of_vbdemand(row):
    _read("triplet_vbdemand_cmgan", "clean", "p232_003.wav")
    with (DATA / "triplet_vbdemand_cmgan" / "noisy_metrics.csv").open() as file:
        expected = list(csv.DictReader(file))[row]
    clean, rate_hz = _read("triplet_vbdemand_cmgan", "clean", f"{expected['track']}.wav")
    noisy, _ = _read("triplet_vbdemand_cmgan", "noisy", f"{expected['track']}.wav")
    enhanced, _ = _read("triplet_vbdemand_cmgan", "enhanced_cmgan", f"{expected['track']}.wav")
    assert pesq_wb(clean, noisy, rate_hz) == pytest.approx(float(expected["pesq_py"]), abs=2e-3)
    assert stoi(clean, noisy, rate_hz) == pytest.approx(float(expected["stoi_py"]), abs=5e-3)
    assert pesq_wb(clean, enhanced, rate_hz, lengths="crop") > pesq_wb(clean, noisy, rate_hz)


def test_si_sdr_of_a_known_mixture_ignores_scale_and_offset():
    reference = _speechlike()
    centred = reference - reference.mean()
    noise = np.random.default_rng(1).standard_normal(len(reference))
    noise -= noise.mean() + (noise @ centred) / (centred @ centred) * centred
    noise *= np.sqrt((centred @ centred) / (noise @ noise) / 10.0)
    assert si_sdr(reference, 0.3 * (reference + noise) + 0.2, RATE_HZ) == pytest.approx(10.0, abs=1e-6)
    assert si_sdr(reference, reference, RATE_HZ) == pytest.approx(100.0)


@pytest.mark.parametrize("metric", [pesq_wb, stoi, estoi, si_sdr])
@pytest.mark.parametrize(
    ("estimate", "says"),
    [
        (np.zeros(32_000), "silent"),
        (np.full(32_000, np.nan), "NaN"),
        (np.ones((2, 16_000)), "mono"),
        (np.array([]), "not empty"),
        (_speechlike()[:-1], "must agree"),
    ],
)
def test_what_cannot_be_measured_is_an_error_and_not_a_number(metric, estimate, says):
    with pytest.raises(MetricError, match=says):
        metric(_speechlike(), estimate, RATE_HZ)


def test_too_short_clips_are_errors():
    clip = _speechlike(0.1)
    with pytest.raises(MetricError, match="pesq_wb"):
        pesq_wb(clip, clip, RATE_HZ)
    with pytest.raises(MetricError, match="stoi"):
        stoi(clip, clip, RATE_HZ)
    with pytest.raises(MetricError, match="16000 Hz, got 8000"):
        pesq_wb(clip, clip, 8_000)


def test_align_finds_the_delay_that_crop_does_not():
    reference = np.random.default_rng(3).standard_normal(8_000)
    late = np.concatenate([np.zeros(275), 0.5 * reference])
    assert si_sdr(reference, late, RATE_HZ, lengths="align") == pytest.approx(100.0)
    assert si_sdr(late[:8_000], reference, RATE_HZ, lengths="align") == pytest.approx(100.0)
    assert si_sdr(reference, late, RATE_HZ, lengths="crop") < 0.0
    left, right = matched(reference, late, RATE_HZ, lengths="crop")
    assert len(left) == len(right) == 8_000
