"""Every kind of unusable file is found, named and counted, and costs only its own scene."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from auricle.audio import write_audio
from auricle.errors import EmptyCorpusError
from auricle.scenes.checks import CheckReport, check_scenes
from auricle.scenes.film import write_film
from auricle.scenes.layouts import list_scenes
from auricle.scenes.loading import load_clip

RATE_HZ = 16_000
GOOD, BAD = "S00001", "S00002"


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two scenes of AVSEC-4, one second each."""
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "corpus" / "train" / "scenes"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for scene in (GOOD, BAD):
        for part in ("mono_mix", "target_mono", "interferer_mono"):
            write_audio(folder / f"{scene}_{part}.wav", rng.uniform(-0.3, 0.3, RATE_HZ), RATE_HZ)
        write_film(folder / f"{scene}_silent.mp4", rng.integers(0, 255, (25, 64, 64, 3), dtype=np.uint8), 25.0)
    return folder


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def with_nan(path: Path) -> None:
    audio = np.full(RATE_HZ, 0.1)
    audio[77] = np.nan
    soundfile.write(path, audio, RATE_HZ, subtype="FLOAT")


def film_of(pictures: int) -> Callable[[Path], object]:
    return lambda path: write_film(path, [np.full((64, 64, 3), k, dtype=np.uint8) for k in range(pictures)], 25.0)


FAULTS: list[tuple[str, str, Callable[[Path], object]]] = [
    ("missing", "mono_mix.wav", Path.unlink),
    ("missing", "target_mono.wav", Path.unlink),
    ("missing", "silent.mp4", Path.unlink),
    ("empty", "mono_mix.wav", lambda path: path.write_bytes(b"")),
    ("empty", "silent.mp4", lambda path: path.write_bytes(b"")),
    ("truncated", "mono_mix.wav", cut),
    ("truncated", "interferer_mono.wav", cut),
    ("unreadable", "silent.mp4", cut),
    ("unreadable", "mono_mix.wav", lambda path: path.write_text("RIFF of nothing")),
    ("nan", "mono_mix.wav", with_nan),
    ("nan", "target_mono.wav", with_nan),
    ("silent", "mono_mix.wav", lambda path: write_audio(path, np.zeros(RATE_HZ), RATE_HZ)),
    ("silent", "target_mono.wav", lambda path: write_audio(path, np.full(RATE_HZ, 3e-5), RATE_HZ)),
    ("rate", "mono_mix.wav", lambda path: write_audio(path, np.full(8_000, 0.1), 8_000)),
    ("rate", "target_mono.wav", lambda path: write_audio(path, np.full(44_100, 0.1), 44_100)),
    ("length", "target_mono.wav", lambda path: write_audio(path, np.full(RATE_HZ // 2, 0.1), RATE_HZ)),
    ("length", "silent.mp4", film_of(40)),
]


def checked(folder: Path, **options: object) -> CheckReport:
    return check_scenes(list_scenes(folder.parents[1]), show=False, **options)


def test_a_sound_corpus_is_wholly_usable(corpus: Path) -> None:
    report = checked(corpus)
    assert [scene.scene_id for scene in report.usable] == [GOOD, BAD]
    assert report.rejected == []
    assert report.summary() == "2 scenes usable, 0 left out"


@pytest.mark.parametrize(("fault", "part", "damage"), FAULTS, ids=[f"{fault}-{part}" for fault, part, _ in FAULTS])
def test_each_fault_is_found_and_named(corpus: Path, fault: str, part: str, damage: Callable[[Path], object]) -> None:
    checked(corpus)  # What passed before must not pass again once it is damaged.
    path = corpus / f"{BAD}_{part}"
    damage(path)
    report = checked(corpus)
    assert [scene.scene_id for scene in report.usable] == [GOOD]
    assert [(rejection.scene_id, rejection.file, rejection.fault) for rejection in report.rejected] == [(BAD, path, fault)]
    assert str(path) in report.rejected[0].reason
    assert report.summary() == f"1 scenes usable, 1 left out (1 {fault})"


def test_a_scene_with_two_faults_counts_once_and_lists_both(corpus: Path, tmp_path: Path) -> None:
    cut(corpus / f"{BAD}_silent.mp4")
    with_nan(corpus / f"{BAD}_target_mono.wav")
    report = checked(corpus, frame_size_px=32, report_path=tmp_path / "out" / "scenes.json")
    assert (report.scenes_rejected, report.faults) == (1, {"nan": 1, "unreadable": 1})
    written = json.loads((tmp_path / "out" / "scenes.json").read_text())
    assert written["usable"] == [GOOD]
    assert [entry["fault"] for entry in written["rejected"]] == ["nan", "unreadable"]
    assert written["summary"] == "1 scenes usable, 1 left out (1 nan, 1 unreadable)"


def test_unchanged_scenes_are_not_decoded_again(corpus: Path, tmp_path: Path) -> None:
    first = checked(corpus)
    path = corpus / f"{BAD}_mono_mix.wav"
    times = path.stat()
    path.write_bytes(b"\xff" * times.st_size)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert checked(corpus) == first
    assert len(checked(corpus, max_mismatch_s=0.1).usable) == 1
    (tmp_path / "cache" / "checked.txt").unlink()
    assert len(checked(corpus).usable) == 1


def test_video_faults_do_not_matter_where_no_video_is_wanted(corpus: Path) -> None:
    cut(corpus / f"{BAD}_silent.mp4")
    assert len(checked(corpus, with_video=False).usable) == 2


def test_nothing_usable_is_an_error_with_the_reasons_and_still_writes_the_report(corpus: Path, tmp_path: Path) -> None:
    for path in corpus.glob("*_mono_mix.wav"):
        cut(path)
    with pytest.raises(EmptyCorpusError, match=r"no usable scene among 2: .*2 truncated.*S00001_mono_mix\.wav: cut short") as caught:
        checked(corpus, report_path=tmp_path / "scenes.json")
    assert "\n" not in str(caught.value)
    assert json.loads((tmp_path / "scenes.json").read_text())["usable"] == []
    with pytest.raises(EmptyCorpusError, match="among 0"):
        check_scenes([], show=False)


def test_the_count_and_the_first_reasons_are_shown(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cut(corpus / f"{BAD}_mono_mix.wav")
    check_scenes(list_scenes(corpus.parents[1]))
    shown = capsys.readouterr().err
    assert "1 scenes usable, 1 left out (1 truncated)" in shown
    assert f"{BAD}_mono_mix.wav: cut short" in shown


def test_real_talking_faces_pass_and_a_cut_one_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_data: Path) -> None:
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    clips = tmp_path / "clips"
    clips.mkdir()
    for path in sorted((shared_data / "av_grid").glob("*.mpg"))[:3]:
        shutil.copy(path, clips)
    (clips / "broken.mp4").write_bytes(b"\0" * 5000)
    report = check_scenes(list_scenes(clips), frame_size_px=32, show=False)
    assert len(report.usable) == 3
    assert {rejection.scene_id for rejection in report.rejected} == {"broken"}
    assert len(list((tmp_path / "cache").rglob("*.safetensors"))) == 3
    assert load_clip(report.usable[0], sample_rate_hz=RATE_HZ, frame_rate_hz=25.0, frame_size_px=32).frames is not None
