"""The main job, whole and small: real Ray, Serve, DeepSpeed, MLflow; killed workers; Ctrl-C; resume; a fooled judge; bad input."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from auricle.audio import write_audio
from auricle.enhancers.checkpoint import save_enhancer
from auricle.enhancers.registry import build_enhancer
from auricle.ledger import account, read
from pipelines.run_folder import RunFolder

RATE_HZ = 16000
SMALL = [
    "finetune.scenes_per_step=2",
    "finetune.samples_per_scene=2",
    "finetune.samples=1",
    "rollout.clip_s=1.0",
    "guard.every=2",
    "guard.scenes=2",
    "guard.metrics=['si_sdr']",
    "staleness.max_staleness=2",
    "panel.judges=[{name='probe', kind='tests.judges:BandJudge'}]",
    "check.enforce=false",  # BandJudge is a measurement, not an ear
]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A corpus of short tones in noise, and an untrained audio-only enhancer."""
    folder = tmp_path_factory.mktemp("finetune")
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("dev", 3)):
        for index in range(count):
            time_s = np.arange(int(1.2 * RATE_HZ)) / RATE_HZ
            target = (0.1 * np.sin(2 * np.pi * (300 + 100 * index) * time_s) * (1 + np.sin(2 * np.pi * 3 * time_s))).astype(np.float32)
            scenes = folder / "corpus" / split / "scenes"
            scenes.mkdir(parents=True, exist_ok=True)
            name = f"S{index + (0 if split == 'train' else 100):05d}"
            noise = rng.normal(0, 0.05, len(target)).astype(np.float32)
            write_audio(scenes / f"{name}_mono_mix.wav", target + noise, RATE_HZ)
            write_audio(scenes / f"{name}_target_mono.wav", target, RATE_HZ)
            write_audio(scenes / f"{name}_interferer_mono.wav", noise, RATE_HZ)
    torch.manual_seed(0)
    save_enhancer(build_enhancer("tf_fusion", {"use_video": False, "width": 32, "channels": 4, "layers": 1}), folder / "enhancer")
    return folder


def command(workplace, name, *more):
    settings = [f"run.folder={workplace / 'runs'}", f"run.name={name}", f"scenes.folder={workplace / 'corpus'}"]
    settings += [f"finetune.enhancer={workplace / 'enhancer'}", *SMALL, *more]
    return [sys.executable, "-m", "pipelines.finetune", *[part for setting in settings for part in ("--set", setting)]]


def run(arguments, *, timeout_s=240):
    root = Path(__file__).resolve().parent.parent
    environment = os.environ | {"PYTHONPATH": str(root)}
    return subprocess.run(arguments, cwd=root, env=environment, capture_output=True, text=True, timeout=timeout_s)


@contextmanager
def started(arguments):
    """The verb in the background, with all it starts ended when the test is over."""
    root = Path(__file__).resolve().parent.parent
    environment = os.environ | {"PYTHONPATH": str(root)}
    process = subprocess.Popen(arguments, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            below = descendants(process.pid)
            process.kill()
            for pid in below:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.communicate()


def wait_for_steps(folder, steps, process, timeout_s=180):
    deadline = time.monotonic() + timeout_s
    metrics = folder / "metrics.jsonl"
    while not (metrics.exists() and len(metrics.read_text().splitlines()) >= steps):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, f"no {steps} steps within {timeout_s} s"
        time.sleep(0.2)


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
    assert "a learner rank" in events
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
def test_a_judge_that_fails_too_often_stops_the_run_with_a_sentence(workplace):
    judges = "panel.judges=[{name='probe', kind='tests.judges:FailingJudge'}]"
    done = run(command(workplace, "failing", "finetune.steps=50", judges, "failure_budget.window=8", "failure_budget.share=0.5"))
    assert done.returncode == 1
    assert "rollouts were dropped" in done.stdout
    sums = account(workplace / "runs" / "failing" / "ledger")
    assert sums.balanced
    assert sums.dropped > 0
    assert all(reward is None for state, reward in _states(workplace / "runs" / "failing") if state == "dropped")


def test_a_corpus_that_is_not_there_is_an_error_with_the_cure(workplace):
    done = run(command(workplace, "nowhere", "scenes.folder=/nowhere"))
    assert done.returncode == 1
    assert "auricle corpus synth" in done.stderr
    assert not (workplace / "runs" / "nowhere").exists()


def kill_one(root, title):
    """SIGKILL the first process below `root` whose title matches."""
    for pid in descendants(root):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except FileNotFoundError:
            continue
        if re.search(title, words):
            os.kill(pid, signal.SIGKILL)
            return
    raise AssertionError(f"no process called {title}")


def descendants(root):
    """Process ids below `root`."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    found, frontier = [], [root]
    while frontier:
        frontier = [pid for pid, parent in parents.items() if parent in frontier]
        found += frontier
    return found


def _states(folder):
    table = read(folder / "ledger", ["state", "reward"])
    return list(zip(table["state"].to_pylist(), table["reward"].to_pylist(), strict=True))
