"""The guard's meter: metrics as in the tables of `auricle evaluate`, and requests in blocks that a judge hears in one call."""

import math

import numpy as np
import pytest

from actors.guard import GuardMeter
from auricle.enhancers.checkpoint import load_enhancer
from auricle.judging.local import LocalPanel
from auricle.judging.panel import JudgeConfig, PanelConfig
from auricle.metrics.scoring import score_clip
from auricle.scenes.loading import load_clip
from tests.actors.rows import small_enhancer
from tests.talking import talking_scenes

PANEL = PanelConfig(judges=(JudgeConfig(name="probe", kind="tests.judges:BandJudge", batch_size=2),))


class LocalHandle:
    """What a Serve handle offers, over a panel in this process; remembers how many clips each call had."""

    def __init__(self, panel):
        self.panel, self.blocks = panel, []
        self.judge = self

    def remote(self, requests):
        self.blocks.append(len(requests))
        self._answers = self.panel.judge(requests)
        return self

    def result(self, timeout_s):
        return self._answers


@pytest.fixture
def meter(tmp_path, monkeypatch):
    scenes = talking_scenes(tmp_path / "scenes", 5)
    folder = str(small_enhancer(tmp_path / "enhancer"))
    with LocalPanel(PANEL) as panel:
        handle = LocalHandle(panel)
        monkeypatch.setattr("actors.guard.serve.get_app_handle", lambda name: handle)
        yield GuardMeter(scenes, folder, 1.0, ("stoi", "si_sdr", "dnsmos_fast_ovrl"), PANEL, "panel", 5.0), handle, scenes, folder


def test_requests_go_in_blocks_and_come_back_in_order(meter):
    made, handle, _, _ = meter
    measurement = made.measure(0, None)
    assert handle.blocks == [2, 2, 1]
    alone = [handle.panel.judge([request(made, place)])[0]["probe"]["score"] for place in range(5)]
    assert list(measurement.scores["probe"]) == pytest.approx(alone, abs=1e-5)


def request(made, place):
    audio = made.enhance()[place]
    return {"clip_id": "x", "audio": audio, "sample_rate_hz": 16_000, "reference": None}


def test_scores_are_those_of_the_tables(meter):
    made, _, scenes, folder = meter
    enhancer = load_enhancer(folder)
    clip = load_clip(scenes[0], **enhancer.clip_format, duration_s=1.0)
    expected = score_clip(made.enhance()[0], clip.target, 16_000, ("stoi", "si_sdr", "dnsmos_fast_ovrl")).values
    found = made.measure(0, None).scores
    for name, value in expected.items():
        assert found[name][0] == pytest.approx(value, nan_ok=True) if value is not None else math.isnan(found[name][0])


def test_a_loud_output_is_measured_too(meter, monkeypatch):
    made = meter[0]
    quiet = made.measure(0, None).scores["dnsmos_fast_ovrl"]
    clips = [50.0 * audio for audio in made.enhance()]
    assert max(np.abs(clip).max() for clip in clips) > 1.0
    monkeypatch.setattr(made, "enhance", lambda: clips)
    assert list(made.measure(0, None).scores["dnsmos_fast_ovrl"]) == pytest.approx(list(quiet), abs=1e-2)


def test_a_scene_that_cannot_be_loaded_keeps_its_place(meter, tmp_path):
    made, _, scenes, folder = meter
    whole = made.measure(0, None).scores
    scenes[1].mix.write_bytes(b"no sound")
    measured = GuardMeter(scenes, folder, 1.0, ("si_sdr",), PANEL, "panel", 5.0).measure(10, None)
    [note] = measured.notes
    assert note.startswith(f"1 of 5 held-out scenes cannot be loaded and are never measured: {scenes[1].scene_id} (")
    again = measured.scores
    assert len(again["panel"]) == 5
    assert math.isnan(again["si_sdr"][1])
    assert math.isnan(again["panel"][1])
    for place in (0, 2, 3, 4):
        assert again["si_sdr"][place] == pytest.approx(whole["si_sdr"][place], abs=1e-4)
