"""Crops of sound and picture lie on each other, have exactly the wanted length, and come from a cache that may be damaged or absent."""

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.audio import write_audio
from auricle.enhancers.registry import build_enhancer
from auricle.errors import MediaError
from auricle.scenes.cache import cached_crops
from auricle.scenes.checks import check_scenes
from auricle.scenes.film import write_film
from auricle.scenes.layouts import list_scenes
from auricle.scenes.loading import load_clip
from auricle.scenes.scene import Scene

RATE_HZ, FRAMES_HZ, SIZE_PX = 16_000, 25.0, 32
OPTIONS = {"sample_rate_hz": RATE_HZ, "frame_rate_hz": FRAMES_HZ, "frame_size_px": SIZE_PX}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def film(path: Path, pictures: int, first_level: int = 20) -> Path:
    """Picture k is evenly grey at first_level + 3 k."""
    write_film(path, (np.full((64, 64, 3), first_level + 3 * k, dtype=np.uint8) for k in range(pictures)), FRAMES_HZ)
    return path


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """2 s in which the sample at second t is t / 4, and the picture at second t is as bright as 20 + 75 t."""
    ramp = np.arange(2 * RATE_HZ) / RATE_HZ / 4
    for name, audio in (("mix", ramp), ("target", ramp / 2)):
        write_audio(tmp_path / f"{name}.wav", audio, RATE_HZ)
    return Scene("s", "train", tmp_path / "mix.wav", film(tmp_path / "v.mp4", 50), tmp_path / "target.wav")


def test_the_whole_clip(scene: Scene) -> None:
    clip = load_clip(scene, **OPTIONS)
    assert clip.frames is not None
    assert clip.target is not None
    assert (clip.mix.shape, clip.target.shape, clip.frames.shape) == ((32_000,), (32_000,), (50, 32, 32))
    assert (clip.mix.dtype, clip.frames.dtype, clip.sample_rate_hz, clip.frame_rate_hz) == (np.float32, np.uint8, RATE_HZ, FRAMES_HZ)


@settings(max_examples=40, deadline=None)
@given(first=st.integers(0, 49), count=st.integers(1, 80))
def test_a_crop_has_its_length_and_sound_and_picture_agree(tmp_path_factory: pytest.TempPathFactory, first: int, count: int) -> None:
    folder = tmp_path_factory.getbasetemp() / "ramp"
    if not folder.is_dir():
        folder.mkdir()
        write_audio(folder / "mix.wav", np.arange(2 * RATE_HZ) / RATE_HZ / 4, RATE_HZ)
        film(folder / "v.mp4", 50)
    start_s, duration_s = first / FRAMES_HZ, count / FRAMES_HZ
    clip = load_clip(Scene("s", "train", folder / "mix.wav", folder / "v.mp4"), **OPTIONS, start_s=start_s, duration_s=duration_s)
    assert clip.frames is not None
    assert (len(clip.mix), len(clip.frames)) == (count * 640, count)
    inside = min(count, 50 - first)
    heard_s = clip.mix[: inside * 640 : 640] * 4
    seen_s = (np.median(clip.frames[:inside], axis=(1, 2)) - 20) / 75
    assert np.allclose(heard_s, start_s + np.arange(inside) / FRAMES_HZ, atol=1e-3)
    assert np.allclose(seen_s, heard_s, atol=0.04)
    assert (clip.mix[inside * 640 :] == 0).all()
    assert (clip.frames[inside:] == clip.frames[inside - 1]).all()


def test_pictures_cover_the_sound_when_the_film_is_a_little_shorter_or_longer(scene: Scene, tmp_path: Path) -> None:
    for pictures in (46, 54):
        clip = load_clip(replace(scene, video=film(tmp_path / f"{pictures}.mp4", pictures)), **OPTIONS)
        assert clip.frames is not None
        assert len(clip.frames) == 50


@pytest.mark.parametrize("pictures", [40, 60])
def test_a_larger_mismatch_names_both_files(scene: Scene, tmp_path: Path, pictures: int) -> None:
    other = replace(scene, video=film(tmp_path / "other.mp4", pictures))
    with pytest.raises(MediaError, match=r"other\.mp4 lasts .* s, .*mix\.wav lasts 2\.000 s: more than 0\.2 s apart") as caught:
        load_clip(other, **OPTIONS)
    assert caught.value.fault == "length"
    assert load_clip(other, **OPTIONS, max_mismatch_s=0.5).frames is not None
    assert load_clip(other, **OPTIONS, with_video=False).frames is None


def test_a_target_of_another_length(scene: Scene, tmp_path: Path) -> None:
    write_audio(tmp_path / "target.wav", np.full(2 * RATE_HZ - 100, 0.1), RATE_HZ)
    clip = load_clip(scene, **OPTIONS)
    assert clip.target is not None
    assert len(clip.target) == len(clip.mix)
    write_audio(tmp_path / "target.wav", np.full(RATE_HZ, 0.1), RATE_HZ)
    with pytest.raises(MediaError, match=r"target\.wav lasts 1\.000 s"):
        load_clip(scene, **OPTIONS)


@pytest.mark.parametrize(
    "part", [{"start_s": 2.0}, {"start_s": -0.1}, {"duration_s": 0.0}, {"start_s": float("nan")}, {"duration_s": float("nan")}]
)
def test_parts_that_do_not_exist(scene: Scene, part: dict[str, float]) -> None:
    with pytest.raises(MediaError, match="asked for"):
        load_clip(scene, **OPTIONS, **part)


def test_other_rates_are_resampled(scene: Scene, tmp_path: Path) -> None:
    write_audio(tmp_path / "mix.wav", np.full(88_200, 0.25), 44_100)
    clip = load_clip(scene, **OPTIONS, start_s=0.52, duration_s=1.0)
    assert len(clip.mix) == RATE_HZ
    assert np.allclose(clip.mix, 0.25, atol=1e-3)


def test_the_reference_channel_of_binaural_files(scene: Scene, tmp_path: Path) -> None:
    left, right = np.full(2 * RATE_HZ, 0.5), np.full(2 * RATE_HZ, -0.25)
    soundfile.write(tmp_path / "mix.wav", np.stack([left, right], axis=1), RATE_HZ)
    assert np.allclose(load_clip(replace(scene, channel=0), **OPTIONS).mix, 0.5)
    assert np.allclose(load_clip(scene, **OPTIONS).mix, 0.125)


def test_a_video_with_sound_is_a_whole_scene(shared_data: Path) -> None:
    for scene in list_scenes(shared_data / "av_grid"):
        clip = load_clip(scene, **OPTIONS)
        assert clip.frames is not None
        assert len(clip.frames) == 75
        assert 2.95 < len(clip.mix) / RATE_HZ < 3.0


def entries(cache: Path) -> list[Path]:
    return sorted(path for path in cache.rglob("*") if path.is_file())


def test_crops_are_kept_by_content_rate_and_size(scene: Scene, cache: Path, tmp_path: Path) -> None:
    first = load_clip(scene, **OPTIONS)
    (entry,) = entries(cache)
    assert entry.suffix == ".safetensors"
    moved = tmp_path / "elsewhere.mp4"
    assert scene.video is not None
    scene.video.rename(moved)
    assert (load_clip(replace(scene, video=moved), **OPTIONS).frames == first.frames).all()
    assert entries(cache) == [entry]
    cached_crops(moved, FRAMES_HZ, 48)
    cached_crops(moved, 50.0, SIZE_PX)
    assert len(entries(cache)) == 3
    film(moved, 50, first_level=60)
    changed = load_clip(replace(scene, video=moved), **OPTIONS).frames
    assert changed is not None
    assert (changed != first.frames).any()


@pytest.mark.parametrize("damage", [b"", b"junk", None])
def test_a_damaged_entry_is_made_anew(scene: Scene, cache: Path, damage: bytes | None, caplog: pytest.LogCaptureFixture) -> None:
    first = load_clip(scene, **OPTIONS)
    (entry,) = entries(cache)
    whole = entry.read_bytes()
    entry.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    with caplog.at_level(logging.WARNING):
        assert (load_clip(scene, **OPTIONS).frames == first.frames).all()
    assert "made anew" in caplog.text
    assert entry.read_bytes() == whole


def test_a_cache_that_cannot_be_written_is_done_without(scene: Scene, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache.write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        assert load_clip(scene, **OPTIONS).frames is not None
    assert "AURICLE_CACHE" in caplog.text


def test_many_readers_of_one_empty_cache_agree_and_leave_one_entry(scene: Scene, cache: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        clips = list(pool.map(lambda _: load_clip(scene, **OPTIONS), range(16)))
    assert all((clip.frames == clips[0].frames).all() for clip in clips)
    assert len(entries(cache)) == 1


def test_an_enhancer_that_wants_the_middle_gets_it(tmp_path: Path) -> None:
    """The middle of each picture is bright, and half as wide; the mouth's fixed box lies lower."""
    picture = np.full((224, 224, 3), 40, dtype=np.uint8)
    picture[56:168, 56:168] = 200
    write_film(tmp_path / "v.mp4", [picture] * 25, FRAMES_HZ)
    write_audio(tmp_path / "mix.wav", 0.1 * np.ones(RATE_HZ), RATE_HZ)
    scene = Scene("s", "train", tmp_path / "mix.wav", tmp_path / "v.mp4")
    wanted = build_enhancer(
        "avsec4", {"filters": 4, "features": 4, "hidden": 4, "blocks": 1, "repeats": 1, "visual_channels": 1}
    ).clip_format
    assert (wanted["frame_size_px"], wanted["crop"]) == (112, "centre")
    middle = load_clip(scene, **wanted).frames
    assert middle is not None
    assert middle.shape == (25, 112, 112)
    assert np.abs(middle[:, 3:-3, 3:-3].astype(int) - 200).max() < 12
    mouth = load_clip(scene, **{**wanted, "crop": "mouth"}).frames
    assert mouth is not None
    assert mouth[:, -10:].mean() < 120  # not the other kind's entry of the cache
    assert (load_clip(scene, **wanted).frames == middle).all()
    check_scenes([scene], **wanted, show=False)
    assert len(list((tmp_path / "cache" / "mouth").rglob("*.safetensors"))) == 2
