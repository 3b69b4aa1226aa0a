"""`auricle judge`: one JSON line a file, failures with reasons, the exit status."""

import json

import numpy as np
import pytest

from auricle.audio import write_audio
from pipelines.judge import main

RATE_HZ = 16_000


@pytest.fixture
def recordings(tmp_path):
    """Three recordings with references of the same names, a text file, and a truncated wav."""
    rng = np.random.default_rng(0)
    for index in range(3):
        clean = (
            0.1
            * np.sin(2 * np.pi * 150 * np.arange(2 * RATE_HZ) / RATE_HZ)
            * (1 + np.sin(2 * np.pi * 3 * np.arange(2 * RATE_HZ) / RATE_HZ))
        )
        write_audio(tmp_path / "clean" / f"{index}.wav", clean + 1e-3 * rng.standard_normal(len(clean)), RATE_HZ)
        write_audio(tmp_path / "noisy" / f"{index}.wav", clean + 0.02 * rng.standard_normal(len(clean)), RATE_HZ)
    (tmp_path / "noisy" / "notes.txt").write_text("not audio")
    (tmp_path / "broken.wav").write_bytes((tmp_path / "noisy" / "0.wav").read_bytes()[:1_000])
    return tmp_path


def _lines(capfd):
    captured = capfd.readouterr()
    return [json.loads(line) for line in captured.out.splitlines()], captured.err


def test_a_folder_gives_one_line_a_recording(recordings, capfd):
    assert main([str(recordings / "noisy"), "--judges", "dnsmos"]) == 0
    lines, _ = _lines(capfd)
    assert [line["file"].rpartition("/")[2] for line in lines] == ["0.wav", "1.wav", "2.wav"]
    for line in lines:
        assert line["state"] == "scored"
        assert line["panel"] == pytest.approx(line["verdicts"]["dnsmos"]["score"], abs=1e-5)
        assert (line["duration_s"], line["sample_rate_hz"]) == (2.0, RATE_HZ)
        assert line["panel"] == round(line["panel"], 4)


def test_references_are_found_by_name(recordings, capfd):
    assert main([str(recordings / "noisy"), "--judges", "stoi,si_sdr", "--reference", str(recordings / "clean")]) == 0
    lines, _ = _lines(capfd)
    assert all(5 < line["verdicts"]["si_sdr"]["score"] < 20 for line in lines)


def test_bad_files_have_lines_with_reasons_and_the_status_tells(recordings, capfd):
    files = [recordings / "broken.wav", recordings / "noisy" / "0.wav", recordings / "nowhere.wav"]
    assert main([*map(str, files), "--judges", "dnsmos"]) == 1
    lines, errors = _lines(capfd)
    assert [line["state"] for line in lines] == ["failed", "scored", "failed"]
    assert lines[0]["reason"] == lines[2]["reason"] == "bad_file"
    assert "cut short" in lines[0]["detail"]
    assert "no such file" in lines[2]["detail"]
    assert "2 of 3 files" in errors


def test_files_are_read_before_judges_are_loaded(recordings, capfd, monkeypatch):
    monkeypatch.setattr("pipelines.judge._judging", lambda *arguments: pytest.fail("judges were loaded for nothing"))
    assert main([str(recordings / "nofile.wav"), str(recordings / "broken.wav"), "--judges", "dnsmos"]) == 1
    lines, errors = _lines(capfd)
    assert ["no such file" in lines[0]["detail"], "cut short" in lines[1]["detail"]] == [True, True]
    assert "2 of 2 files" in errors


def test_a_judge_of_ones_own_is_named_by_its_class(recordings, capfd):
    assert main([str(recordings / "noisy"), "--judges", "tests.judges:BandJudge"]) == 0
    lines, _ = _lines(capfd)
    assert [list(line["verdicts"]) for line in lines] == [["BandJudge"]] * 3


def test_a_judge_that_fails_on_a_file_fails_its_line(recordings, capfd):
    write_audio(recordings / "clean" / "0.wav", np.full(RATE_HZ, 0.1), RATE_HZ)
    assert main([str(recordings / "noisy" / "0.wav"), "--judges", "dnsmos,si_sdr", "--reference", str(recordings / "clean")]) == 1
    lines, _ = _lines(capfd)
    assert (lines[0]["state"], lines[0]["reason"], lines[0]["panel"]) == ("failed", "metric", None)
    assert lines[0]["verdicts"]["dnsmos"]["state"] == "scored"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--judges", "pesq"], "give one with --reference"),
        (["--judges", "dnmos"], "did you mean 'dnsmos'"),
        (["--judges", "sentiment"], "name listener too"),
    ],
)
def test_wrong_judges_are_one_line_errors(recordings, capfd, arguments, says):
    assert main([str(recordings / "noisy"), *arguments]) == 1
    lines, errors = _lines(capfd)
    assert lines == []
    assert says in errors


def test_an_empty_folder_is_an_error(tmp_path, capfd):
    assert main([str(tmp_path), "--judges", "dnsmos"]) == 1
    assert "no audio or video file" in _lines(capfd)[1]


@pytest.mark.slow
def test_through_serve_the_verdicts_are_the_same(recordings, capfd):
    import ray

    ray.shutdown()  # the session's own Ray, if it runs: the verb starts one of its own
    files = [str(recordings / "noisy" / "0.wav"), "--judges", "dnsmos"]
    assert main([*files, "--serve"]) == 0
    served, _ = _lines(capfd)
    assert main(files) == 0
    assert _lines(capfd)[0][0]["verdicts"]["dnsmos"]["score"] == pytest.approx(served[0]["verdicts"]["dnsmos"]["score"], abs=1e-4)


def test_the_self_check_needs_no_files_and_writes_a_page_to_listen_on(tmp_path, capfd):
    small = ["check.clips=3", "check.artefacts=['noise']", "check.clip_s=1.5", "check.languages=['de']"]
    settings = [part for one in small for part in ("--set", one)]
    status = main(["--self-check", "--judge", "si_sdr", "--output", str(tmp_path), *settings])
    found = json.loads((tmp_path / "check.json").read_text())["findings"]
    passed = {finding["probe"]: finding["passed"] for finding in found}
    assert status == int(False in passed.values())
    assert passed["anchors"]
    assert passed["loudness"]
    assert passed["paraphrase"] is None
    assert "Self-check" in (tmp_path / "check.html").read_text()
    assert "anchors" in capfd.readouterr().out


def test_no_files_and_no_check_is_an_error_with_the_cure(capfd):
    assert main([]) == 1
    assert "--self-check" in capfd.readouterr().err
