"""The main job at its smallest, for tests that run it whole: its corpus, its command, and how to end it at a bad moment."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import torch

from auricle.audio import write_audio
from auricle.enhancers.checkpoint import save_enhancer
from auricle.enhancers.registry import build_enhancer

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


def make_workplace(folder):
    """A corpus of short tones in noise, and an untrained audio-only enhancer, in `folder`."""
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


def command(workplace, name, *more):
    settings = [f"run.folder={workplace / 'runs'}", f"run.name={name}", f"scenes.folder={workplace / 'corpus'}"]
    settings += [f"finetune.enhancer={workplace / 'enhancer'}", *SMALL, *more]
    return [sys.executable, "-m", "pipelines.finetune", *[part for setting in settings for part in ("--set", setting)]]


def run(arguments, *, timeout_s=240):
    root = Path(__file__).resolve().parent.parent
    environment = os.environ | {"PYTHONPATH": str(root)}
    return subprocess.run(arguments, cwd=root, env=environment, capture_output=True, text=True, timeout=timeout_s)


@contextmanager
def started(arguments, *, freeze=""):
    """The verb in the background, with all it starts ended when the test is over. freeze: where it stops (tests/faults)."""
    root = Path(__file__).resolve().parent.parent
    path = f"{root / 'tests' / 'faults'}{os.pathsep}{root}" if freeze else str(root)
    environment = os.environ | {"PYTHONPATH": path, "AURICLE_FREEZE": freeze}
    process = subprocess.Popen(arguments, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            kill_tree(process)


def wait_for_steps(folder, steps, process, timeout_s=180):
    deadline = time.monotonic() + timeout_s
    metrics = folder / "metrics.jsonl"
    while not (metrics.exists() and len(metrics.read_text().splitlines()) >= steps):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, f"no {steps} steps within {timeout_s} s"
        time.sleep(0.2)


def wait_for_file(path, process, timeout_s=600):
    deadline = time.monotonic() + timeout_s
    while not path.exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, f"no {path} within {timeout_s} s"
        time.sleep(0.2)


def kill_tree(process):
    """SIGKILL a process and all that it started, and wait for it."""
    below = descendants(process.pid)
    process.kill()
    for pid in below:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.communicate()


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
