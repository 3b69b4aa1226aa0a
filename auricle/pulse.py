"""A process's pulse: what it is doing and since when, in a file beside it that can be read when the process itself answers no more.

    process:  start_pulse("learner rank 0", scope);  with during("step 12: learning"): ...   --> FOLDER/PID.json
    reader:   read_pulses() --> [Beat(who, pid, doing, last sign, state, ...)];  stacks_of(beat) --SIGUSR2--> FOLDER/PID.stacks

Invariants
- A pulse never fails the work: where its folder cannot be used there is no pulse.
- Stacks come from a handler in C (faulthandler), so that also a process whose threads all hang, in Python or below, tells where.
- Only a process that has registered that handler, and still is the one that has, is sent the signal, which would end any other.
- A process that is stopped (SIGSTOP) or gone cannot answer: that is said, with its pid.
"""

import faulthandler
import json
import os
import signal
import stat
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SIGNAL = signal.SIGUSR2
RECORD_BYTES = 4096
"""Fixed, so that one write replaces the record whole."""
MOST_SHOWN = 12
KEPT_S = 3600.0
"""A process that is gone is forgotten after so many seconds."""
STATES = {"R": "running", "S": "sleeping", "D": "waiting for the disk", "T": "stopped by a signal", "t": "stopped by a debugger"}


class Pulse:
    """A process's pulse, where it works for a run."""

    def __init__(self, who: str, scope: Mapping[str, str], *, folder: Path | None = None) -> None:
        """who: pool and place in it. scope: whose process it is, for `read_pulses`."""
        self.who, self._scope = who, dict(scope)
        self._lock, self._doing = threading.Lock(), dict[object, tuple[str, float]]()
        self._file: Any = None
        try:
            folder = folder or pulse_folder()
            self._file = (folder / f"{os.getpid()}.json").open("wb", buffering=0)
            self._stacks = (folder / f"{os.getpid()}.stacks").open("wb", buffering=0)
            faulthandler.register(SIGNAL, file=self._stacks, all_threads=True, chain=False)
        except (OSError, RuntimeError, AttributeError):  # AttributeError: no such signal on this system
            self._file = None
        self._beat()

    @contextmanager
    def during(self, what: str) -> Iterator[None]:
        """Say that `what` is being done for the time of the block; blocks may overlap, also between threads and tasks."""
        token = object()
        with self._lock:
            self._doing[token] = what, time.time()
        self._beat()
        try:
            yield
        finally:
            with self._lock:
                del self._doing[token]
            self._beat()

    def rename(self, who: str) -> None:
        """Where a process learns only later what it is."""
        self.who = who
        self._beat()

    def _beat(self) -> None:
        if self._file is None:
            return
        with self._lock:
            doing = list(self._doing.values())
            record = {"who": self.who, "pid": os.getpid(), "started": _started(os.getpid()), "scope": self._scope, "sign_s": time.time()}
            told = json.dumps({**record, "count": len(doing), "doing": [[what[:120], since] for what, since in doing[:MOST_SHOWN]]})
            try:
                os.pwrite(self._file.fileno(), told.encode().ljust(RECORD_BYTES), 0)
            except OSError:  # a full disk is for others to tell
                self._file = None


_of_this_process: list[Pulse] = []


def start_pulse(who: str, scope: Mapping[str, str]) -> None:
    """Give this process a pulse, or its pulse another name."""
    if _of_this_process:
        _of_this_process[0].rename(who)
    else:
        _of_this_process.append(Pulse(who, scope))


def during(what: str) -> AbstractContextManager[None]:
    """`Pulse.during` of this process's pulse; nothing where it has none."""
    return _of_this_process[0].during(what) if _of_this_process else nullcontext()


@dataclass(frozen=True)
class Beat:
    """What one process last said. doing: what, and seconds since; count: how many such things at once. state: of the process, or `gone`."""

    who: str
    pid: int
    state: str
    scope: Mapping[str, str]
    sign_s_ago: float
    count: int
    doing: tuple[tuple[str, float], ...]

    def sentence(self) -> str:
        """For people."""
        told = "; ".join(f"{what} (for {for_s:.0f} s)" for what, for_s in self.doing) or "nothing under way"
        more = f", {self.count} at once" if self.count > 1 else ""
        return f"{self.who}: pid {self.pid}, {self.state}, last sign {self.sign_s_ago:.0f} s ago{more}: {told}"


def pulse_folder() -> Path:
    """This user's folder on this machine. Raises OSError where it cannot be used, or is another's."""
    folder = Path(tempfile.gettempdir()) / f"auricle-pulse-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to somebody else")
    return folder


def read_pulses(*, folder: Path | None = None) -> list[Beat]:
    """What the processes on this machine last said, by name; those gone for long are forgotten."""
    beats, now_s = [], time.time()
    for path in (folder or pulse_folder()).glob("*.json"):
        try:
            told = json.loads(path.read_bytes())
            doing = tuple((str(what), now_s - since) for what, since in told["doing"])
            alive = _started(told["pid"]) == told["started"]
            state = _state(told["pid"]) if alive else "gone"
            beat = Beat(told["who"], told["pid"], state, told["scope"], now_s - told["sign_s"], told["count"], doing)
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if state == "gone" and beat.sign_s_ago > KEPT_S:
            path.unlink(missing_ok=True)
            path.with_suffix(".stacks").unlink(missing_ok=True)
            continue
        beats.append(beat)
    return sorted(beats, key=lambda beat: (beat.who, beat.pid))


def stacks_of(beat: Beat, *, folder: Path | None = None, timeout_s: float = 3.0) -> str:
    """The Python stacks of all threads of that process, or why there are none."""
    if beat.state in ("gone", STATES["T"], STATES["t"]):
        return f"no stacks: the process is {beat.state}"
    path = (folder or pulse_folder()) / f"{beat.pid}.stacks"
    try:
        before = path.stat().st_size
        os.kill(beat.pid, SIGNAL)
        grown, deadline = before, time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            time.sleep(0.1)
            size = path.stat().st_size
            if before < size == grown:
                break
            grown = size
        told = path.read_bytes()[before:].decode(errors="replace").strip()
    except OSError as error:
        return f"no stacks: {error}"
    return told or f"no stacks: the process did not answer within {timeout_s:g} s"


def _started(pid: int) -> int:
    """When a process was started, in ticks since boot: with it a number that was given again is another process. -1: there is none."""
    fields = _fields(pid)
    return int(fields[19]) if fields and fields[0] != "Z" else -1


def _state(pid: int) -> str:
    fields = _fields(pid)
    return STATES.get(fields[0], fields[0]) if fields else "gone"


def _fields(pid: int) -> list[str]:
    """/proc/PID/stat from the state on."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
