"""Reading refuses what cannot be used and says why; writing is exact and reproducible."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.audio import audio_info, read_audio, sound_duration_s, write_audio
from auricle.errors import MediaError

RATE_HZ = 16_000


def tone(seconds: float = 0.5, rate_hz: int = RATE_HZ, hz: float = 440.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)).astype(np.float32)


def fault_of(path: Path, **options: object) -> str:
    with pytest.raises(MediaError, match=path.name) as caught:
        read_audio(path, RATE_HZ, **options)
    return caught.value.fault


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(-32768, 32767), min_size=1, max_size=400))
def test_sixteen_bit_audio_reads_back_to_the_same_integers(tmp_path_factory: pytest.TempPathFactory, steps: list[int]) -> None:
    path = tmp_path_factory.mktemp("exact") / "a.wav"
    assert write_audio(path, np.array(steps) / 32768, RATE_HZ) == 0
    assert (np.rint(read_audio(path, RATE_HZ) * 32768) == steps).all()


@pytest.mark.parametrize("encoding", ["pcm16", "float32"])
def test_equal_audio_gives_equal_bytes_and_no_temporary_files(tmp_path: Path, encoding: str) -> None:
    for name in ("a.wav", "b.wav"):
        write_audio(tmp_path / name, tone(), RATE_HZ, encoding=encoding)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav", "b.wav"]


def test_float_audio_above_full_scale_survives_as_float_and_is_counted_as_clipped_in_sixteen_bit(tmp_path: Path) -> None:
    loud = tone() * 10
    write_audio(tmp_path / "float.wav", loud, RATE_HZ, encoding="float32")
    assert (read_audio(tmp_path / "float.wav", RATE_HZ) == loud).all()
    assert write_audio(tmp_path / "short.wav", loud, RATE_HZ) == np.count_nonzero(np.abs(loud) > 1)
    assert np.abs(read_audio(tmp_path / "short.wav", RATE_HZ)).max() <= 1


@pytest.mark.parametrize("audio", [np.zeros(0), np.array([0.0, np.nan]), np.array([np.inf]), np.array([1e300]), np.zeros((2, 8))])
def test_writing_refuses_bad_audio_and_leaves_the_old_file(tmp_path: Path, audio: np.ndarray) -> None:
    path = tmp_path / "a.wav"
    write_audio(path, tone(), RATE_HZ)
    before = path.read_bytes()
    with pytest.raises(MediaError, match="refusing"):
        write_audio(path, audio, RATE_HZ)
    assert path.read_bytes() == before


def test_channels_are_averaged_or_chosen(tmp_path: Path) -> None:
    path = tmp_path / "eight.wav"
    channels = np.stack([np.full(100, k / 16, dtype=np.float32) for k in range(8)], axis=1)
    soundfile.write(path, channels, RATE_HZ, subtype="FLOAT")
    assert np.allclose(read_audio(path, RATE_HZ), channels.mean(axis=1), atol=1e-7)
    assert (read_audio(path, RATE_HZ, channel=5) == channels[:, 5]).all()
    with pytest.raises(MediaError, match="asked for channel 8, but it has 8"):
        read_audio(path, RATE_HZ, channel=8)


@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
def test_a_part_equals_that_part_of_the_whole_file(tmp_path: Path, rate_hz: int) -> None:
    path = tmp_path / "a.flac"
    write_audio(path, np.random.default_rng(0).uniform(-0.5, 0.5, rate_hz).astype(np.float32), rate_hz)
    whole = read_audio(path, RATE_HZ)
    assert len(whole) == RATE_HZ
    assert (read_audio(path, RATE_HZ, start_s=0.25, duration_s=0.5) == whole[4000:12000]).all()
    assert len(read_audio(path, RATE_HZ, start_s=0.75, duration_s=9.0)) == 4000
    assert len(read_audio(path, RATE_HZ, start_s=5.0)) == 0


def test_missing_empty_and_foreign_files(tmp_path: Path) -> None:
    assert fault_of(tmp_path / "missing.wav") == "missing"
    (tmp_path / "empty.wav").touch()
    assert fault_of(tmp_path / "empty.wav") == "empty"
    for name in ("text.wav", "text.mp4", "text.ogg"):
        (tmp_path / name).write_text("this is no media file " * 50)
        assert fault_of(tmp_path / name) == "unreadable"
    assert fault_of(tmp_path) == "missing"


def test_a_wav_without_samples_is_empty(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "none.wav", np.zeros(0), RATE_HZ)
    assert fault_of(tmp_path / "none.wav") == "empty"


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_cut_files_are_refused(tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"cut{suffix}"
    write_audio(path, np.random.default_rng(0).uniform(-0.5, 0.5, RATE_HZ), RATE_HZ)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    assert fault_of(path) in ("truncated", "unreadable")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 200), st.binary(min_size=1, max_size=8))
def test_a_damaged_header_never_gives_anything_but_audio_or_a_media_error(
    tmp_path_factory: pytest.TempPathFactory, place: int, junk: bytes
) -> None:
    folder = tmp_path_factory.mktemp("junk")
    for suffix in (".wav", ".flac"):
        path = folder / f"a{suffix}"
        write_audio(path, tone(0.05), RATE_HZ)
        data = bytearray(path.read_bytes())
        data[place : place + len(junk)] = junk
        path.write_bytes(data)
        try:
            audio = read_audio(path, RATE_HZ)
        except MediaError:
            continue
        assert audio.dtype == np.float32
        assert np.isfinite(audio).all()


def test_a_header_that_promises_gigabytes_is_refused_without_allocating_them(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", tone(), RATE_HZ)
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[40:44] = struct.pack("<I", 0xFFFF0000)
    (tmp_path / "huge.wav").write_bytes(data)
    assert fault_of(tmp_path / "huge.wav") == "truncated"
    write_audio(tmp_path / "a.flac", tone(), RATE_HZ)
    data = bytearray((tmp_path / "a.flac").read_bytes())
    data[21] |= 0x0F  # STREAMINFO's 36-bit count of samples: 64 G of them, 256 GiB as float32.
    data[22:26] = b"\xff\xff\xff\xff"
    (tmp_path / "huge.flac").write_bytes(data)
    assert fault_of(tmp_path / "huge.flac") == "length"


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF])
def test_a_wav_that_came_out_of_a_pipe_is_read_to_its_end(tmp_path: Path, length: int) -> None:
    path = tmp_path / "piped.wav"
    write_audio(path, tone(), RATE_HZ)
    data = bytearray(path.read_bytes())
    data[40:44] = struct.pack("<I", length)
    path.write_bytes(data)
    if length:
        assert len(read_audio(path, RATE_HZ)) == 8000
    else:
        assert fault_of(path) == "empty"


def test_nan_and_silence(tmp_path: Path) -> None:
    bad = tone()
    bad[[3, 5]] = np.nan
    soundfile.write(tmp_path / "nan.wav", bad, RATE_HZ, subtype="FLOAT")
    assert fault_of(tmp_path / "nan.wav") == "nan"
    write_audio(tmp_path / "zero.wav", np.zeros(100), RATE_HZ)
    assert (read_audio(tmp_path / "zero.wav", RATE_HZ) == 0).all()
    assert fault_of(tmp_path / "zero.wav", reject_silence=True) == "silent"


@pytest.mark.parametrize("rate_hz", [1, 999, 4_000_000])
def test_absurd_rates_are_refused(tmp_path: Path, rate_hz: int) -> None:
    soundfile.write(tmp_path / "a.wav", tone(), rate_hz)
    assert fault_of(tmp_path / "a.wav") == "rate"


def test_the_sound_of_real_videos(shared_data: Path) -> None:
    for path in sorted((shared_data / "av_grid").glob("*.mpg")):
        audio = read_audio(path, RATE_HZ, reject_silence=True)
        assert 2.95 < len(audio) / RATE_HZ < 3.0
        assert sound_duration_s(path) == pytest.approx(len(audio) / RATE_HZ, abs=1e-3)


def test_real_recordings_at_other_rates(shared_data: Path) -> None:
    path = next((shared_data / "speech_vctk").rglob("*.flac"), None) or next((shared_data / "speech_vctk").rglob("*.wav"))
    info = audio_info(path)
    assert info.sample_rate_hz == 48_000
    assert len(read_audio(path, RATE_HZ)) == -(-info.samples // 3)
