"""The main job, whole and small: real Ray, Serve, DeepSpeed, MLflow; killed workers; Ctrl-C; resume; a fooled judge; bad input."""

import re
import signal
import time

import pytest

from auricle.ledger import account, read
from pipelines.run_folder import RunFolder
from tests.jobs import command, kill_one, make_workplace, run, started, wait_for_steps


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finetune")
    make_workplace(folder)
    return folder


@pytest.mark.slow
def test_a_run_learns_is_accounted_for_and_leaves_a_report(workplace):
    done = run(command(workplace, "plain", "finetune.steps=4"))
    assert done.returncode == 0, done.stdout + done.stderr
    folder = workplace / "runs" / "plain"
    sums = account(folder / "ledger")
    assert (sums.issued, sums.trained, sums.in_flight, sums.balanced) == (16, 16, 0, True)
    table = read(folder / "ledger")
    assert table["rollout_id"].to_pylist() == list(range(16))
    assert all(0 <= step - version <= 2 for step, version in zip(table["step"].to_pylist(), table["version"].to_pylist(), strict=True))
    [verdict] = table["verdicts"][0].as_py()
    assert (verdict["judge"], verdict["state"]) == ("probe", "scored")
    assert verdict["audio_hash"]
    assert (folder / "report.html").stat().st_size > 10_000
    assert {path.name for path in (folder / "samples").glob("*/*")} >= {"noisy.wav", "before.wav", "after.wav", "clean.wav", "words.json"}
    assert [record["step"] for record in RunFolder(folder).lines("metrics.jsonl")] == [0, 1, 2, 3]
    assert {record["step"] for record in RunFolder(folder).lines("guard.jsonl")} == {0, 2, 4}
    kept = (folder / "config.toml").read_text()
    resumed = run([*command(workplace, "x")[:3], "--resume", str(folder), "--set", "learner.lr=0.1"])
    assert resumed.returncode == 0
    assert "all 4 steps are made; nothing to do" in resumed.stdout
    assert "starting Ray" not in resumed.stdout
    assert (folder / "config.toml").read_text() == kept  # what was never learned with does not stand there
    again = run(command(workplace, "plain", "finetune.steps=4"))
    assert again.returncode == 1
    assert "a run stands there already" in again.stderr


@pytest.mark.slow
def test_a_run_survives_a_killed_rollout_actor_judge_and_learner(workplace):
    folder = workplace / "runs" / "killed"
    with started(command(workplace, "killed", "finetune.steps=40")) as process:
        wait_for_steps(folder, 3, process)
        for title in ("RolloutStage", r"ServeReplica:panel-\S+:probe", "LearnerRank"):
            kill_one(process.pid, title)
            time.sleep(1)
        output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    sums = account(folder / "ledger")
    assert (sums.issued, sums.in_flight, sums.balanced) == (160, 0, True), sums
    assert sums.trained >= 150
    events = "".join(record["event"] for record in RunFolder(folder).lines("events.jsonl"))
    assert re.search(r"learner rank 0 \(pid \d+ on \S+, node \w+\) was lost: its process ended without a word", events), events
    assert "going back to " in events
    assert "restart 1 of" in events


@pytest.mark.slow
def test_ctrl_c_writes_a_checkpoint_and_resume_goes_on_from_it(workplace):
    folder = workplace / "runs" / "stopped"
    with started(command(workplace, "stopped", "finetune.steps=500", "guard.every=200")) as process:
        wait_for_steps(folder, 3, process)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    step, _ = RunFolder(folder).last_checkpoint()
    assert step >= 3
    assert account(folder / "ledger").trained == 4 * step
    resumed = run([*command(workplace, "x")[:3], "--resume", str(folder), "--set", f"finetune.steps={step + 3}"])
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    sums = account(folder / "ledger")
    assert (sums.trained, sums.in_flight, sums.balanced) == (4 * (step + 3), 0, True)
    assert [record["step"] for record in RunFolder(folder).lines("metrics.jsonl")] == list(range(step + 3))


@pytest.mark.slow
def test_a_run_without_staleness_does_not_wait_for_itself(workplace):
    """The block of a step may only be made once the step before is learned: nothing may hold that one back until the next is there."""
    settings = ["finetune.steps=3", "guard.every=10", "staleness.max_staleness=0"]
    done = run(command(workplace, "synchronous", *settings))
    assert done.returncode == 0, done.stdout + done.stderr
    steps = list(RunFolder(workplace / "runs" / "synchronous").lines("metrics.jsonl"))
    assert [line["metrics"]["stream/staleness_max"] for line in steps] == [0.0] * 3
    assert [line["metrics"]["judge/probe/verdicts"] for line in steps] == [4.0] * 3


@pytest.mark.slow
def test_a_judge_that_fails_too_often_stops_the_run_with_a_sentence(workplace):
    judges = "panel.judges=[{name='probe', kind='tests.judges:FailingJudge', options={share=0.7}}]"
    # Of such a panel two held-out scenes are no starting point for the guard; this is about the budget.
    done = run(
        command(
            workplace, "failing", "finetune.steps=50", judges, "failure_budget.window=8", "failure_budget.share=0.5", "guard.stop=false"
        )
    )
    assert done.returncode == 1
    assert "rollouts were dropped" in done.stdout
    log = RunFolder(workplace / "runs" / "failing").frameworks_log()
    assert log is None or str(log) in done.stderr
    sums = account(workplace / "runs" / "failing" / "ledger")
    assert sums.balanced
    assert sums.dropped > 0
    assert all(reward is None for state, reward in _states(workplace / "runs" / "failing") if state == "dropped")


def test_a_corpus_that_is_not_there_is_an_error_with_the_cure(workplace):
    done = run(command(workplace, "nowhere", "scenes.folder=/nowhere"))
    assert done.returncode == 1
    assert "auricle corpus synth" in done.stderr
    assert not (workplace / "runs" / "nowhere").exists()


@pytest.mark.parametrize(
    ("judge", "says"),
    [("kind='nowhere.judges:Crest'", "is its folder on PYTHONPATH"), ("kind='dnsmos', options={fst=true}", "did you mean 'fast'")],
)
def test_a_judge_that_cannot_be_built_is_told_before_anything_begins(workplace, judge, says):
    done = run(command(workplace, "unbuilt", f"panel.judges=[{{name='probe', {judge}}}]"))
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (workplace / "runs" / "unbuilt").exists()


def _states(folder):
    table = read(folder / "ledger", ["state", "reward"])
    return list(zip(table["state"].to_pylist(), table["reward"].to_pylist(), strict=True))
