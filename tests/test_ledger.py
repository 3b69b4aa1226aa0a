"""The ledger's accounting: what adds up, and what it says where it does not."""

import pytest

from auricle.errors import LedgerError
from auricle.ledger import SCHEMA as LEDGER_SCHEMA
from auricle.ledger import LedgerEntry, account, finished_steps, parts, read, record_issued, truncate, write_part
from pipelines.ledger import main

VERDICT = {
    "state": "scored",
    "score": 3.25,
    "rationale": "a hissing noise",
    "dimensions": {"expected": 3.25},
    "spans": [{"artefact": "dropout", "start_s": 0.5, "end_s": 1.0}],
    "prompt_hash": "p",
    "model_hash": "m",
    "audio_hash": "a",
    "latency_s": 0.2,
    "attempts": 1,
}
FAILED = {"state": "failed", "reason": "timeout", "detail": "60 s", "latency_s": 60.0, "attempts": 3}


def entry(rollout_id, *, step=0, dropped=""):
    return LedgerEntry(
        rollout_id=rollout_id,
        step=step,
        scene_id=f"S{rollout_id // 2:05d}",
        sample=rollout_id % 2,
        version=0,
        state="dropped" if dropped else "trained",
        reason=dropped,
        reward=None if dropped else 3.25,
        verdicts={"listener": FAILED if dropped else VERDICT},
    )


def test_a_ledger_that_adds_up_says_so(run_folder, capsys):
    write_part(run_folder / "ledger", 0, 1, [entry(1, dropped="failed_verdict"), entry(0)])
    write_part(run_folder / "ledger", 1, 2, [entry(2, step=1), entry(3, step=1)])
    record_issued(run_folder / "ledger", 10)
    sums = account(run_folder / "ledger")
    assert (sums.issued, sums.trained, sums.dropped, sums.in_flight, sums.balanced) == (10, 3, 1, 6, True)
    assert sums.reasons == {"failed_verdict": 1}
    assert main([str(run_folder), "--check"]) == 0
    assert capsys.readouterr().out == "issued 10 = trained 3 + dropped 1 + in flight 6\n"


def test_rows_hold_the_words_spans_hashes_and_failures(run_folder):
    path = write_part(run_folder / "ledger", 0, 1, [entry(0), entry(1, dropped="failed_verdict")])
    assert path.name == "steps-000000-000001.parquet"
    scored, failed = read(run_folder / "ledger").to_pylist()
    [verdict] = scored["verdicts"]
    assert verdict["text"] == "a hissing noise"
    assert verdict["spans"] == [{"artefact": "dropout", "start_s": 0.5, "end_s": 1.0}]
    assert (verdict["prompt_hash"], verdict["model_hash"], verdict["audio_hash"], verdict["attempts"]) == ("p", "m", "a", 1)
    assert failed["reward"] is None
    assert failed["verdicts"][0]["score"] is None
    assert failed["verdicts"][0]["reason"] == "timeout"
    assert read(run_folder / "ledger").schema == LEDGER_SCHEMA


def test_an_id_that_stands_twice_is_a_fault(run_folder, capsys):
    write_part(run_folder / "ledger", 0, 1, [entry(0), entry(1), entry(1)])
    assert main([str(run_folder), "--check"]) == 1
    assert "twice: [1]" in capsys.readouterr().err


def test_a_missing_id_is_a_fault(run_folder):
    write_part(run_folder / "ledger", 0, 1, [entry(0), entry(2)])
    [fault] = account(run_folder / "ledger").faults
    assert "missing: [1]" in fault


def test_more_ended_than_issued_is_a_fault(run_folder):
    write_part(run_folder / "ledger", 0, 1, [entry(0), entry(1)])
    record_issued(run_folder / "ledger", 1)
    assert not account(run_folder / "ledger").balanced


def test_a_trained_rollout_needs_a_reward(run_folder):
    broken = LedgerEntry(0, 0, "S00000", 0, 0, "trained")
    write_part(run_folder / "ledger", 0, 1, [broken])
    assert "no reward" in account(run_folder / "ledger").faults[0]


def test_a_gap_between_parts_is_named(run_folder):
    write_part(run_folder / "ledger", 0, 1, [entry(0)])
    write_part(run_folder / "ledger", 2, 3, [entry(1)])
    with pytest.raises(LedgerError, match="begins at step 2, expected 1"):
        parts(run_folder / "ledger")


def test_resuming_forgets_the_parts_beyond_the_checkpoint(run_folder):
    write_part(run_folder / "ledger", 0, 2, [entry(0)])
    write_part(run_folder / "ledger", 2, 4, [entry(1)])
    truncate(run_folder / "ledger", 2)
    assert [path.name for path in parts(run_folder / "ledger")] == ["steps-000000-000002.parquet"]


def test_finished_steps_come_in_order_with_the_failures_of_what_was_dropped(run_folder):
    folder = run_folder / "ledger"
    assert list(finished_steps(folder)) == []
    write_part(folder, 0, 2, [entry(3, step=1), entry(1, dropped="failed_verdict"), entry(0), entry(2, step=1)])
    write_part(folder, 2, 3, [entry(4, step=2)])
    steps = dict(finished_steps(folder))
    assert {step: [one.rollout_id for one in entries] for step, entries in steps.items()} == {0: [0, 1], 1: [2, 3], 2: [4]}
    kept, dropped = steps[0]
    assert (kept.state, kept.verdicts) == ("trained", {})
    assert (dropped.reason, dropped.verdicts) == ("failed_verdict", {"listener": {"state": "failed", "reason": "timeout"}})


def test_a_folder_without_a_ledger_is_an_error_with_the_cure(tmp_path, capsys):
    assert main([str(tmp_path / "nothing"), "--check"]) == 1
    assert "give the run's folder" in capsys.readouterr().err


def test_a_lost_last_part_is_a_fault(run_folder):
    write_part(run_folder / "ledger", 0, 2, [entry(0), entry(1)])
    (run_folder / "checkpoints").mkdir()
    (run_folder / "checkpoints" / "last.json").write_text('{"step": 4, "folder": "step-000004"}')
    [fault] = account(run_folder / "ledger").faults
    assert "ends at step 2, the last checkpoint is of step 4" in fault


def test_a_part_beyond_the_checkpoint_is_no_fault_but_is_said(run_folder):
    write_part(run_folder / "ledger", 0, 2, [entry(0), entry(1)])
    write_part(run_folder / "ledger", 2, 4, [entry(2, step=2), entry(3, step=3)])  # killed before the checkpoint of step 4 was final
    record_issued(run_folder / "ledger", 6)
    (run_folder / "checkpoints").mkdir()
    (run_folder / "checkpoints" / "last.json").write_text('{"step": 2, "folder": "step-000002"}')
    sums = account(run_folder / "ledger")
    assert (sums.trained, sums.in_flight, sums.beyond, sums.balanced) == (4, 2, 2, True)
    assert "2 ended beyond the last checkpoint" in sums.remark()
