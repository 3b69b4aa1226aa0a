"""The panel comparison: which arms there are, and one table of who hacks whom from the evaluations of several seeds."""

import csv
import json
import tomllib

import numpy as np
import pytest

from auricle.config import build
from auricle.judging.panel import PanelConfig
from auricle.judging.registry import check_options
from benchmarks import panels
from benchmarks.arms import PRETRAINED, ArmError, finetuned, interval_text, minutes_of, read_rows, summarise
from pipelines.command import load_settings
from pipelines.deadlines import check_deadlines

COMMAND = ["labelled", "--corpus", "corpus/A"]
CHECKPOINTS = ["--questions", "q/listener", "--gsrm", "g", "--reasoned", "r/listener"]


def arguments(*more):
    return panels._arguments([*COMMAND, *more])


def panel_of(judges):
    return build(PanelConfig, tomllib.loads(f"judges = {judges}"), source="an arm")


def test_in_the_arm_whole_metrics_have_the_larger_vote():
    arms, _ = panels.arms_of(arguments("--arms", "whole"))
    votes = {judge.name: judge.weights["score"] for judge in panel_of(arms["whole"].judges).judges}
    assert votes == {"listener": 1.0, "pair": 1.0, "stoi": 1.0} | panels.WHOLE_WEIGHTS


def test_a_run_that_was_made_with_other_settings_is_not_taken_for_the_arm(tmp_path):
    (tmp_path / "arm").mkdir()
    (tmp_path / "arm" / "arm.done").write_text('["tiny", "learner.lr=1e-4"]')
    assert finetuned(tmp_path / "arm", "tiny", ["learner.lr=1e-4"]) == tmp_path / "arm"
    with pytest.raises(ArmError, match=r"was made with other settings .*lr=1e-4.* choose another --output"):
        finetuned(tmp_path / "arm", "tiny", ["learner.lr=3e-4"])


def test_every_arm_is_a_panel_that_can_be_built_and_fits_the_deadlines():
    arms, notes = panels.arms_of(arguments(*CHECKPOINTS))
    assert list(arms) == ["dnsmos", "sentiment", "anchor", "questions", "gsrm", "reasoned", "composite", "whole"]
    assert notes == []
    for arm in arms.values():
        for judge in panel_of(arm.judges).judges:
            check_options(judge.kind_or_name, judge.options)
        check_deadlines(load_settings("tiny", [f"panel.judges={arm.judges}", *arm.settings, *panels.PATIENCE]))
    opinions = panels.opinions_of(arms, arguments(*CHECKPOINTS))
    check_deadlines(load_settings("tiny", [f"panel.judges={opinions}", *panels.PATIENCE]))
    names = [judge.name for judge in panel_of(opinions).judges]
    assert sorted(names) == sorted(set(names))
    assert {"listener", "sentiment", "pair", "dnsmos", "questions", "gsrm", "reasoned"} == set(names)


def test_a_judge_that_is_not_there_is_left_out_by_name():
    arms, notes = panels.arms_of(arguments())
    assert list(arms) == ["dnsmos", "sentiment", "anchor", "composite", "whole"]
    assert [note.partition(":")[0] for note in notes] == ["questions", "gsrm", "reasoned"]
    arms, notes = panels.arms_of(arguments("--arms", "mine,dnsmos", "--arm", 'mine=[{name="mine", kind="stoi"}]'))
    assert list(arms) == ["mine", "dnsmos"]
    assert arms["mine"].rewards == ("mine",)


def test_adaptation_has_no_double_ended_judge_to_learn_from():
    given = panels._arguments(["adaptation", "--corpus", "corpus/B"])
    arms, notes = panels.arms_of(given)
    assert "double_ended" not in arms["composite"].judges
    assert "whole" not in arms
    assert any("double-ended" in note for note in notes)
    assert "double_ended" in panels.opinions_of(arms, given)


@pytest.fixture
def tables(tmp_path):
    """Two seeds of four scenes: the arm `dnsmos` gains .2 of DNSMOS and loses .1 PESQ; one PESQ failed."""
    rng = np.random.default_rng(0)
    for seed in (0, 1):
        folder = tmp_path / f"seed-{seed}" / "evaluation"
        folder.mkdir(parents=True)
        with (folder / "scenes.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, ["scene_id", "speaker", "system", "pesq", "dnsmos_ovrl", "listener", "failures", "words"])
            writer.writeheader()
            for scene in range(4):
                base = rng.uniform(1, 2)
                row = {"scene_id": f"S{scene}", "speaker": f"p{scene}", "failures": "", "words": ""}
                writer.writerow(row | {"system": PRETRAINED, "pesq": base, "dnsmos_ovrl": base, "listener": base})
                hacked = {"pesq": base - 0.1, "dnsmos_ovrl": base + 0.2 + 0.01 * scene, "listener": base}
                writer.writerow(row | {"system": "dnsmos"} | hacked | ({"pesq": ""} if (seed, scene) == (0, 0) else {}))
    return [tmp_path / f"seed-{seed}" / "evaluation" / "scenes.csv" for seed in (0, 1)]


def test_changes_are_paired_by_scene_and_failures_left_out(tables):
    found = summarise([row for table in tables for row in read_rows(table)], ["dnsmos", "not run"])
    assert found["dnsmos"]["pesq"]["mean"] == pytest.approx(-0.1)
    assert found["dnsmos"]["pesq"]["clips"] == 7
    change = found["dnsmos"]["dnsmos_ovrl"]
    assert change["mean"] == pytest.approx(0.215)
    assert change["low"] < change["mean"] < change["high"]
    assert sorted(change["seeds"]) == ["seed-0", "seed-1"]
    assert found["not run"] == {}
    assert interval_text(found["dnsmos"]["pesq"]).startswith("-0.100 [")


def test_the_table_marks_what_an_arm_was_rewarded_by(tables, tmp_path, capsys):
    arms, notes = panels.arms_of(arguments("--arms", "dnsmos"))
    results = summarise([row for table in tables for row in read_rows(table)], list(arms))
    panels.tell(results, arms, notes, "labelled, 2 seeds", tmp_path)
    text = (tmp_path / "panels.md").read_text()
    row = next(line for line in text.splitlines() if line.startswith("| dnsmos |"))
    assert row.count("*") == 1
    assert "+0.215" in row
    assert json.loads((tmp_path / "panels.json").read_text())["results"]["dnsmos"]["pesq"]["clips"] == 7
    assert "dnsmos" in capsys.readouterr().out


def test_time_in_which_a_run_was_interrupted_is_not_given_to_the_control(tmp_path):
    times = [10.0 * step for step in range(13)]
    lines = [json.dumps({"step": step, "time_s": time_s}) for step, time_s in enumerate(times)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    assert minutes_of(tmp_path) == pytest.approx(2.0)
    lines = [json.dumps({"step": step, "time_s": time_s + 3600.0 * (step > 5)}) for step, time_s in enumerate(times)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    assert minutes_of(tmp_path) == pytest.approx(2.0)
