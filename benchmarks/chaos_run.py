"""One run of the main job that is going to be disturbed: its small workplace, its processes, its steps, and what is left of it.

Trial(...).start() --> until(step) --> (fault) --> through(step) ... --> end() --> Books, weights, what was left over
                          ^                            |
                          +------- resume() <----------+  where the fault ends the job
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from safetensors.numpy import load_file

from actors.coordinator import checkpoint_folder
from auricle.audio import write_audio
from auricle.enhancers.checkpoint import save_enhancer
from auricle.enhancers.registry import build_enhancer
from auricle.errors import AuricleError
from auricle.ledger import account, read
from benchmarks.chaos_nodes import Nodes
from pipelines.run_folder import RunFolder

RATE_HZ = 16000
STALENESS = 2
SCENES_PER_STEP, SAMPLES = 2, 2
BATCH = SCENES_PER_STEP * SAMPLES
ROOT = Path(__file__).resolve().parent.parent
TOLD = ("rollout_id", "step", "scene_id", "sample", "version", "state", "reason", "reward")
SETTINGS = (
    f"finetune.scenes_per_step={SCENES_PER_STEP}",
    f"finetune.samples_per_scene={SAMPLES}",
    "finetune.samples=0",
    "finetune.keep_checkpoints=1000",  # each is compared with the undisturbed run's
    "rollout.clip_s=1.0",
    "rollout.actors=2",
    "reward.clients=2",
    "learner_pool.ranks=2",
    f"staleness.max_staleness={STALENESS}",
    "staleness.exact_staleness=true",
    "guard.every=2",
    "guard.scenes=2",
    "guard.metrics=['si_sdr']",
    "guard.tolerance={si_sdr=100}",  # it is measured, but whether the judge is fooled is not the question here
    "check.enforce=false",  # the judge is a measurement, not an ear
    # Deadlines inside one another, as short as a busy machine allows: what hangs is found within two minutes. An exact run takes four
    # times the given ones (pipelines/exact.py), but for the calls'.
    "reward.timeout_s=11",
    "finetune.step_timeout_s=30",
    "finetune.call_timeout_s=28",
    "rollout.gate_timeout_s=75",
    "learner_pool.call_timeout_s=400",
)
JUDGE = (
    "{{name='probe', kind='benchmarks.chaos_judge:MoodJudge', options={{mood='{mood}'}}, min_replicas=2, max_replicas=2, "
    "deadline_s=8{more}}}"
)


class ChaosError(Exception):
    """A run that did not come back, or that cannot be disturbed."""


def make_workplace(folder: Path) -> None:
    """A corpus of short tones in noise, and an untrained audio-only enhancer."""
    rng = np.random.default_rng(0)
    for number in range(9):
        split = "train" if number < 6 else "dev"
        time_s = np.arange(int(1.2 * RATE_HZ)) / RATE_HZ
        target = 0.1 * np.sin(2 * np.pi * (300 + 100 * number) * time_s) * (1 + np.sin(2 * np.pi * 3 * time_s))
        noise = rng.normal(0, 0.05, len(target))
        scenes = folder / "corpus" / split / "scenes"
        scenes.mkdir(parents=True, exist_ok=True)
        for kind, audio in (("mono_mix", target + noise), ("target_mono", target), ("interferer_mono", noise)):
            write_audio(scenes / f"S{number:05d}_{kind}.wav", audio.astype(np.float32), RATE_HZ)
    torch.manual_seed(0)
    save_enhancer(build_enhancer("tf_fusion", {"use_video": False, "width": 32, "channels": 4, "layers": 1}), folder / "enhancer")


@dataclass(frozen=True)
class Books:
    """What a finished run's ledger says. lost: ids that ended in no state; twice: ids beyond their first time."""

    lost: int
    twice: int
    dropped: int
    reasons: dict[str, int]
    faults: tuple[str, ...]


def books(run: Path, steps: int | None) -> Books:
    """Add up the ledger of a run; steps: how many it should have made, None: as many as it issued ids for (it was stopped)."""
    try:
        sums = account(run / "ledger")
        ids = Counter(read(run / "ledger", ["rollout_id"])["rollout_id"].to_pylist())
    except AuricleError as error:
        return Books(-1, -1, 0, {}, (str(error),))
    expected = sums.issued if steps is None else steps * BATCH
    lost = sum(number not in ids for number in range(expected))
    return Books(lost, sum(ids.values()) - len(ids), sums.dropped, sums.reasons, sums.faults)


def differing_weights(run: Path, other: Path, step: int) -> str:
    """How the weights of two runs' checkpoints of one step differ; empty where they are the same to the bit."""
    paths = [checkpoint_folder(path, step) / "enhancer" / "model.safetensors" for path in (run, other)]
    if missing := [str(path) for path in paths if not path.exists()]:
        return f"step {step}: no {missing[0]}"
    mine, theirs = (load_file(path) for path in paths)
    names = [name for name in mine.keys() | theirs.keys() if not np.array_equal(mine.get(name), theirs.get(name))]  # type: ignore[arg-type]
    return f"step {step}: {len(names)} of {len(theirs)} tensors" if names else ""


def differing_books(run: Path, other: Path, steps: int) -> str:
    """The first rollout of which two ledgers tell different things; empty where there is none."""
    mine, theirs = ([row for row in read(path / "ledger").select(TOLD).to_pylist() if row["step"] < steps] for path in (run, other))
    return next((f"the ledger says {left} and {right}" for left, right in zip(mine, theirs, strict=False) if left != right), "")


@dataclass
class Trial:
    """One run in `folder/name`; judges: another panel than the usual one; nodes: the cluster it runs on, None: one of its own."""

    workplace: Path
    folder: Path
    name: str
    steps: int
    settings: Sequence[str] = ()
    judges: str = ""
    nodes: Nodes | None = None
    timeout_s: float = 600.0
    process: subprocess.Popen[bytes] | None = None
    began_s: float = field(default_factory=time.time)
    statuses: list[int] = field(default_factory=list)
    _seen: set[tuple[int, float]] = field(default_factory=set)

    @property
    def run(self) -> Path:
        """The run's folder."""
        return self.folder / self.name

    @property
    def log(self) -> Path:
        """What the job printed; not on the run's disk, which may be full."""
        return self.workplace.parent / f"{self.name}.log"

    @property
    def mood(self) -> Path:
        """The file that the judge's mood stands in."""
        return self.folder / f"{self.name}.mood"

    def start(self) -> None:
        """Begin the run."""
        self.folder.mkdir(parents=True, exist_ok=True)
        judges = self.judges or JUDGE.format(mood=self.mood, more="")
        named = [f"run.folder={self.folder}", f"run.name={self.name}", f"scenes.folder={self.workplace / 'corpus'}"]
        named += [f"cluster.address={self.nodes.address}"] if self.nodes else []
        named += [f"finetune.enhancer={self.workplace / 'enhancer'}", f"finetune.steps={self.steps}", f"panel.judges=[{judges}]"]
        self._launch([part for setting in (*named, *SETTINGS, *self.settings) for part in ("--set", setting)])

    def resume(self) -> None:
        """Go on with it, as a user would."""
        self._launch(["--resume", str(self.run)])

    def records(self) -> list[dict[str, Any]]:
        """The finished steps."""
        return list(RunFolder(self.run).lines("metrics.jsonl"))

    def restarts(self) -> int:
        """How often a phase was begun again."""
        return sum("; going back to " in record["event"] for record in RunFolder(self.run).lines("events.jsonl"))

    def finished(self) -> int:
        """How many steps are finished."""
        return max((record["step"] + 1 for record in self.records()), default=0)

    def until(self, what: str, reached: Callable[[], Any], *, may_end: bool = False) -> Any:
        """Wait until `reached` gives something. Raises ChaosError where the run ends before that, or time is up."""
        deadline, looked_s = time.monotonic() + self.timeout_s, 0.0
        while not (found := reached()):
            if time.monotonic() - looked_s > 3:
                looked_s = time.monotonic()
                self._note_processes()
            if self.process is None or self.process.poll() is not None:
                if may_end:
                    return None
                raise ChaosError(f"{what}: the job ended with {self.process and self.process.poll()}; see {self.log}")
            if time.monotonic() > deadline:
                raise ChaosError(f"{what}: nothing within {self.timeout_s:g} s; see {self.log} and {self.run}")
            time.sleep(0.1)
        return found

    def ended(self) -> int:
        """Wait for the job's end; its exit status."""
        assert self.process is not None
        self.until("the job's end", lambda: self.process and self.process.poll() is not None, may_end=True)
        self.statuses.append(self.process.returncode)
        return self.process.returncode

    def find(self, title: str) -> list[psutil.Process]:
        """The run's processes whose titles hold `title` and that are not stopped, the youngest last."""
        self._note_processes()
        found = [process for process in self._processes() if title in _title(process) and _moves(process)]
        return sorted(found, key=lambda process: process.create_time())

    def youngest(self, title: str) -> psutil.Process:
        """The youngest of them. Raises ChaosError where there is none."""
        found = self.find(title)
        if not found:
            raise ChaosError(f"no process of the run is called {title}; see {self.log}")
        return found[-1]

    def kill_all(self) -> None:
        """SIGKILL the job and all that it started."""
        assert self.process is not None
        self._note_processes()
        below = psutil.Process(self.process.pid).children(recursive=True) if self.process.poll() is None else []
        self.process.kill()
        for process in below:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()

    def give_up(self) -> None:
        """End the run, where it has not ended of itself."""
        assert self.process is not None
        self.kill_all()
        self.statuses.append(self.process.returncode)

    def left_over(self, patience_s: float = 45.0) -> list[str]:
        """Titles of the run's processes that outlived it; they are killed."""
        mine = [process for pid, born in self._seen if (process := _alive(pid, born))]
        _, alive = psutil.wait_procs(mine, timeout=patience_s)
        titles = []
        for process in alive:
            with suppress(psutil.NoSuchProcess):
                titles.append(_title(process) + (" (stopped)" if process.status() == psutil.STATUS_STOPPED else ""))
                process.kill()
        self._seen = set()
        return titles

    def _launch(self, arguments: Sequence[str]) -> None:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
        environment.pop("RAY_ADDRESS", None)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pipelines.finetune", *arguments], cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
            )

    def _processes(self) -> list[psutil.Process]:
        if self.nodes is not None:
            return psutil.Process().children(recursive=True)
        return psutil.Process(self.process.pid).children(recursive=True) if self.process and self.process.poll() is None else []

    def _note_processes(self) -> None:
        for process in [] if self.nodes is not None else self._processes():  # a cluster's processes outlive the run in it
            with suppress(psutil.NoSuchProcess):
                self._seen.add((process.pid, process.create_time()))


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()).strip()
    except psutil.Error:
        return ""


def _moves(process: psutil.Process) -> bool:
    try:
        return process.status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


def _alive(pid: int, born: float) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
        return process if process.create_time() == born and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def stop(process: psutil.Process) -> None:
    """SIGSTOP: it hangs, and says nothing."""
    os.kill(process.pid, signal.SIGSTOP)


def wake(process: psutil.Process) -> None:
    """SIGCONT, where it still lives."""
    with suppress(psutil.NoSuchProcess, ProcessLookupError):
        if process.is_running():
            os.kill(process.pid, signal.SIGCONT)
