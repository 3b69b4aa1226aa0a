"""Readers of sound, film, scenes and configuration against damaged, hostile and merely odd input: a clear error or a usable result, never a
hang and never a raw traceback. Examples are the same at every run; AURICLE_FUZZ=20 makes twenty times as many, and other ones.
"""

import io
import json
import os
import struct
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.serve_config import read_serve_config
from auricle.audio import audio_info, read_audio
from auricle.config import build, parse_assignments, read_toml, to_toml
from auricle.enhancers.checkpoint import CONFIG, TENSORS, load_enhancer
from auricle.errors import AuricleError, ConfigError, EmptyCorpusError, MediaError
from auricle.ratings.reading import read_ratings
from auricle.scenes.checks import check_scenes
from auricle.scenes.film import write_film
from auricle.scenes.layouts import list_scenes
from auricle.scenes.loading import load_clip
from auricle.uploads import UploadLimits, decode_upload
from auricle.video import iterate_frames, video_info
from pipelines.settings import Settings

MORE = int(os.environ.get("AURICLE_FUZZ", "0"))
RATE_HZ = 16_000
MAX_S = 60.0
"""No file here holds more than a second: what comes out longer was made up."""
pytestmark = pytest.mark.timeout(240 * max(1, MORE))


def fuzz(examples: int) -> Callable[[Any], Any]:
    return settings(
        max_examples=examples * max(1, MORE), derandomize=not MORE, suppress_health_check=list(HealthCheck), database=None, deadline=None
    )


def tone(channels: int = 1, samples: int = 4_000) -> np.ndarray:
    return 0.1 * np.sin(0.1 * np.arange(samples * channels)).reshape(samples, channels)


@cache
def files() -> dict[str, bytes]:
    """Whole files by suffix and kind, each well below a second."""
    found: dict[str, bytes] = {}

    def sound(name: str, form: str, audio: np.ndarray, rate_hz: int = RATE_HZ, **how: Any) -> None:
        buffer = io.BytesIO()
        soundfile.write(buffer, audio, rate_hz, format=form, **how)
        found[name] = buffer.getvalue()

    sound("pcm.wav", "WAV", tone())
    sound("float.wav", "WAV", tone(), subtype="FLOAT")
    sound("eight.wav", "WAV", tone(8), 48_000)
    sound("nan.wav", "WAV", np.full((100, 1), np.nan), subtype="FLOAT")
    sound("huge.wav", "WAV", np.full((100, 1), 3e38), subtype="FLOAT")
    sound("empty.wav", "WAV", tone(samples=0))
    sound("slow.wav", "WAV", tone(), 1)
    sound("mono.flac", "FLAC", tone())
    sound("music.ogg", "OGG", tone(2))
    with tempfile.TemporaryDirectory() as folder:
        frames = np.arange(8 * 32 * 32 * 3, dtype=np.uint32).reshape(8, 32, 32, 3) % 251
        write_film(Path(folder) / "film.mp4", frames.astype(np.uint8), 25.0)
        found["film.mp4"] = (Path(folder) / "film.mp4").read_bytes()
    found["tiny.wav"] = b"RIFF"
    found["nothing.wav"] = b""
    return found


@st.composite
def damaged(draw: st.DrawFn, suffixes: tuple[str, ...]) -> tuple[str, bytes]:
    """A file, and what befell it: cut short, bytes changed, a length that promises gigabytes, rubbish behind, or another's name."""
    name = draw(st.sampled_from([name for name in files() if name.endswith(suffixes)]))
    data = bytearray(files()[name])
    for kind in draw(st.lists(st.sampled_from(["cut", "bytes", "length", "tail", "swap"]), max_size=3)):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        if kind == "cut":
            del data[place:]
        elif kind == "bytes" and data:
            # Headers are where it hurts.
            place = place % min(len(data), 512) if draw(st.booleans()) else place
            data[place : place + 4] = draw(st.binary(min_size=1, max_size=4))
        elif kind == "length" and len(data) > 8:
            place = place % min(len(data) - 4, 256)
            form = draw(st.sampled_from(["<I", ">I"]))
            data[place : place + 4] = struct.pack(form, draw(st.sampled_from([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF])))
        elif kind == "tail":
            data += draw(st.binary(max_size=64))
        elif kind == "swap":
            name = draw(st.sampled_from(["odd.wav", "odd.flac", "odd.ogg", "odd.mp4", "odd.mp3", "odd.xyz"]))
    return name, bytes(data)


def result(read: Callable[[], Any], refusal: type[AuricleError], names: object) -> Any:
    """What `read` gives; None where it refuses, in words that name the file."""
    try:
        return read()
    except refusal as error:
        said = str(error)
    assert str(names) in said
    return None


def written(folder: str, name: str, data: bytes) -> Path:
    path = Path(folder) / name
    path.write_bytes(data)
    return path


@fuzz(120)
@given(damaged((".wav", ".flac", ".ogg")))
def test_sound_is_read_or_refused(case: tuple[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = written(folder, *case)
        result(lambda: audio_info(path), MediaError, path)
        audio = result(lambda: read_audio(path, RATE_HZ), MediaError, path)
        if audio is not None:
            assert audio.ndim == 1
            assert np.isfinite(audio).all()
            assert len(audio) <= MAX_S * RATE_HZ


@fuzz(60)
@given(damaged((".mp4",)))
def test_film_is_read_or_refused(case: tuple[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = written(folder, *case)
        result(lambda: video_info(path), MediaError, path)
        result(lambda: read_audio(path, RATE_HZ), MediaError, path)
        assert (result(lambda: sum(1 for _ in iterate_frames(path)), MediaError, path) or 0) <= MAX_S * 25


@fuzz(120)
@given(damaged((".wav", ".flac", ".ogg")))
def test_uploads_come_in_or_do_not(case: tuple[str, bytes]) -> None:
    try:
        audio, rate_hz = decode_upload(case[1], UploadLimits(max_s=10.0, max_mib=1.0))
    except MediaError:
        return
    assert np.isfinite(audio).all()
    assert len(audio) <= 10.0 * rate_hz


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
anything = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3), max_leaves=8
)
odd_names = st.sampled_from(["S1", "", "..", "../S1", "/etc/passwd", "a/b", "a\x00b", "S1\n", "é" * 300, "S2"]) | st.text(max_size=20)
record = st.fixed_dictionaries(
    {},
    optional={
        "scene": odd_names | plain,
        "SNR": plain,
        "interferer": anything | st.fixed_dictionaries({"type": st.sampled_from(["speech", "noise", "speach"]) | plain}),
        "interferers": anything,
        "speaker": anything,
        "condition": anything,
        "target": anything | st.fixed_dictionaries({"name": plain}),
    },
)
metadata = st.lists(record | anything, max_size=3) | anything


@fuzz(150)
@given(metadata, st.integers(0, 60))
def test_scenes_metadata_is_read_or_refused(content: Any, cut: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "train" / "scenes").mkdir(parents=True)
        (root / "metadata").mkdir()
        (root / "train" / "scenes" / "S1_mixed.wav").write_bytes(files()["pcm.wav"])
        text = json.dumps(content).encode()
        (root / "metadata" / "scenes.train.json").write_bytes(text[: len(text) - cut] if cut < 20 else text)
        for scene in result(lambda: list_scenes(root), AuricleError, root) or []:
            assert scene.mix.parent == root / "train" / "scenes"
            assert scene.snr_db is None or np.isfinite(scene.snr_db)


@fuzz(25)
@given(
    st.dictionaries(
        st.sampled_from(["S1", "S2"]), st.dictionaries(st.sampled_from(["mixed", "target", "silent"]), damaged((".wav", ".mp4")))
    )
)
def test_bad_scenes_are_put_aside_and_the_others_load(corpus: dict[str, dict[str, tuple[str, bytes]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        scenes_folder = Path(folder) / "train" / "scenes"
        scenes_folder.mkdir(parents=True)
        (scenes_folder / "S0_mixed.wav").write_bytes(files()["pcm.wav"])
        for scene, parts in corpus.items():
            for part, (_, data) in parts.items():
                (scenes_folder / f"{scene}_{part}.{'mp4' if part == 'silent' else 'wav'}").write_bytes(data)
        try:
            report = check_scenes(list_scenes(folder), show=False, workers=1)
        except EmptyCorpusError:
            return
        assert all(rejection.reason and rejection.fault for rejection in report.rejected)
        for scene in report.usable:
            clip = load_clip(scene, sample_rate_hz=RATE_HZ, frame_rate_hz=25.0, frame_size_px=16, duration_s=0.1, with_video=False)
            assert len(clip.mix) == 0.1 * RATE_HZ


@cache
def defaults() -> str:
    return to_toml(Settings())


@fuzz(60)
@given(st.data())
def test_configuration_files_are_read_or_refused(data: st.DataObject) -> None:
    text = bytearray(defaults().encode())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(text) - 1))
        length = data.draw(st.integers(0, 6))
        text[place : place + length] = data.draw(
            st.binary(max_size=6) | st.sampled_from([b"=", b"[", b"1e999", b"nan", b"-inf", b"'''", b"\xff"])
        )
    with tempfile.TemporaryDirectory() as folder:
        path = written(folder, "mine.toml", bytes(text))
        made = result(lambda: build(Settings, read_toml(path), source=str(path)), ConfigError, path)
        assert made is None or Path(made.run.name).name == made.run.name != ""


@fuzz(150)
@given(st.dictionaries(st.sampled_from([*Settings.model_fields, "rum"]), anything, max_size=4))
def test_values_of_any_type_are_taken_or_named(values: dict[str, Any]) -> None:
    result(lambda: build(Settings, values, source="FILE"), ConfigError, "FILE")


@fuzz(150)
@given(st.lists(st.text(max_size=30) | st.builds("{}={}".format, st.text(max_size=8), st.text(max_size=12)), max_size=4))
def test_assignments_are_parsed_or_refused(assignments: list[str]) -> None:
    assert isinstance(result(lambda: parse_assignments(assignments), ConfigError, "--set"), dict | None)


@cache
def serve_text() -> str:
    return (Path(__file__).resolve().parents[1] / "serve_configs" / "judges-cpu.yaml").read_text(encoding="utf-8")


@fuzz(40)
@given(st.data())
def test_serve_configs_are_read_or_refused(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        if data.draw(st.booleans()):
            text = yaml.safe_dump(data.draw(anything | st.fixed_dictionaries({"applications": anything})), allow_unicode=True).encode()
        else:
            raw = bytearray(serve_text().encode())
            place = data.draw(st.integers(0, len(raw) - 1))
            raw[place : place + data.draw(st.integers(0, 8))] = data.draw(
                st.binary(max_size=6) | st.sampled_from([b": ", b"- ", b"&a *a", b"!!"])
            )
            text = bytes(raw)
        path = written(folder, "serve.yaml", text)
        result(lambda: read_serve_config(path), ConfigError, path)


@fuzz(60)
@given(
    anything | st.fixed_dictionaries({"format": st.just("auricle-enhancer-1"), "class": st.text(max_size=20), "options": anything}),
    st.binary(max_size=80),
)
def test_checkpoints_of_strangers_are_refused(description: Any, tensors: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / CONFIG).write_text(json.dumps(description))
        (Path(folder) / TENSORS).write_bytes(tensors)
        with pytest.raises(AuricleError):
            load_enhancer(folder)


@fuzz(60)
@given(
    st.lists(st.lists(st.text(max_size=8) | st.sampled_from(["file", "mos", "3.1", "nan", "../x", "1e999"]), max_size=4), max_size=4),
    st.binary(max_size=8),
)
def test_tables_of_ratings_are_read_or_refused(rows: list[list[str]], tail: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = written(folder, "mos.csv", "\n".join(",".join(row) for row in rows).encode() + tail)
        result(lambda: read_ratings(path), AuricleError, path)


LAUGHS = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30))


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 5_000,
        "[" * 5_000 + "]" * 5_000,
        LAUGHS,
        "a: &a [*a]",
        "a: 2026-99-99",
        "a: !!binary x",
        "? {a: b}\n: c",
        "--- a\n--- b",
    ],
    ids=["open", "deep", "laughs", "itself", "date", "binary", "key", "two"],
)
def test_serve_configs_that_would_take_for_ever_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"serve\.yaml"):
        read_serve_config(written(str(tmp_path), "serve.yaml", text.encode()))


def test_what_is_nested_without_end_is_refused_everywhere(tmp_path: Path) -> None:
    deep = "[" * 50_000
    with pytest.raises(ConfigError, match=r"deep\.toml"):
        read_toml(written(str(tmp_path), "deep.toml", f"a = {deep}".encode()))
    with pytest.raises(ConfigError, match="nested"):
        parse_assignments([f"run.name={deep}"])
    (tmp_path / "train" / "scenes").mkdir(parents=True)
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata" / "scenes.train.json").write_text(deep)
    with pytest.raises(AuricleError, match=r"scenes\.train\.json"):
        list_scenes(tmp_path)
    (tmp_path / CONFIG).write_text(deep)
    with pytest.raises(AuricleError, match=CONFIG):
        load_enhancer(tmp_path)


@pytest.mark.parametrize("path", [".", "missing.toml"])
def test_what_is_no_file_is_no_configuration(tmp_path: Path, path: str) -> None:
    with pytest.raises(ConfigError, match="configuration file"):
        read_toml(tmp_path / path)
    with pytest.raises(ConfigError, match="Serve config"):
        read_serve_config(tmp_path / path)


def squeezed(suffix: str, channels: int, rate_hz: int, seconds: float) -> bytes:
    """Hours of silence, in little."""
    buffer = io.BytesIO()
    block = np.zeros((rate_hz, channels), np.int16)
    with soundfile.SoundFile(buffer, "w", rate_hz, channels, format=suffix) as file:
        for _ in range(round(seconds)):
            file.write(block)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["FLAC", "OGG"])
def test_minutes_in_a_few_kilobytes_do_not_come_in(form: str) -> None:
    data = squeezed(form, 8, 8_000, 130)
    assert len(data) < 130 * 8_000 * 8 * 2 / 10
    with pytest.raises(MediaError, match="at most 120 s come in"):
        decode_upload(data, UploadLimits())


def test_a_scene_of_hours_in_a_few_kilobytes_is_put_aside_before_it_is_decoded(tmp_path: Path) -> None:
    scenes = tmp_path / "train" / "scenes"
    scenes.mkdir(parents=True)
    written(str(scenes), "S1_mixed.wav", files()["pcm.wav"])
    written(str(scenes), "S2_mixed.wav", squeezed("FLAC", 2, RATE_HZ, 1_900))  # told by its content
    report = check_scenes(list_scenes(tmp_path), show=False, workers=1)
    assert [(rejection.scene_id, rejection.fault) for rejection in report.rejected] == [("S2", "length")]


def test_a_header_that_promises_days_is_refused(tmp_path: Path) -> None:
    flac = bytearray(files()["mono.flac"])
    flac[21:26] = struct.pack(">BI", (flac[21] & 0xF0) | 1, 0)  # 2 ** 32 samples: three days
    path = written(str(tmp_path), "days.flac", bytes(flac))
    with pytest.raises(MediaError, match="more than 4 h"):
        read_audio(path, RATE_HZ)


LISTS = {
    "concat": "ffconcat version 1.0\nfile other.mp4\n",
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.ts\n#EXT-X-ENDLIST\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
}


@pytest.mark.parametrize("kind", LISTS)
def test_a_film_that_names_other_files_or_addresses_opens_none(tmp_path: Path, kind: str) -> None:
    written(str(tmp_path), "other.mp4", files()["film.mp4"])
    path = written(str(tmp_path), "film.mp4", LISTS[kind].encode())
    for read in (video_info, lambda path: list(iterate_frames(path)), lambda path: read_audio(path, RATE_HZ)):
        with pytest.raises(MediaError, match=r"film\.mp4: cannot be decoded"):
            read(path)
    assert video_info(tmp_path / "other.mp4").width_px == 32


def test_a_picture_larger_than_bearable_is_refused_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(str(tmp_path), "film.mp4", files()["film.mp4"])
    assert len(list(iterate_frames(path))) == 8
    monkeypatch.setattr("auricle.containers.MAX_PIXELS", 32 * 32 - 1)
    with pytest.raises(MediaError, match=r"film\.mp4: cannot be decoded"):
        list(iterate_frames(path))


def test_a_film_whose_pictures_stand_for_hours_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(str(tmp_path), "film.mp4", files()["film.mp4"])
    monkeypatch.setattr("auricle.video.MAX_S", 0.2)
    with pytest.raises(MediaError, match="cut it into parts"):
        list(iterate_frames(path))
    monkeypatch.setattr("auricle.audio.MAX_S", 0.1)
    with pytest.raises(MediaError, match="cut it into parts"):
        read_audio(written(str(tmp_path), "tone.wav", files()["pcm.wav"]), RATE_HZ)
