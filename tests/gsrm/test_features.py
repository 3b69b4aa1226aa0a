"""Features of sounds whose pitch, slopes, levels and lengths are known, and vowels whose times are known."""

import numpy as np
import pytest

from auricle.errors import MetricError
from auricle.gsrm.activity import ActivityConfig, speech_stretches
from auricle.gsrm.alignment import is_vowel
from auricle.gsrm.features import CLIP_MEASURES, VOWEL_FEATURES, measure, vowel_features
from auricle.gsrm.nuclei import NucleiConfig, Vowel, find_nuclei
from auricle.gsrm.praat import track
from auricle.scenes.synth.voice import speak
from tests.gsrm.sounds import RATE_HZ, row, silence, vowel


def _features(sound, start_s=0.1, end_s=0.3):
    values = vowel_features(track(sound, RATE_HZ), Vowel(start_s + 0.02, end_s - 0.02))
    return dict(zip(VOWEL_FEATURES, values, strict=True))


@pytest.mark.parametrize("pitch_hz", [90.0, 150.0, 240.0, 400.0])
def test_pitch_level_is_the_pitch(pitch_hz):
    sound, _ = row([vowel(pitch_hz)])
    assert _features(sound)["pitch"] == pytest.approx(pitch_hz, rel=0.01)


@pytest.mark.parametrize("slope_st_s", [-30.0, -10.0, 0.0, 20.0])
def test_slope_and_variation_are_those_of_a_glide(slope_st_s):
    sound, _ = row([vowel(160.0, slope_st_s)])
    found = _features(sound)
    assert found["pitch slope"] == pytest.approx(slope_st_s, abs=1.0)
    # A line over 0.16 s has the standard deviation slope x length / sqrt(12).
    assert found["pitch variation"] == pytest.approx(abs(slope_st_s) * 0.16 / np.sqrt(12), abs=0.1)


def test_a_wobble_is_variation_and_no_slope():
    sound, _ = row([vowel(200.0, wobble_st=1.0, duration_s=0.27)])
    found = _features(sound, 0.1, 0.37)
    assert found["pitch variation"] == pytest.approx(1.0 / np.sqrt(2), abs=0.15)
    assert abs(found["pitch slope"]) < 5.0  # two cycles of a sine are not quite level


def test_a_level_step_of_six_decibels_is_measured_as_such():
    sound, _ = row([vowel(level_db=-26.0), vowel(level_db=-20.0)])
    quiet, loud = _features(sound), _features(sound, 0.4, 0.6)
    assert loud["intensity"] - quiet["intensity"] == pytest.approx(6.0, abs=0.3)


def test_a_louder_recording_is_measured_the_same():
    sound, _ = row([vowel(120.0, 10.0), vowel(180.0, level_db=-26.0), vowel(150.0, -10.0)])
    once, twice = measure(sound, RATE_HZ), measure(2 * sound, RATE_HZ)
    np.testing.assert_allclose(once.values, twice.values, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(once.clip, twice.clip, rtol=1e-3, atol=1e-3)
    assert once.values[:, VOWEL_FEATURES.index("intensity")].mean() == pytest.approx(0.0, abs=1e-9)


def test_nuclei_are_found_where_the_vowels_are_and_as_long():
    durations_s = [0.1, 0.15, 0.25, 0.2]
    sound, centres = row([vowel(120.0 + 20 * k, duration_s=d) for k, d in enumerate(durations_s)])
    clip = measure(sound, RATE_HZ)
    assert [one.centre_s for one in clip.vowels] == pytest.approx(centres, abs=0.02)
    assert clip.values[:, VOWEL_FEATURES.index("duration")] == pytest.approx(durations_s, abs=0.04)


def test_noise_has_no_vowels_and_whispers_no_pitch():
    noise = (0.1 * np.random.default_rng(0).standard_normal(RATE_HZ)).astype(np.float32)
    clip = measure(noise, RATE_HZ)
    assert len(clip.vowels) <= 2
    assert not np.isfinite(clip.clip[CLIP_MEASURES.index("melody")])


def test_melody_and_dynamics_are_spreads_over_vowels():
    same, _ = row([vowel(150.0)] * 5)
    different, _ = row([vowel(pitch, level_db=level) for pitch, level in ((120, -20), (150, -26), (190, -20), (240, -26), (150, -20))])
    flat, lively = (dict(zip(CLIP_MEASURES, measure(sound, RATE_HZ).clip, strict=True)) for sound in (same, different))
    assert flat["melody"] < 0.2 < 3.0 < lively["melody"]
    assert flat["dynamics"] < 0.5 < 2.0 < lively["dynamics"]


def test_pauses_below_a_second_do_not_part_speech():
    near = np.concatenate([silence(0.2), vowel(), silence(0.8), vowel(), silence(0.2)])
    far = np.concatenate([silence(0.2), vowel(), silence(1.2), vowel(), silence(0.2)])
    assert len(speech_stretches(track(near, RATE_HZ), ActivityConfig())) == 1
    found = speech_stretches(track(far, RATE_HZ), ActivityConfig())
    assert [(round(one.start_s, 1), round(one.end_s, 1)) for one in found] == [(0.2, 0.4), (1.6, 1.8)]


@pytest.mark.parametrize(("sound", "says"), [(np.zeros(RATE_HZ, np.float32), "silent"), (vowel(duration_s=0.1), "0.3 s or more")])
def test_what_cannot_be_measured_is_an_error(sound, says):
    with pytest.raises(MetricError, match=says):
        measure(sound, RATE_HZ)


def test_nuclei_of_synthetic_speech_are_its_vowels():
    hits = true = found = 0
    for text, voice in (("The baker found a blue umbrella near the river.", "en-us+f2"), ("Nobody opened the heavy suitcase.", "en+m3")):
        utterance = speak(text, voice, sample_rate_hz=RATE_HZ)
        spoken = [one for one in utterance.phonemes if is_vowel(one.symbol)]
        heard = track(utterance.audio, RATE_HZ)
        nuclei = find_nuclei(heard, speech_stretches(heard, ActivityConfig()), NucleiConfig())
        centres = [one.centre_s for one in nuclei]
        hits += sum(any(one.start_s - 0.02 <= centre <= one.end_s + 0.02 for centre in centres) for one in spoken)
        true, found = true + len(spoken), found + len(nuclei)
    assert hits / true > 0.8
    assert found <= 1.1 * true
