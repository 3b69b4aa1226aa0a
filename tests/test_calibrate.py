"""`auricle calibrate`, as one types it."""

from pathlib import Path

import pytest

from auricle.listeners.assets import default_listener
from pipelines.calibrate import main

SMALL = [
    word
    for text in ("data.clips=8", "data.held_out_clips=10", "training.steps=2", "training.batch=4", "processes=1", "probe_clips=1")
    for word in ("--set", f"calibrate.{text}")
]


def test_it_trains_saves_and_says_when_there_is_nothing_to_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = ["--set", f"calibrate.output={tmp_path / 'run'}", "--set", f"calibrate.cache={tmp_path / 'cache'}"]
    assert main([*SMALL, *places]) == 1
    assert "train it longer" in capsys.readouterr().err
    assert (tmp_path / "run" / "listener" / "model.safetensors").is_file()


@pytest.mark.slow
def test_the_report_on_the_shipped_listener(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = ["--set", f"calibrate.output={tmp_path / 'run'}", "--set", f"calibrate.cache={tmp_path / 'cache'}"]
    assert main([*SMALL, *places, "--report-only", str(default_listener())]) == 0
    assert "How it is fooled" in capsys.readouterr().out
    text = (tmp_path / "run" / "report.md").read_text(encoding="utf-8")
    assert "| unparsable answers: describe | 0.0 % |" in text
    assert "best of 12 masks (1 scenes)" in text


def test_what_cannot_work_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--speech", str(tmp_path / "none")]) == 1
    assert "no such folder of recordings" in capsys.readouterr().err
    assert main(["--set", "calibrate.data.clip_s=2.0"]) == 1
    assert "set them to the same values" in capsys.readouterr().err
