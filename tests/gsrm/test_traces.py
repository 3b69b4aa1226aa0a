"""What clipping, lost packets, noise and low-pass filters leave behind, on sounds to which just that was done."""

import numpy as np
import pytest
from scipy import signal

from auricle.gsrm.traces import trace_measures
from auricle.scenes.synth.voice import speak

RATE_HZ = 16_000
NAMES = ("flatness", "holes", "jumps", "hiss", "grain", "voids")


@pytest.fixture(scope="module")
def speech():
    audio = speak("The boat is near the old bridge. They will meet again in seven days.", "en-us+f2").audio[: 3 * RATE_HZ]
    rng = np.random.default_rng(0)
    return (0.1 * audio / np.abs(audio).max() + 1e-5 * rng.standard_normal(len(audio))).astype(np.float32)


def _traces(audio):
    return dict(zip(NAMES, trace_measures(audio, RATE_HZ), strict=True))


def test_the_level_leaves_no_trace(speech):
    np.testing.assert_allclose(trace_measures(0.05 * speech, RATE_HZ), trace_measures(speech, RATE_HZ), rtol=1e-3, atol=1e-3)


def test_clipping_is_flat(speech):
    limit = np.quantile(np.abs(speech), 0.9)
    assert _traces(np.clip(speech, -limit, limit))["flatness"] > _traces(speech)["flatness"] + 0.5


def test_lost_packets_are_holes_with_jumps(speech):
    lost = speech.copy()
    for start_s in (0.5, 0.9, 1.4):
        lost[round(start_s * RATE_HZ) : round((start_s + 0.1) * RATE_HZ)] = 0.0
    before, after = _traces(speech), _traces(lost)
    assert after["holes"] > before["holes"] + 0.3
    assert after["jumps"] > before["jumps"] + 10.0


def test_noise_hisses_and_fills_voids_and_holes(speech):
    before, after = _traces(speech), _traces(speech + 0.01 * np.random.default_rng(1).standard_normal(len(speech)).astype(np.float32))
    assert after["hiss"] > before["hiss"] + 1.0
    assert after["voids"] <= before["voids"]
    assert after["holes"] <= before["holes"]
    assert after["jumps"] < before["jumps"]


def test_a_low_pass_leaves_voids_and_no_hiss(speech):
    muffled = signal.sosfilt(signal.butter(8, 2000, fs=RATE_HZ, output="sos"), speech).astype(np.float32)
    before, after = _traces(speech), _traces(muffled)
    assert after["voids"] > before["voids"]
    assert after["hiss"] < before["hiss"]


def test_what_needs_high_frequencies_is_not_measured_at_a_low_rate(speech):
    found = dict(zip(NAMES, trace_measures(speech[::2], RATE_HZ // 2), strict=True))
    assert np.isnan(found["hiss"])
    assert np.isnan(found["voids"])
    assert np.isfinite([found["flatness"], found["holes"], found["jumps"], found["grain"]]).all()
