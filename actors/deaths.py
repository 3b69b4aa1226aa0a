"""What a Ray error says of the actor that it is about: who, where, and why it died, in one sentence."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, OutOfMemoryError, RayActorError, RayError, RayTaskError

from auricle.errors import AuricleError, PoolError

GRACE_S = 5.0
"""A rank that lost another one says so before Ray knows of the death: so long the others' ends are waited for."""
NAMES = {
    "LearnerRank": "a learner rank",
    "RunCoordinator": "the coordinator",
    "WeightStore": "the weight store",
    "RolloutStage": "a rollout actor",
    "AnswerStage": "an answer actor",
    "RewardStage": "a reward client",
    "SplitCoordinator": "the stream's coordinator",
    "GuardMeter": "the guard's meter",
    "ServeReplica": "a judge's replica",
}
_ABOUT = re.compile(r"\s*(class_name|actor_id|pid|name|namespace|ip):")
_OURS = r"^auricle\.errors\.(\w+: .+)$"
_UNTOLD = "connection error code 2"
"""Ray's words for a process whose end nobody announced."""


@dataclass(frozen=True)
class Place:
    """Where an actor lives."""

    node_id: str
    address: str
    pid: int

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.address}, node {self.node_id[:8]}"


def own_place() -> Place:
    """This process's."""
    return Place(ray.get_runtime_context().get_node_id(), ray.util.get_node_ip_address(), os.getpid())


def root_of(error: BaseException) -> BaseException:
    """The error at the bottom of Ray's wrappings."""
    while isinstance(error, RayTaskError) and isinstance(error.cause, BaseException):
        error = error.cause
    return error


def cause_of_death(error: RayError) -> str:
    """Why an actor died, as far as Ray knows."""
    text = str(error)
    if isinstance(error, OutOfMemoryError):
        return f"out of memory: {_memory(text)}"
    if isinstance(error, GetTimeoutError):
        return "it did not answer in time"
    if _UNTOLD in text:
        return "its process ended without a word: a signal (the kernel's, where memory ran out, or kill -9), a crash, or an exit of its own"
    if "creation task" in text:
        return f"it could not be built: {text.strip().splitlines()[-1].strip()}"
    if detail := _found(r"Worker exit detail: (.*)", text):
        return detail.rstrip(".")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not _ABOUT.match(line)]
    return " ".join(lines[1:] or lines) or type(error).__name__


def describe(error: BaseException) -> str:
    """What went wrong, whatever it is: an actor's death with its name and place, or an error's class and first line."""
    root = root_of(error)
    text = str(root)
    if not isinstance(root, RayActorError | OutOfMemoryError):
        if said := re.findall(_OURS, f"{error}\n{text}", re.MULTILINE):  # a stage's own words: Ray Data's error has them in its traceback
            return said[-1]
        return f"{type(root).__name__}: {next(iter(text.strip().splitlines()), '') or 'no message'}"
    called = _found(r"class_name: (.*)", text) or _found(r"task name=([^,]*)", text) or _found(r"ray::(\w+)", text)
    who = next((name for part, name in NAMES.items() if part in called), called or "an actor")
    where = (("pid", _found(r"pid[:=] ?(\d+)", text)), ("on", _found(r"(?:ip|IP)[:=] ?([^\s,)]+)", text)))
    told = " ".join(f"{word} {value}" for word, value in where if value)
    return f"{who}{f' ({told})' if told else ''} died: {cause_of_death(root)}"


def faults_of(answers: Sequence[Any]) -> dict[int, RayError]:
    """What became of each rank whose call failed. The first one may only have lost another: the others have a little time to end, too."""
    ready, _ = ray.wait(list(answers), num_returns=len(answers), timeout=0)
    faults = _faults(answers, ready)
    if all(isinstance(error, RayTaskError) and not isinstance(root_of(error), AuricleError) for error in faults.values()):
        ready, _ = ray.wait(list(answers), num_returns=len(answers), timeout=GRACE_S)
        faults = _faults(answers, ready)
    return faults


def _faults(answers: Sequence[Any], ready: Sequence[Any]) -> dict[int, RayError]:
    found = {}
    for rank, answer in enumerate(answers):
        if answer in ready:
            try:
                ray.get(answer)
            except RayError as error:
                found[rank] = error
    return found


def broken_ranks(faults: Mapping[int, RayError], places: Mapping[int, Place], what: str = "") -> AuricleError:
    """One error for what became of the ranks: what one says on purpose first, then a rank's own death, then what others made of it."""
    for error in faults.values():
        root = root_of(error)
        if isinstance(root, AuricleError) and not isinstance(root, PoolError):
            return root
    where = {rank: f"learner rank {rank} ({places.get(rank, 'place unknown')})" for rank in faults}
    dead = {rank: error for rank, error in faults.items() if not isinstance(error, RayTaskError)}
    told = [f"{where[rank]} was lost{what}: {cause_of_death(error)}" for rank, error in dead.items()]
    told = told or [f"{where[rank]} broke{what}: {describe(error)}" for rank, error in faults.items()]
    return PoolError("; ".join(told))


def _memory(text: str) -> str:
    """Who was killed, what it held, and what the node had, of the page that Ray's memory monitor writes."""
    used, had = _found(r"actual memory used=([^,]*)", text), _found(r"was (\S+ used / \S+ limit)", text)
    if not had:
        return next(iter(text.strip().splitlines()), "no more is known")
    held = f" at {used}" if used else ""
    return f"Ray's memory monitor killed it{held}, with {had} on its node; let less run there, or give it more memory"


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found.group(1).strip() if found else ""
