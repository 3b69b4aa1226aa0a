"""The guard as the job sees it: metrics that nothing guards are said; measurements that are empty, or never end, are lost."""

import io
import os
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from auricle.errors import ConfigError
from auricle.judging.panel import JudgeConfig, PanelConfig
from auricle.learning.guard import GuardConfig, Measurement
from auricle.scenes.scene import Scene
from pipelines.display import Display
from pipelines.finetune_guard import MOST_LOST, GuardWatch
from pipelines.run_folder import RunFolder
from pipelines.settings import RunSettings, Settings

SCENES = [Scene(f"S{number}", "dev", Path("mix.wav"), target=Path("target.wav")) for number in range(8)]


def told(monkeypatch, panel=None, scenes=SCENES, **guard):
    notes = []
    watch = GuardWatch(
        Settings(guard=GuardConfig(**guard), panel=panel or PanelConfig()), None, None, None, note=notes.append, stop=notes.append
    )
    monkeypatch.setattr(watch, "watch_with", lambda *arguments: None)
    watch.start(scenes, "enhancer", "panel")
    return notes


def test_metrics_without_a_tolerance_are_said_and_none_with_one_is_refused(monkeypatch):
    assert not told(monkeypatch)
    [note] = told(monkeypatch, tolerance={"pesq": 0.1})  # as of --set guard.tolerance.pesq=0.1, which leaves the others without
    assert "has no value for stoi, si_sdr, dnsmos_fast_ovrl" in note
    with pytest.raises(ConfigError, match="no value for estoi, dnsmos_sig"):
        told(monkeypatch, metrics=("estoi", "dnsmos_sig"))


@pytest.mark.parametrize(
    ("judge", "optimised"),
    [
        (JudgeConfig(name="dnsmos"), "dnsmos_fast_ovrl"),
        (JudgeConfig(name="loudspeaker", kind="estoi", weights={"score": 0.5}), "stoi"),
        (JudgeConfig(name="dnsmos", weights={}), ""),
    ],
)
def test_a_guard_that_votes_is_said_to_be_no_independent_check(monkeypatch, judge, optimised):
    notes = told(monkeypatch, PanelConfig(judges=(JudgeConfig(name="listener"), judge)))
    assert [note.split(": ")[1].split(" is")[0] for note in notes] == ([optimised] if optimised else [])
    assert all("no independent check" in note for note in notes)


def test_too_few_scenes_to_tell_a_fall_by_are_refused_before_anything_starts(monkeypatch):
    bare = [replace(scene, target=None) for scene in SCENES]
    with pytest.raises(ConfigError, match=r"of 8 held-out scenes 3 have clean targets.*can have scores on 4"):
        told(monkeypatch, scenes=[*SCENES[:3], *bare[3:]], metrics=("pesq", "stoi"))
    assert not told(monkeypatch, scenes=[*SCENES[:4], *bare[4:]], metrics=("pesq", "stoi"))
    assert not told(monkeypatch, scenes=[*SCENES[:3], *bare[3:]])  # DNSMOS needs no targets
    with pytest.raises(ConfigError, match="can have scores on 2"):
        told(monkeypatch, scenes=SCENES[:1])
    [note] = told(monkeypatch, scenes=SCENES[:1], stop=False)
    assert "no fall could be told" in note


class Meter:
    """What the guard's actors do: a scripted one. `ill`: the first that is made never answers (`hangs`), or dies at its first call."""

    def __init__(self, folder, panel, ill):
        self.first, self.panel = not (folder / "made").exists(), panel
        self.notes = ("one scene is left out",)
        (folder / "made").touch()
        self.ill = ill
        if not self.first:
            time.sleep(2)  # as long as it takes to load the scenes

    def measure(self, step, checkpoint):
        if self.first and self.ill == "hangs":
            time.sleep(3600)
        if self.first and self.ill == "dies":
            os._exit(1)
        scores = {"panel": [self.panel] * 2, "pesq": [1.5, 1.6], "stoi": [0.7, float("nan")]}
        return Measurement(step, scores, ("a", "b"), self.notes)


@pytest.fixture
def watched(ray_local, tmp_path):
    """A watch over scripted meters, and what it said and asked."""

    def make(panel=2.0, ill="", **guard):
        settings = Settings(run=RunSettings(folder=tmp_path, name="run"), guard=GuardConfig(**guard))
        run, said, stops = RunFolder.create(settings), [], []
        tracker = SimpleNamespace(log_metrics=lambda *arguments: None)
        display = Display("run", 4, console=Console(file=io.StringIO()))
        watch = GuardWatch(settings, run, tracker, display, note=said.append, stop=stops.append)
        watch.watch_with(Meter, tmp_path, panel, ill)
        return watch, run, said, stops

    return make


def test_a_panel_that_scores_nothing_leaves_the_run_unguarded_and_stops_it(watched):
    watch, run, said, stops = watched(panel=float("nan"))
    watch.measure_what_is_missing(None)
    watch.wait()
    assert sum("measurement of step 0 failed: the panel gave no score on any held-out scene" in line for line in said) == MOST_LOST
    assert [stop.split(":")[0] for stop in stops] == ["unguarded"]
    assert "the panel gave no score" in watch.unguarded
    assert run.measurements() == []


def test_a_start_without_scores_on_disk_is_measured_again(watched):
    watch, run, _, stops = watched()
    run.write_measurement(Measurement(0, {"panel": [float("nan")] * 2, "pesq": [1.5, 1.6]}))
    watch.measure_what_is_missing(None)
    watch.wait()
    assert [list(one.scores["panel"]) for one in run.measurements()] == [[2.0, 2.0]]
    assert run.measurements()[0].clusters == ["a", "b"]
    assert not stops


def test_what_guards_nothing_and_scenes_left_out_are_events_told_once(watched):
    watch, _, said, _ = watched()
    for step in (0, 2):
        watch.measure(step, None)
    watch.wait()
    assert [line for line in said if "left out" in line] == ["guard: one scene is left out"]
    [weak] = [line for line in said if "stoi was scored" in line]
    assert "only 1 of 2 held-out scenes at the start (needed: 2), so it guards nothing" in weak


def test_all_checkpoints_that_a_kill_left_unmeasured_are_measured_and_none_beyond(tmp_path, monkeypatch):
    settings = Settings(run=RunSettings(folder=tmp_path, name="run"), guard=GuardConfig(every=2))
    run, asked = RunFolder.create(settings), []
    watch = GuardWatch(settings, run, None, None, note=asked.append, stop=asked.append)
    monkeypatch.setattr(watch, "measure", lambda step, folder: asked.append((step, folder and folder.name)))
    for step in (2, 4, 5, 6, 7, 8):
        (run.path / "checkpoints" / f"step-{step:06d}").mkdir(parents=True)
    for step in (0, 4):
        run.write_measurement(Measurement(step, {"panel": [2.0] * 2, "pesq": [1.5, 1.6]}))
    watch.measure_what_is_missing((7, run.path / "checkpoints" / "step-000007"))
    # 5 was no step of the schedule; 7, neither, is where the run goes on; 8 was renamed, but nothing pointed at it.
    assert asked == [(2, "step-000002"), (6, "step-000006"), (7, "step-000007")]


def test_a_meter_that_hangs_is_replaced_and_what_waited_is_measured(watched):
    watch, run, said, stops = watched(ill="hangs", timeout_s=60.0)
    watch.measure(0, None)
    watch.measure(2, None)
    while not (run.path.parent / "made").exists():
        watch.collect(timeout_s=0.1)
    watch._began_s -= 61.0  # as if it had been at it for so long
    watch.wait()
    assert [one.step for one in run.measurements()] == [0, 2]
    assert [line for line in said if "failed" in line] == [
        "the guard's measurement of step 0 failed: it did not end within guard.timeout_s = 60 s"
    ]
    assert not stops


def test_a_meter_that_dies_has_lost_one_measurement_whatever_is_asked_meanwhile(watched):
    watch, run, said, stops = watched(ill="dies")
    watch.measure(0, None)
    watch.measure(2, None)
    while not said:
        watch.collect(timeout_s=0.1)
    watch.measure(4, None)  # a checkpoint that is written while the next meter starts
    watch.collect()
    watch.wait()
    assert [one.step for one in run.measurements()] == [0, 2, 4]
    [failed] = [line for line in said if "failed" in line]
    assert "measurement of step 0 failed" in failed
    assert not stops
