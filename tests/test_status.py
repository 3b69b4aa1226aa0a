"""What `auricle status` says of a run: from its files alone."""

import json
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from actors.coordinator import write_json
from auricle.learning.quarantine import Quarantined
from auricle.ledger import LedgerEntry, record_issued, write_part
from pipelines.reporting.bottleneck import find_bottleneck
from pipelines.run_folder import RunFolder
from pipelines.settings import RunSettings, Settings
from pipelines.status import lines_of, main, read_status


def shares(rollout: float, reward: float, learner: float, **more: float) -> dict[str, float]:
    return {f"pool/{pool}/busy_share": share for pool, share in (("rollout", rollout), ("reward", reward), ("learner", learner))} | {
        f"stream/{name}": value for name, value in more.items()
    }


@pytest.mark.parametrize(
    ("metrics", "pool", "cure"),
    [
        (shares(0.1, 0.95, 0.2), "reward", "max_replicas"),
        (shares(0.9, 0.5, 0.2), "rollout", "rollout.actors"),
        (shares(0.1, 0.5, 0.97), "learner", "as it should be"),
        (shares(0.1, 0.2, 0.3, gate_wait_s=40.0, step_s=2.0), "gate", "max_staleness"),
        (shares(0.1, 0.2, 0.3, gate_wait_s=0.1, step_s=2.0), "none", "blocks"),
    ],
)
def test_the_pool_that_holds_the_others_up_is_named_with_a_cure(metrics: dict[str, float], pool: str, cure: str) -> None:
    found = find_bottleneck(metrics)
    assert found is not None
    assert found.pool == pool
    assert cure in found.sentence()


def test_without_busy_shares_nothing_is_made_up() -> None:
    assert find_bottleneck({"reward/mean": 3.0}) is None


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(Settings(run=RunSettings(folder=tmp_path, name="one")))


def entry(rollout_id: int, dropped: str = "") -> LedgerEntry:
    return LedgerEntry(
        rollout_id=rollout_id,
        step=0,
        scene_id="S1",
        sample=rollout_id,
        version=0,
        state="dropped" if dropped else "trained",
        reason=dropped,
        reward=None if dropped else 3.0,
        verdicts={},
    )


def go(run: RunFolder, now_s: float) -> None:
    write_part(run.path / "ledger", 0, 1, [entry(0), entry(1, "timeout")])
    record_issued(run.path / "ledger", 4)
    metrics = {**shares(0.1, 0.9, 0.2, step_s=2.0, rows_per_s=1.5), "reward/mean": 2.5, "loss/value": None}
    run.append("metrics.jsonl", {"step": 0, "time_s": now_s, "metrics": metrics})


def test_a_run_that_goes_on_says_where_it_is(run: RunFolder) -> None:
    now_s = time.time()
    assert read_status(run, now_s=now_s).state == "not begun"
    go(run, now_s)
    status = read_status(run, now_s=now_s + 3)
    assert (status.state, status.steps, status.last_sign_s) == ("running", 1, pytest.approx(3, abs=0.01))
    text = "\n".join(lines_of(status))
    wanted = (
        "one: running, 1 steps",
        "reward holds the others up",
        "issued 4 = trained 1 + dropped 1 + in flight 2",
        "timeout 1",
        "1.5 rows/s",
    )
    assert [said for said in wanted if said not in text] == []
    assert "FAULT    " in text  # steps are in the books, and no checkpoint is there


def test_scenes_that_are_left_out_are_named_with_the_reason(run: RunFolder) -> None:
    one = Quarantined("S7", step=12, failures=3, reason="scene: S7_mix.wav: it ends early")
    write_json(run.path / "quarantine.json", {"scenes": [asdict(one)]})
    assert run.quarantined() == [one]
    assert f"  left out {one.sentence()}" in lines_of(read_status(run, now_s=time.time()))
    assert "S7 is quarantined: it failed in 3 steps in a row, last in step 12: scene: S7_mix.wav: it ends early" in one.sentence()
    (run.path / "quarantine.json").write_text("{")
    assert run.quarantined() == []


def test_a_run_that_says_nothing_any_more_is_silent(run: RunFolder) -> None:
    now_s = time.time()
    go(run, now_s)
    assert read_status(run, now_s=now_s + 600).state == "silent"


def test_a_run_has_ended_where_it_said_so_and_not_where_it_was_resumed_since(run: RunFolder) -> None:
    now_s = time.time()
    go(run, now_s - 100)
    for event in ("interrupted; a checkpoint is written", "issued 4 = trained 1 + dropped 1 + in flight 2"):
        run.event(event, 1)
    assert read_status(run, now_s=now_s + 600).state == "ended"
    run.event("going on at the checkpoint of step 1", 1)
    assert read_status(run, now_s=now_s + 10).state == "running"


def test_the_verb_prints_it_and_json(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    go(run, time.time())
    assert main([str(run.path)]) == 0
    assert "ledger   issued 4" in capsys.readouterr().out
    assert main([str(run.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ledger"]["reasons"] == {"timeout": 1}
    assert main([str(run.path / "elsewhere")]) == 1
