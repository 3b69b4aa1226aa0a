"""The chaos harness: what it counts, that its runs can be started, and one fault from beginning to end."""

import json

import numpy as np
import pytest

from actors.coordinator import checkpoint_folder, write_json
from auricle.judging.judge import JudgeClip
from auricle.judging.verdict import Failed, Scored
from auricle.ledger import LedgerEntry, record_issued, write_part
from benchmarks import chaos
from benchmarks.chaos_faults import catalogue
from benchmarks.chaos_judge import MoodJudge, MoodOptions
from benchmarks.chaos_run import BATCH, JUDGE, SETTINGS, Trial, books, make_workplace
from pipelines.command import load_settings
from pipelines.deadlines import check_deadlines


def make_folder(path):
    path.mkdir(parents=True, exist_ok=True)
    return path


def write_ledger(run, ids, steps):
    entries = [LedgerEntry(number, number // BATCH, "S", 0, 0, "trained", reward=1.0) for number in ids]
    write_part(run / "ledger", 0, steps, entries)
    record_issued(run / "ledger", steps * BATCH)


def test_books_count_what_is_missing_and_what_stands_twice(tmp_path):
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    write_ledger(whole, range(2 * BATCH), 2)
    assert (books(whole, 2).lost, books(whole, 2).twice, books(whole, 2).faults) == (0, 0, ())
    assert books(whole, 3).lost == BATCH  # it should have made a step more
    write_ledger(torn, [0, 1, 1, 1, 3, 4], 2)
    found = books(torn, 2)
    assert (found.lost, found.twice) == (2 * BATCH - 4, 2)
    assert found.faults


def test_a_run_without_books_is_no_run_without_losses(tmp_path):
    assert books(tmp_path, 2).faults
    assert books(tmp_path, 2).lost != 0


def test_recovery_is_counted_in_steps_made_after_the_fault(tmp_path):
    trial = Trial(tmp_path, tmp_path, "run", 20)
    trial.run.mkdir()
    # Steps 0-3 before the fault at 10 s; 4 was all but done; 2 and 3 are made again after a restart; 6 is the first made wholly after it.
    times = {0: 1.0, 1: 3.0, 2: 20.0, 3: 21.0, 4: 22.5, 5: 23.0, 6: 24.0, 7: 25.0}
    trial.run.joinpath("metrics.jsonl").write_text("".join(json.dumps({"step": s, "time_s": t}) + "\n" for s, t in times.items()))
    write_json(
        make_folder(trial.run / "checkpoints") / "last.json", {"step": 8, "folder": make_folder(checkpoint_folder(trial.run, 8)).name}
    )
    found = chaos.recovered(trial, chaos.Injection(4, 10.0), 10.0, tmp_path)
    assert (found.next_step_s, found.through_s) == (10.0, 15.0)
    assert found.differs.startswith("step 8: no ")


@pytest.mark.parametrize("fault", catalogue().values(), ids=catalogue().keys())
def test_every_fault_has_a_run_that_can_be_started(fault, tmp_path):
    judges = fault.judges or JUDGE.format(mood=tmp_path / "mood", more=fault.judge_more)
    settings = load_settings("tiny", [*SETTINGS, *fault.settings, f"panel.judges=[{judges}]"])
    check_deadlines(settings)
    assert settings.staleness.exact_staleness


def test_a_judge_is_in_the_mood_that_the_file_says(tmp_path):
    judge = MoodJudge(MoodOptions(mood=str(tmp_path / "mood"), clip_s=0.0))
    rng = np.random.default_rng(0)
    clips = [JudgeClip(str(number), rng.normal(0, 0.1, 1600).astype(np.float32), 16000, None, "") for number in range(20)]
    well = judge.judge(clips)
    assert all(isinstance(verdict, Scored) for verdict in well)
    (tmp_path / "mood").write_text("unparsable 0.5")
    ill = judge.judge(clips)
    assert 0 < sum(isinstance(verdict, Failed) for verdict in ill) < 20
    assert ill == judge.judge(clips)
    (tmp_path / "mood").write_text("")
    assert judge.judge(clips) == well


def test_faults_share_a_run_only_where_each_can_be_told_from_the_weights():
    known = catalogue()
    shared = {fault.name: number for number, plan in enumerate(chaos.plans(list(known.values()), together=True)) for fault in plan}
    assert shared["kill-store"] == shared["stop-rollout-ever"] != shared["node-reward"] == shared["node-learner"]
    assert len({shared[name] for name in ("unparsable", "disk-full", "kill-all", "kill-listener", "kill-store")}) == 5
    assert len(chaos.plans(list(known.values()), together=False)) == len(known)


def test_a_fault_that_does_not_exist_is_an_error_with_the_list(tmp_path, capsys):
    assert chaos.main(["--faults", "kill-cat", "--output", str(tmp_path)]) == 2
    assert "kill-coordinator" in capsys.readouterr().err


def test_a_row_that_lost_something_fails_the_benchmark(tmp_path):
    fault = catalogue()["kill-store"]
    row = chaos.Row(fault.name, fault.about)
    write_ledger(tmp_path / "run", [0, 1, 3], 2)
    chaos.judge_row(fault, row, tmp_path / "run", tmp_path / "run", 2, [0], [], "", wanted=3)
    assert any("lost 5" in what for what in row.faults)
    assert any("struck 0 of 3 times" in what for what in row.faults)


def test_what_is_kept_of_one_plan_is_not_taken_for_another():
    known = list(catalogue().values())
    names = {chaos.run_name(faults, repeats, 0) for faults in (known[:2], known[:3], known[:1]) for repeats in (1, 3)}
    assert len(names) == 6


@pytest.mark.slow
def test_the_coordinators_death_loses_nothing_and_changes_nothing(tmp_path, capsys):
    assert chaos.main(["--faults", "kill-coordinator", "--repeats", "1", "--output", str(tmp_path)]) == 0, capsys.readouterr().out
    [row] = json.loads((tmp_path / "kill-coordinator-1x-0.json").read_text())
    assert (row["books"]["lost"], row["books"]["twice"], row["weights"], row["left_over"]) == (0, 0, "yes", [])
    assert [one["restarts"] for one in row["injections"]] == [1]


def test_the_workplace_is_the_same_each_time(tmp_path):
    for name in ("one", "two"):
        make_workplace(tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert files
    assert all((tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes() for file in files)
