"""`auricle calibrate`, as one types it."""

import json
from pathlib import Path

import pytest
import ray

from auricle.gsrm.report import main as gsrm_report
from auricle.listeners.assets import default_listener
from pipelines.calibrate import main

SMALL = [
    word
    for text in ("data.clips=8", "data.held_out_clips=10", "training.steps=2", "training.batch=4", "processes=1", "probe_clips=1")
    for word in ("--set", f"calibrate.{text}")
]


def test_it_trains_saves_and_says_when_there_is_nothing_to_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ray.shutdown()  # the verb starts its own; the session's comes back with its next user
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
    assert "| descriptions, read by sentiment: Spearman with PESQ |" in text
    assert "best of 12 masks (1 scenes)" in text


@pytest.mark.slow
def test_training_goes_on_from_the_shipped_listener_with_aspects_and_tasks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ray.shutdown()  # the verb starts its own; the session's comes back with its next user
    places = ["--set", f"calibrate.output={tmp_path / 'run'}", "--set", f"calibrate.cache={tmp_path / 'cache'}"]
    start = ["--set", f"calibrate.start={default_listener()}", "--set", "learner_pool.ranks=2"]
    gentle = ["--set", "calibrate.training.learning_rate=1e-6"]
    assert main([*SMALL, *places, *start, *gentle, "--tasks", "calibration", "questions", "--dimensions"]) == 0
    assert "Aspects on held-out clips" in capsys.readouterr().out
    text = (tmp_path / "run" / "aspects.md").read_text(encoding="utf-8")
    assert "| naturalness | 10 | 100 % |" in text
    lines = (tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[-1])["step"] == 2


@pytest.mark.slow
def test_a_listener_taught_evidence_alone_is_asked_for_evidence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ray.shutdown()  # the verb starts its own; the session's comes back with its next user
    places = ["--set", f"calibrate.output={tmp_path / 'run'}", "--set", f"calibrate.cache={tmp_path / 'cache'}"]
    # A course of weight 0 is not taught, and not asked for: of scores there would be none, which is an error where they were taught.
    taught = ["--set", f"calibrate.start={default_listener()}", "--set", "calibrate.courses={evidence=1.0, calibration=0.0}"]
    assert main([*SMALL, *places, *taught]) == 0
    assert "samples that the measurement contradicts" in capsys.readouterr().out
    assert not (tmp_path / "run" / "report.md").exists()
    report = json.loads((tmp_path / "run" / "evidence.json").read_text(encoding="utf-8"))
    assert report["grounded"]["clips"] == report["free"]["clips"] == 10
    assert report["grounded"]["coverage"] == 1.0
    assert report["grounded"]["samples_contradicted"] == 0.0
    # What learned for two steps makes things up where it may.
    assert report["free"]["samples_contradicted"] > 0.5
    # The same by the command of its own that the README names.
    asked = [
        str(tmp_path / "run" / "listener"),
        "--way",
        "listen",
        "--held-out",
        "10",
        "--samples",
        "8",
        "--cache",
        str(tmp_path / "cache"),
    ]
    assert gsrm_report([*asked, "--free"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["samples_contradicted"] == pytest.approx(report["free"]["samples_contradicted"], abs=0.2)


def test_what_cannot_work_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--speech", str(tmp_path / "none")]) == 1
    assert "no such folder of recordings" in capsys.readouterr().err
    assert main(["--set", "calibrate.data.clips=0"]) == 1
    assert "give rated clips" in capsys.readouterr().err
    assert main(["--set", "calibrate.data.clip_s=2.0"]) == 1
    assert "set them to the same values" in capsys.readouterr().err
    assert main(["--report-only", str(default_listener()), "--tasks", "evidence"]) == 1
    assert "was not taught evidence" in capsys.readouterr().err
    assert main(["--set", f"calibrate.start={tmp_path / 'none'}"]) == 1
    assert "none: no listener there" in capsys.readouterr().err
    cache = tmp_path / "cache"
    places = ["--set", f"calibrate.cache={cache}", "--set", f"calibrate.enhanced.scenes={tmp_path / 'MISSING'}"]
    assert main([*SMALL, *places]) == 1
    assert "MISSING: no such folder; make the corpus first" in capsys.readouterr().err
    assert not cache.exists()  # no clip was made before that was said
