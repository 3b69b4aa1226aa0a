"""Mixing: levels, kinds, ramps, and the sum that holds to the last bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.config import build
from auricle.errors import ConfigError, MediaError, SceneError
from auricle.levels import speech_weighted_snr_db
from auricle.scenes.mixing import MixConfig, draw_kinds, excerpt, high_pass, in_room, mix, ramped, scene_rng, sum_interferers

RATE_HZ = 16000


def _sounds(seed, samples=RATE_HZ):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(1, samples)) * 10 ** rng.uniform(-3, 1) for _ in range(2)]


@settings(max_examples=20, deadline=None)
@given(snr_db=st.floats(-30, 40), seed=st.integers(0, 1000))
def test_the_mix_is_the_sum_and_has_the_asked_level(snr_db, seed):
    target, interferer = _sounds(seed)
    made = mix(target, target, interferer, RATE_HZ, snr_db)
    assert np.array_equal(made.mix, made.target + made.interferer)
    assert np.array_equal(made.mix.astype(int), made.target.astype(int) + made.interferer.astype(int))
    assert max(int(np.abs(part.astype(int)).max()) for part in (made.mix, made.target, made.interferer)) <= 0.9 * 32768 + 1
    # At 40 dB the weaker part is only some tens of 16-bit steps high.
    assert speech_weighted_snr_db(made.target[0] / 32768, made.interferer[0] / 32768, RATE_HZ) == pytest.approx(snr_db, abs=0.05)


def test_all_parts_share_one_factor():
    target, interferer = _sounds(3)
    made = mix(target, 0.5 * target, interferer, RATE_HZ, 0.0)
    assert np.abs(made.target_anechoic - made.target / 2).max() <= 1
    factor = made.target[0] @ target[0] / (target[0] @ target[0])
    assert np.abs(made.target - factor * target).max() <= 1


def test_ears_get_the_gains_of_the_microphone():
    target, interferer = _sounds(4)
    three = mix(np.repeat(target, 3, axis=0), target, np.concatenate([interferer, 0 * interferer, interferer]), RATE_HZ, 3.0)
    assert np.array_equal(three.mix[2], three.mix[0])
    assert np.array_equal(three.mix[1], three.target[0])


def test_silence_has_no_level():
    target, interferer = _sounds(5)
    with pytest.raises(MediaError, match="silent"):
        mix(target, target, 0 * interferer, RATE_HZ, 0.0)
    rumble = np.sin(2 * np.pi * 5 * np.arange(RATE_HZ) / RATE_HZ)[None, :]
    with pytest.raises(SceneError, match="interferer 2 of 2"):
        sum_interferers([interferer, 1e-6 * rumble], RATE_HZ, MixConfig(), np.random.default_rng(0))


def test_interferers_of_one_scene_are_about_equally_loud():
    loud, quiet = _sounds(6)
    config = MixConfig(level_spread_db=0.0, ramp_s=0.0)
    rng = np.random.default_rng(0)
    both = sum_interferers([loud, quiet * 1e-3], RATE_HZ, config, rng)
    alone = [sum_interferers([part], RATE_HZ, config, rng) for part in (loud, quiet)]
    assert np.allclose(both, alone[0] + alone[1], rtol=1e-6, atol=1e-6)


def test_kinds_have_at_most_one_piece_of_music_and_the_asked_shares():
    rng = np.random.default_rng(0)
    scenes = [draw_kinds(rng, MixConfig()) for _ in range(4000)]
    assert all(1 <= len(kinds) <= 3 and kinds.count("music") <= 1 for kinds in scenes)
    assert {len(kinds) for kinds in scenes} == {1, 2, 3}
    assert np.mean(["speech" in kinds for kinds in scenes]) == pytest.approx(0.41, abs=0.03)
    assert all(kinds == ["music"] for kinds in (draw_kinds(rng, MixConfig(), ["music"]) for _ in range(50)))
    with pytest.raises(SceneError, match="no interferer"):
        draw_kinds(rng, MixConfig(speech_share=0.0), ["speech"])


@pytest.mark.parametrize(
    "faulty", [{"snr_db_min": 5.0, "snr_db_max": 0.0}, {"speech_share": 0.7, "music_share": 0.6}, {"count_shares": (0, 0, 0)}]
)
def test_impossible_mixing_is_refused(faulty):
    with pytest.raises(ConfigError):
        build(MixConfig, faulty, source="test")


def test_ramps_are_half_cosines_and_never_overlap():
    faded = ramped(np.ones(1000), 1000, 0.1)
    assert faded[0] < 0.001
    assert np.all(np.diff(faded[:100]) > 0)
    assert np.all(faded[100:900] == 1)
    assert np.allclose(faded, faded[::-1])
    assert ramped(np.ones(10), 1000, 5.0)[5] == 1


@given(available=st.integers(1, 50), samples=st.integers(1, 80), loop=st.booleans(), seed=st.integers(0, 100))
def test_excerpts_have_the_asked_length_and_come_from_the_sound(available, samples, loop, seed):
    audio = np.arange(1.0, available + 1)
    part, offset = excerpt(audio, samples, np.random.default_rng(seed), loop=loop)
    assert len(part) == samples
    assert 0 <= offset < available
    if available >= samples:
        assert np.array_equal(part, audio[offset : offset + samples])
    elif loop:
        assert np.array_equal(part, np.resize(np.roll(audio, -offset), samples))
    else:
        assert np.array_equal(part[part > 0], audio)


def test_high_pass_takes_rumble_and_leaves_speech():
    time_s = np.arange(RATE_HZ) / RATE_HZ
    level = {hz: high_pass(np.sin(2 * np.pi * hz * time_s), RATE_HZ, 80.0)[RATE_HZ // 2 :].std() for hz in (20, 400)}
    assert level[20] < 0.01
    assert level[400] == pytest.approx(np.sqrt(0.5), rel=0.01)


def test_a_room_of_one_tap_changes_nothing():
    audio = np.random.default_rng(0).normal(size=100)
    assert np.allclose(in_room(audio, np.ones((1, 1)))[0], audio)


def test_draws_of_different_streams_splits_and_scenes_differ():
    draws = {
        scene_rng(seed, split, index, stream).integers(2**62)
        for seed in (0, 1)
        for split in ("train", "dev", "eval")
        for index in (0, 1)
        for stream in ("face", "sound")
    }
    assert len(draws) == 24
    assert scene_rng(0, "dev", 1, "face").integers(2**62) in draws
