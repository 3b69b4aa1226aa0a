"""The guard as the job sees it: metrics that nothing guards are said."""

from pathlib import Path

import pytest

from auricle.errors import ConfigError
from auricle.learning.guard import GuardConfig
from auricle.scenes.scene import Scene
from pipelines.finetune_guard import GuardWatch
from pipelines.settings import Settings

SCENES = [Scene("S1", "dev", Path("mix.wav"), target=Path("target.wav"))]


def told(monkeypatch, **guard):
    notes = []
    watch = GuardWatch(Settings(guard=GuardConfig(**guard)), None, None, None, note=notes.append, stop=notes.append)
    monkeypatch.setattr(watch, "watch_with", lambda *arguments: None)
    watch.start(SCENES, "enhancer", "panel")
    return notes


def test_metrics_without_a_tolerance_are_said_and_none_with_one_is_refused(monkeypatch):
    assert not told(monkeypatch)
    [note] = told(monkeypatch, tolerance={"pesq": 0.1})  # as of --set guard.tolerance.pesq=0.1, which leaves the others without
    assert "has no value for stoi, si_sdr, dnsmos_fast_ovrl" in note
    with pytest.raises(ConfigError, match="no value for estoi, dnsmos_sig"):
        told(monkeypatch, metrics=("estoi", "dnsmos_sig"))
