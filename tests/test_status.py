"""What `auricle status` says of a run: from its files alone."""

import json
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from actors import chatter
from actors.coordinator import write_json
from auricle.learning.quarantine import Quarantined
from auricle.ledger import LedgerEntry, record_issued, write_part
from pipelines.reporting.status import WIDTH
from pipelines.run_folder import FRAMEWORKS_LOG, RunFolder
from pipelines.settings import RunSettings, Settings
from pipelines.status import lines_of, main, read_status


def shares(rollout: float, reward: float, learner: float, **more: float) -> dict[str, float]:
    return {f"pool/{pool}/busy_share": share for pool, share in (("rollout", rollout), ("reward", reward), ("learner", learner))} | {
        f"stream/{name}": value for name, value in more.items()
    }


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
    metrics = {**shares(0.1, 0.9, 0.2, step_s=2.0, rows_per_s=1.5), "reward/mean": 2.5, "loss/value": None, "loss/kl": float("nan")}
    run.append("metrics.jsonl", {"step": 0, "time_s": now_s, "metrics": metrics})


def test_a_run_that_goes_on_says_where_it_is(run: RunFolder) -> None:
    now_s = time.time()
    assert read_status(run, now_s=now_s).state == "not begun"
    go(run, now_s)
    status = read_status(run, now_s=now_s + 3)
    assert (status.state, status.steps, status.last_sign_s) == ("running", 1, pytest.approx(3, abs=0.01))
    text = "\n".join(lines_of(status))
    wanted = (
        "one: running, 1 of 60 steps",
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
    assert f"left out {one.sentence()}" in " ".join(" ".join(lines_of(read_status(run, now_s=time.time()))).split())
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
    assert "ledger    issued 4" in capsys.readouterr().out
    assert main([str(run.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ledger"]["reasons"] == {"timeout": 1}
    assert main([str(run.path / "elsewhere")]) == 1


def wide_metrics(step: int) -> dict[str, float]:
    """A step's metrics of a run with long names and large figures."""
    metrics = shares(0.1, 0.93, 0.2, step_s=12.5, rows_per_s=121.5, staleness_mean=2.5, staleness_max=6.0, learner_wait_s=10.25)
    for pool in ("rollout", "reward", "learner"):
        metrics |= {f"pool/{pool}/{name}": 123.4 for name in ("queue_age_s", "queue_age_max_s", "queue_depth", "rows_per_s", "cpu_cores")}
        metrics |= {f"pool/{pool}/{name}": 123456.0 for name in ("rss_mib", "gpu_mib")} | {f"pool/{pool}/workers": 16.0}
    for judge in ("listener", "a-judge-with-a-long-name"):
        prefix = f"judge/{judge}"
        metrics |= {f"{prefix}/latency_{which}_s": 61.5 for which in ("p50", "p95", "p99")} | {f"{prefix}/queue_age_s": 40.25}
        metrics |= {f"{prefix}/verdicts": 512.0, f"{prefix}/failed": 3.0, f"{prefix}/retries": 2.0, f"{prefix}/failures/timeout": 3.0}
        metrics |= {f"{prefix}/processes": 4.0, f"{prefix}/rss_mib": 99999.0, f"{prefix}/gpu_mib": 80000.0, f"{prefix}/cpu_cores": 1.0}
    return metrics | {"failures/timeout": 3.0, "pool/reward/retries": 1.0, "reward/mean": 2.5}


def test_pools_judges_failures_and_scalings_are_shown_in_narrow_lines(run: RunFolder) -> None:
    now_s = time.time()
    for step in range(3):
        run.append("metrics.jsonl", {"step": step, "time_s": now_s, "metrics": wide_metrics(step)})
    event = {
        "time_s": now_s,
        "pool": "listener",
        "from_replicas": 2,
        "to_replicas": 4,
        "reason": "blocks wait",
        "queue_age_s": 40.0,
        "queue_depth": 12,
    }
    run.append("scaling.jsonl", event)
    run.event("a sentence that goes on and on " * 8, 3)
    (run.path / "frameworks.log").write_text("a warning\n")
    status = read_status(run, now_s=now_s)
    text = "\n".join(lines_of(status))
    assert max(map(len, text.splitlines())) <= WIDTH
    wanted = (
        "reward holds the others up",
        "of which the learner waits 10.2 s",
        "120.6 GiB",
        "9/1536",
        "listener timeout 9",
        "a-judge-with-a-long-name timeout 9",
        "the panel was asked again 3 times",
        "listener 2 -> 4: blocks wait (12 waiting for 40.0 s)",
        "frameworks.log",
    )
    assert [said for said in wanted if said not in text] == []
    assert json.loads(json.dumps(asdict(status)))["judges"][0]["reasons"] == {"timeout": 9}


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("checkpoints/last.json", '{"step": 2, "fol'),
        ("checkpoints/last.json", "[]"),
        ("checkpoints/last.json", '{"step": 1, "folder": "step-000001"}'),
        ("ledger/issued.json", ""),
        ("ledger/issued.json", '{"issued": null}'),
        ("ledger/steps-000001-000002.parquet", "PAR1 half of a part"),
        ("ledger/steps-000007-000009.parquet", "PAR1"),
        ("ledger/odd.parquet", "PAR1"),
    ],
)
def test_half_written_files_are_told_and_not_raised(run: RunFolder, file: str, text: str) -> None:
    go(run, time.time())
    path = run.path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    status = read_status(run, now_s=time.time())
    assert status.troubles
    assert any(path.name in trouble for trouble in status.troubles)
    assert "FAULT" in "\n".join(lines_of(status))
    assert main([str(run.path)]) == 0


@pytest.mark.parametrize("name", ["metrics.jsonl", "events.jsonl", "guard.jsonl", "scaling.jsonl", "config.toml"])
def test_lines_that_are_cut_off_or_odd_are_passed_over(run: RunFolder, name: str) -> None:
    now_s = time.time()
    go(run, now_s)
    with (run.path / name).open("ab") as file:
        file.write(b'\n5\nnull\n{"step": 1}\n{"metrics": [], "step": 2}\n{"event": 3, "time_s": "x", "step": \xc3')
    status = read_status(run, now_s=now_s)
    assert status.steps == 1
    assert lines_of(status)


def test_the_name_of_the_frameworks_log_is_the_one_it_is_written_under() -> None:
    assert FRAMEWORKS_LOG == chatter.NAME
