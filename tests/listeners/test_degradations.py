"""Labelled damages do what their labels say."""

import numpy as np
import pytest

from auricle.listeners.degradations import MAKERS, SHARES, degrade, merged, scaled_to_ratio
from auricle.listeners.labels import Damage, make_labels, quality_from_pesq
from auricle.listeners.nonspeech import WAYS, no_speech
from auricle.listeners.suppression import suppress
from auricle.scenes.synth.voice import speak

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    audio = speak("The baker found a blue umbrella behind the station and sold it before lunch.").audio[: 3 * RATE_HZ]
    return np.resize(audio, 3 * RATE_HZ).astype(np.float32)


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(1).standard_normal(3 * RATE_HZ).astype(np.float32)


@pytest.mark.parametrize("kind", SHARES)
def test_every_damage_keeps_length_and_stays_within_the_clip(kind: str, speech: np.ndarray, noise: np.ndarray) -> None:
    for seed in range(4):
        result = degrade(speech, noise, RATE_HZ, np.random.default_rng(seed), kind)
        assert result.audio.shape == speech.shape
        assert result.audio.dtype == np.float32
        assert np.isfinite(result.audio).all()
        for damage in result.damages:
            assert 0.0 <= damage.severity <= 1.0
            assert all(0.0 <= start_s < end_s <= 3.5 for start_s, end_s in damage.spans)


def test_equal_generators_give_equal_clips(speech: np.ndarray, noise: np.ndarray) -> None:
    first, second = (degrade(speech, noise, RATE_HZ, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(first.audio, second.audio)
    assert first.damages == second.damages


def test_shares_are_a_distribution_and_suppression_leads() -> None:
    assert sum(SHARES.values()) == pytest.approx(1.0)
    assert set(SHARES) == set(MAKERS)
    assert max(SHARES, key=lambda kind: SHARES[kind]) == "suppression"


def test_noise_comes_at_the_ratio_it_says(speech: np.ndarray, noise: np.ndarray) -> None:
    added = scaled_to_ratio(noise, speech, 7.0)
    assert 10 * np.log10(np.mean(speech**2) / np.mean(added**2)) == pytest.approx(7.0, abs=1e-3)


def test_drop_outs_are_silent_where_they_say_and_only_there(speech: np.ndarray, noise: np.ndarray) -> None:
    audio, (damage,) = MAKERS["drop-outs"](speech, noise, RATE_HZ, np.random.default_rng(3))
    lost = np.zeros(len(speech), dtype=bool)
    for start_s, end_s in damage.spans:
        lost[int((start_s + 0.006) * RATE_HZ) : int((end_s - 0.006) * RATE_HZ)] = True
        touched = slice(max(0, int((start_s - 0.006) * RATE_HZ)), int((end_s + 0.006) * RATE_HZ))
        speech = speech.copy()
        speech[touched] = audio[touched]
    assert np.abs(audio[lost]).max() == 0.0
    np.testing.assert_allclose(audio, speech, atol=1e-6)


def test_stronger_noise_is_more_severe(speech: np.ndarray, noise: np.ndarray) -> None:
    pairs = []
    for seed in range(30):
        _, (damage,) = MAKERS["noise"](speech, noise, RATE_HZ, np.random.default_rng(seed))
        if damage.spans == ((0.0, 3.0),):
            pairs.append((damage.parameters["snr_db"], damage.severity))
    ordered = [severity for _, severity in sorted(pairs)]
    assert len(pairs) > 10
    assert ordered == sorted(ordered, reverse=True)


def test_masks_take_noise_and_say_how_much(speech: np.ndarray, noise: np.ndarray) -> None:
    mixed = scaled_to_ratio(noise, speech, 0.0)
    gains = [suppress(speech, mixed, RATE_HZ, np.random.default_rng(seed)).residual_snr_db for seed in range(12)]
    assert np.median(gains) > 3.0
    result = suppress(speech, mixed, RATE_HZ, np.random.default_rng(0))
    kept = result.audio - result.residual_noise
    measured = 10 * np.log10(np.sum(kept**2) / np.sum(result.residual_noise**2))
    assert measured == pytest.approx(result.residual_snr_db, abs=2.0)


@pytest.mark.parametrize("way", WAYS)
def test_no_speech_is_rated_one(way: str, speech: np.ndarray, noise: np.ndarray) -> None:
    audio, damages = no_speech(speech, noise, RATE_HZ, np.random.default_rng(0), way)
    assert audio.shape == speech.shape
    labels = make_labels(None, damages, 3.0)
    assert labels.quality == 1.0
    assert labels.pesq is None


def test_silent_speech_breaks_no_damage() -> None:
    silence = np.zeros(RATE_HZ, dtype=np.float32)
    silence[8000] = 1e-3
    noise = np.random.default_rng(0).standard_normal(RATE_HZ).astype(np.float32)
    for kind in SHARES:
        assert np.isfinite(degrade(silence, noise, RATE_HZ, np.random.default_rng(0), kind).audio).all()


def test_quality_undoes_the_logistic_of_pesq() -> None:
    scores = [quality_from_pesq(pesq) for pesq in (1.02, 1.1, 1.5, 2.5, 3.5, 4.64)]
    assert scores == sorted(scores)
    assert scores[0] == 1.0
    assert scores[-1] > 4.95
    # Half way up the logistic lies raw 3.8224 / 1.3669 = 2.796.
    assert quality_from_pesq(0.999 + 2.0) == pytest.approx(1 + 4 * (3.8224 / 1.3669) / 4.5)


def test_a_muffled_clip_is_no_better_than_it_sounds_whatever_pesq_says(speech: np.ndarray, noise: np.ndarray) -> None:
    _, damages = MAKERS["muffling"](speech, noise, RATE_HZ, np.random.default_rng(2))
    assert make_labels(4.5, damages, 3.0).quality == pytest.approx(5.0 - 3.6 * damages[0].severity)


def test_a_room_is_no_fault_of_what_was_said_in_it(speech: np.ndarray, noise: np.ndarray) -> None:
    alone = degrade(speech, noise, RATE_HZ, np.random.default_rng(4), "reverberation")
    np.testing.assert_array_equal(alone.audio, alone.reference)
    rooms = [degrade(speech, noise, RATE_HZ, np.random.default_rng(seed)) for seed in range(60)]
    second = [
        one for one in rooms if one.kind not in ("clean", "reverberation", "no speech") and one.damages[-1].artefact == "reverberation"
    ]
    assert second
    for one in second:
        assert not np.array_equal(one.reference, speech)
        assert not np.array_equal(one.reference, one.audio)
    dry = degrade(speech, noise, RATE_HZ, np.random.default_rng(4), "noise")
    np.testing.assert_array_equal(dry.reference, speech)


def test_a_light_room_costs_little_and_a_hall_much() -> None:
    qualities = [make_labels(4.64, (Damage("reverberation", severity, ((0.0, 3.0),)),), 3.0).quality for severity in (0.0, 0.2, 1.0)]
    assert qualities[0] > qualities[1] > 4.7 > 3.0 > qualities[2]


def test_merged_spans_do_not_overlap() -> None:
    assert merged([(0.5, 0.8), (0.0, 0.2), (0.7, 1.0)]) == ((0.0, 0.2), (0.5, 1.0))
    assert merged([(0.0, 0.2), (0.24, 0.4)], gap_s=0.05) == ((0.0, 0.4),)
