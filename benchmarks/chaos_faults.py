"""The faults: what is done to a run, and what the run must make of it."""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.chaos_nodes import JUDGE_RESOURCES, KINDS
from benchmarks.chaos_nodes import SETTINGS as ON_NODES
from benchmarks.chaos_run import ChaosError, Trial, stop, wake

PROCESSES = {
    "rollout": ("a rollout stage actor", "MapBatches(RolloutStage)", 2),
    "reward-client": ("a reward client", "MapBatches(RewardStage)", 2),
    "judge": ("a judge's replica", ":probe", 2),
    "panel": ("the Panel's replica", ":Panel", 1),
    "learner": ("a learner rank", "ray::LearnerRank", 2),
    "store": ("the weight store", "ray::WeightStore", 1),
    "coordinator": ("the coordinator, which keeps the ledger", "ray::RunCoordinator", 1),
    "controller": ("Serve's controller", "ray::ServeController", 1),
    "guard": ("the guard's meter", "ray::GuardMeter", 1),
    "split": ("Ray Data's split coordinator", "ray::SplitCoordinator", 1),
}
"""Processes of a run by the word of a fault: what it is, what its title holds, and how many there are of it."""

LISTENER = (
    "{name='listener', min_replicas=2, max_replicas=2, deadline_s=15, options={ask=['rate']}}"  # vLLM's engine in the replica's process
)
SLOWER = ("reward.timeout_s=25", "finetune.step_timeout_s=38")


@dataclass(frozen=True)
class Fault:
    """inject: what is done. cure: undoes it, `lasts_s` later; None: never.

    pool: the title and number of the processes that have to be there before it strikes. once: not again in this run.
    ends: the job is to end by it (and is resumed); stops: it is to stop of itself, with exit status 1, and that is right.
    drops: rows may be dropped, so that the end weights are others. nodes: it needs a cluster of several nodes, two of this kind.
    """

    name: str
    about: str
    inject: Callable[[Trial], None]
    cure: Callable[[Trial], None] | None = None
    lasts_s: float = 0.0
    pool: tuple[str, int] | None = None
    settings: tuple[str, ...] = ()
    judges: str = ""
    judge_more: str = ""
    ends: bool = False
    stops: bool = False
    drops: bool = False
    nodes: str = ""
    once: bool = False
    disk: bool = False

    @property
    def kind_of_run(self) -> tuple[object, ...]:
        """Faults of the same kind can share a run; empty where one needs a run of its own, or leaves its traces in the weights."""
        alone = self.judges or self.disk or self.drops or self.ends
        return () if alone else (self.settings, self.judge_more, bool(self.nodes))

    @property
    def reference(self) -> str:
        """The undisturbed run to compare with."""
        return "listener-undisturbed" if self.judges else "undisturbed"


def catalogue() -> dict[str, Fault]:
    """All faults, by name, in the order in which they are tried."""
    faults = [kill(word) for word in PROCESSES]
    for word in ("learner", "rollout", "judge"):
        faults += [hang(word, lasts_s=6.0), hang(word, lasts_s=0.0)]
    faults.append(hang("learner", lasts_s=150.0, name="stop-learner-late"))
    faults += [
        Fault("slow-judge", "judges ten times slower for 8 s", moody("slow 10"), moody(""), lasts_s=8.0),
        Fault(
            "unparsable",
            "two of five answers unparsable for 4 s",
            moody("unparsable 0.4"),
            moody(""),
            lasts_s=4.0,
            settings=("failure_budget.share=0.9",),
            drops=True,
        ),
        Fault(
            "unparsable-ever",
            "all answers unparsable, for ever",
            moody("unparsable 1"),
            settings=("guard.every=1000",),  # or the guard, which has nothing to measure, stops it before the failure budget does
            drops=True,
            stops=True,
            once=True,
        ),
        Fault("disk-full", "the run's disk full, then room again", fill_disk, empty_disk, ends=True, disk=True),
        Fault("kill-all", "the whole process tree, then --resume", Trial.kill_all, ends=True),
        *(lose(kind) for kind in KINDS),
        Fault(
            "kill-listener",
            "SIGKILL of a listener's replica, and with it of the vLLM engine in it",
            lambda trial: trial.youngest(":listener").kill(),
            judges=LISTENER,
            settings=SLOWER,
        ),
    ]
    return {fault.name: fault for fault in faults}


def kill(word: str) -> Fault:
    """SIGKILL of a process."""
    about, title, number = PROCESSES[word]
    return Fault(f"kill-{word}", f"SIGKILL of {about}", lambda trial: trial.youngest(title).kill(), pool=(title, number))


def hang(word: str, *, lasts_s: float, name: str = "") -> Fault:
    """SIGSTOP of a process, and SIGCONT after a while or (0) never."""
    about, title, number = PROCESSES[word]
    stopped = []

    def inject(trial: Trial) -> None:
        stopped.append(trial.youngest(title))
        stop(stopped[-1])

    def cure(trial: Trial) -> None:
        wake(stopped[-1])

    for_ever = not lasts_s
    return Fault(
        name or (f"stop-{word}-ever" if for_ever else f"stop-{word}"),
        f"SIGSTOP of {about}, {'never resumed' if for_ever else f'resumed after {lasts_s:g} s'}",
        inject,
        None if for_ever else cure,
        lasts_s=lasts_s,
        pool=(title, number),
        drops=for_ever and word == "judge",
        once=for_ever and word == "judge",  # Serve needs longer to replace it than the run to end
    )


def moody(mood: str) -> Callable[[Trial], None]:
    """The judges' mood from now on."""
    return lambda trial: _write(trial.mood, mood)


def lose(kind: str) -> Fault:
    """The loss of a node."""
    about, title, _ = PROCESSES[{"reward": "judge"}.get(kind, kind)]

    def inject(trial: Trial) -> None:
        if trial.nodes is None:
            raise ChaosError("this run is not on a cluster of several nodes")
        trial.nodes.lose(kind, trial.youngest(title))

    return Fault(
        f"node-{kind}",
        f"a node with {about} on it is lost; the other of its kind takes its place",
        inject,
        settings=ON_NODES,
        judge_more=JUDGE_RESOURCES,
        nodes=kind,
    )


def fill_disk(trial: Trial) -> None:
    """Write until there is no room left."""
    with (trial.folder / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * (1 << 16))
        except OSError:
            pass


def empty_disk(trial: Trial) -> None:
    """Room again."""
    (trial.folder / "filler").unlink()


def cure_later(fault: Fault, trial: Trial) -> threading.Timer | None:
    """Undo a fault when its time is over, whatever the run does meanwhile."""
    if fault.cure is None or not fault.lasts_s:
        return None
    timer = threading.Timer(fault.lasts_s, fault.cure, (trial,))
    timer.daemon = True
    timer.start()
    return timer


def _write(path: Path, text: str) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text)
    os.replace(temporary, path)
