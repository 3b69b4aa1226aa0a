"""Training clips: everything follows from the seed, and a remix is its target plus scaled interference at the SNR that was drawn."""

from dataclasses import replace

import numpy as np
import pytest

from auricle.errors import SceneError
from auricle.learning.remix import ClipBank, RemixConfig
from tests.talking import talking_scenes

NETWORK = {"sample_rate_hz": 16_000, "frame_rate_hz": 25.0, "frame_size_px": 16}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return talking_scenes(tmp_path_factory.mktemp("corpus"), 4)


def bank(scenes, **values):
    return ClipBank(scenes, RemixConfig(**{"crop_s": 0.8, **values}), **NETWORK)


def snr_db(example):
    noise = example.mix - example.target
    return 10 * np.log10(np.mean(example.target**2) / np.mean(noise**2))


def test_an_example_is_its_seed(scenes):
    one, other = bank(scenes), bank(scenes)
    for seed in range(6):
        first, second = one.example(seed % 4, seed), other.example(seed % 4, seed)
        for name in ("mix", "target", "frames"):
            assert np.array_equal(getattr(first, name), getattr(second, name))
    assert not np.array_equal(one.example(0, 1).mix, one.example(0, 2).mix)


def test_shapes_are_the_crops_whatever_is_drawn(scenes):
    for crop_s in (0.4, 0.83, 2.0):
        for seed in range(8):
            example = bank(scenes, crop_s=crop_s).example(seed % 4, seed)
            assert example.mix.shape == example.target.shape == (round(crop_s * 16_000),)
            assert example.frames.shape == (int(np.ceil(crop_s * 25 - 1e-6)), 16, 16)
            assert example.mix.dtype == np.float32


def test_without_augmentation_it_is_the_scene_as_recorded(scenes):
    plain = bank(scenes, crop_s=1.2, swap=0.0, snr_jitter_db=0.0, mirror=0.0, video_dropout=0.0).example(1, 5)
    from auricle.scenes.loading import load_clip

    clip = load_clip(scenes[1], **NETWORK)
    np.testing.assert_allclose(plain.mix, clip.mix, atol=2e-4)
    np.testing.assert_allclose(plain.target, clip.target, atol=2e-4)
    assert np.array_equal(plain.frames, clip.frames)


def test_swapped_interference_keeps_the_scenes_own_snr_up_to_the_jitter(scenes):
    swapped = bank(scenes, crop_s=1.2, swap=1.0, snr_jitter_db=4.0)
    own = snr_db(bank(scenes, crop_s=1.2, swap=0.0, snr_jitter_db=0.0).example(0, 0))
    found = [snr_db(swapped.example(0, seed)) - own for seed in range(40)]
    assert max(np.abs(found)) < 4.5
    assert np.std(found) > 1.0


def test_pictures_are_left_out_as_often_as_asked_and_mirrored(scenes):
    dark = [not bank(scenes, video_dropout=0.5).example(0, seed).frames.any() for seed in range(60)]
    assert 15 < sum(dark) < 45
    straight = bank(scenes, mirror=0.0, video_dropout=0.0).example(2, 3)
    mirrored = bank(scenes, mirror=1.0, video_dropout=0.0).example(2, 3)
    assert np.array_equal(straight.frames[:, :, ::-1], mirrored.frames)
    blind = ClipBank(scenes, RemixConfig(crop_s=0.8), **NETWORK, with_video=False)
    assert blind.example(0, 0).frames is None


def test_the_cache_is_bounded_and_a_scene_without_target_is_refused(scenes):
    small = bank(scenes, cached_scenes=2)
    for index in range(4):
        small.example(index, index)
    assert len(small._kept) == 2
    with pytest.raises(SceneError, match="S00002"):
        bank([*scenes[:2], replace(scenes[2], target=None)])
