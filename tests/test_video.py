"""Decoding to a constant rate by time stamps, damaged files, and mouth crops on real, drawn and faceless videos."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from auricle.audio import audio_info, read_audio
from auricle.errors import MediaError
from auricle.mouth import mouth_crops, mouth_track
from auricle.video import iterate_frames, read_frames, video_info

SIDE_PX = 64


def grey(level: int, side: int = SIDE_PX) -> np.ndarray:
    return np.full((side, side, 3), level, dtype=np.uint8)


def write_video(
    path: Path,
    pictures: list[np.ndarray],
    times_ms: list[int],
    *,
    codec: str = "libx264",
    sound: np.ndarray | None = None,
    layout: str = "mono",
) -> Path:
    """A video whose pictures carry these time stamps, with sound at 16 kHz where given."""
    # AVI has no time stamps, only a rate: one tick a picture.
    tick_ms = 40 if path.suffix == ".avi" else 1
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(tick_ms, 1000)
        track = container.add_stream("aac", rate=16_000, layout=layout) if sound is not None else None
        for picture, time_ms in zip(pictures, times_ms, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = time_ms // tick_ms, Fraction(tick_ms, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if track is not None and sound is not None:
            packed = np.atleast_2d(sound).astype(np.float32).T.reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(packed), format="flt", layout=layout)
            frame.sample_rate, frame.pts = 16_000, 0
            for block in (frame, None):
                container.mux(track.encode(block))
    return path


def levels(path: Path, frame_rate_hz: float = 25.0) -> np.ndarray:
    return np.array([int(np.median(picture)) for picture in iterate_frames(path, frame_rate_hz)])


def fault_of(path: Path) -> str:
    with pytest.raises(MediaError, match=path.name) as caught:
        read_frames(path)
    return caught.value.fault


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".mov", ".ts"])
def test_any_container_gives_the_same_pictures(tmp_path: Path, suffix: str) -> None:
    times = [40 * k for k in range(20)]
    path = write_video(
        tmp_path / f"v{suffix}", [grey(20 + 10 * k) for k in range(20)], times, codec="mpeg4" if suffix == ".avi" else "libx264"
    )
    assert np.abs(levels(path) - (20 + 10 * np.arange(20))).max() <= 4
    info = video_info(path)
    assert (info.width_px, info.height_px, info.has_sound) == (SIDE_PX, SIDE_PX, False)


@pytest.mark.parametrize(("rate_hz", "expected"), [(25.0, 25), (50.0, 50), (12.5, 12), (30.0, 30)])
def test_the_rate_changes_and_the_length_stays(tmp_path: Path, rate_hz: float, expected: int) -> None:
    path = write_video(tmp_path / "v.mp4", [grey(10 * k) for k in range(25)], [40 * k for k in range(25)])
    shown = levels(path, rate_hz)
    assert len(shown) == expected
    assert (np.diff(shown) >= 0).all()


def test_variable_rates_follow_the_time_stamps(tmp_path: Path) -> None:
    """A picture that stood for 200 ms is shown five times at 25 a second, whatever its number in the file."""
    path = write_video(tmp_path / "v.mkv", [grey(50), grey(100), grey(150), grey(200)], [0, 40, 240, 280])
    assert [round(level / 50) for level in levels(path)][:8] == [1, 2, 2, 2, 3, 3, 3, 4]


def test_missing_empty_foreign_and_soundless_files(tmp_path: Path) -> None:
    assert fault_of(tmp_path / "missing.mp4") == "missing"
    (tmp_path / "empty.mp4").touch()
    assert fault_of(tmp_path / "empty.mp4") == "empty"
    (tmp_path / "text.mp4").write_bytes(b"no video at all" * 100)
    assert fault_of(tmp_path / "text.mp4") == "unreadable"
    silent = write_video(tmp_path / "v.mp4", [grey(9)] * 3, [0, 40, 80])
    with pytest.raises(MediaError, match=r"v\.mp4: has no sound"):
        read_audio(silent, 16_000)


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.7, 0.95])
def test_cut_mp4_files_are_refused(tmp_path: Path, kept: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (30, SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    path = write_video(tmp_path / "v.mp4", list(noise), [40 * k for k in range(30)])
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    assert fault_of(path) in ("unreadable", "truncated", "empty")


def test_a_cut_mp4_whose_index_comes_first_is_refused_too(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (30, SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    whole = write_video(tmp_path / "whole.mp4", list(noise), [40 * k for k in range(30)])
    with av.open(str(whole)) as source, av.open(str(tmp_path / "v.mp4"), "w", options={"movflags": "faststart"}) as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                copy.mux(packet)
    path = tmp_path / "v.mp4"
    assert len(read_frames(path)) == 30
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.5)])
    assert fault_of(path) in ("unreadable", "truncated")


def test_a_cut_matroska_file_is_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (30, SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    path = write_video(tmp_path / "v.mkv", list(noise), [40 * k for k in range(30)])
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    assert fault_of(path) in ("unreadable", "truncated")


def test_damaged_bytes_give_pictures_and_sound_or_a_media_error(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    pictures = list(rng.integers(0, 255, (8, SIDE_PX, SIDE_PX, 3), dtype=np.uint8))
    whole = write_video(tmp_path / "whole.mov", pictures, [40 * k for k in range(8)], sound=rng.uniform(-0.3, 0.3, 5_000)).read_bytes()
    path, refused = tmp_path / "v.mov", 0
    for _ in range(60):
        data = bytearray(whole)
        # The index is at the end: that is where damage does most.
        for place in len(whole) - 1 - rng.integers(0, 2_500, 4):
            data[place] = rng.integers(256)
        path.write_bytes(data)
        try:
            assert read_frames(path).ndim == 3
            assert np.isfinite(read_audio(path, 16_000)).all()
        except MediaError:
            refused += 1
    assert 0 < refused < 60


def test_time_stamps_that_jump_do_not_fill_the_memory(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mkv", [grey(50), grey(100), grey(150)], [0, 40, 3_600_000])
    with pytest.raises(MediaError, match="damaged time stamps"):
        read_frames(path)


def test_the_sound_of_a_video_lies_on_its_picture(tmp_path: Path) -> None:
    sound = np.zeros(16_000)
    sound[8_000:8_200] = 0.9 * np.sin(np.arange(200))
    path = write_video(tmp_path / "v.mp4", [grey(200 if k >= 12 else 20) for k in range(25)], [40 * k for k in range(25)], sound=sound)
    assert video_info(path).has_sound
    heard = read_audio(path, 16_000)
    assert np.abs(heard).argmax() == pytest.approx(8_100, abs=160)
    assert int((levels(path) > 100).argmax()) == 12


@pytest.mark.parametrize(("layout", "channels"), [("stereo", 2), ("5.1", 6), ("7.1", 8)])
def test_sound_of_many_channels(tmp_path: Path, layout: str, channels: int) -> None:
    time_s = np.arange(16_000) / 16_000
    sound = np.stack([0.2 * np.sin(2 * np.pi * 100 * (k + 1) * time_s) for k in range(channels)])
    path = write_video(tmp_path / "v.mp4", [grey(9)] * 25, [40 * k for k in range(25)], sound=sound, layout=layout)
    assert audio_info(path).channels == channels
    assert len(read_audio(path, 16_000)) == pytest.approx(16_000, abs=1100)
    heard = read_audio(path, 16_000, channel=1)[4000:12_000]
    assert np.abs(np.fft.rfft(heard)).argmax() / len(heard) * 16_000 == pytest.approx(200, abs=4)


def test_a_face_is_followed_on_real_talkers(shared_data: Path) -> None:
    for path in sorted((shared_data / "av_grid").glob("*.mpg")):
        crops = mouth_crops(path, 25.0, 32)
        assert crops.face_found
        assert crops.frames.shape == (75, 32, 32)
        assert crops.frames.dtype == np.uint8
        # The lips are where the picture moves: the middle of a mouth crop changes more than its border.
        motion = np.abs(np.diff(crops.frames.astype(float), axis=0)).mean(axis=0)
        assert motion[10:22, 8:24].mean() > 1.2 * np.concatenate([motion[:4].ravel(), motion[:, :4].ravel(), motion[:, -4:].ravel()]).mean()


def test_without_a_face_the_crop_is_below_the_middle(tmp_path: Path) -> None:
    picture = np.zeros((224, 224, 3), dtype=np.uint8)
    picture[101:190, 68:156] = 200
    crops = mouth_crops(write_video(tmp_path / "v.mp4", [picture] * 5, [40 * k for k in range(5)]), 25.0, 32)
    assert not crops.face_found
    assert crops.frames[:, 2:-2, 2:-2].min() > 150


@pytest.mark.parametrize("shape", [(32, 512), (512, 32), (16, 16)])
def test_odd_shapes_still_give_square_crops(tmp_path: Path, shape: tuple[int, int]) -> None:
    path = write_video(tmp_path / "v.mp4", [np.full((*shape, 3), 90, dtype=np.uint8)] * 3, [0, 40, 80])
    assert mouth_crops(path, 25.0, 48).frames.shape == (3, 48, 48)


def test_false_alarms_and_gaps_do_not_move_the_track() -> None:
    face, poster = np.array([100.0, 80.0, 50.0, 50.0]), np.array([10.0, 10.0, 60.0, 60.0])
    steady = mouth_track([face] * 10, 5, 50, 25.0)
    assert steady is not None
    assert np.ptp(steady, axis=0).max() == pytest.approx(0.0, abs=1e-9)
    disturbed = mouth_track([face, poster, None, face, face, face, None, face, poster, face], 5, 50, 25.0)
    assert disturbed is not None
    assert np.allclose(disturbed, steady)
    assert mouth_track([None] * 9 + [face], 5, 50, 25.0) is None
    assert mouth_track([], 5, 0, 25.0) is None
