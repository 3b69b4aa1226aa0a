"""A run's folder is the head's: ranks that do not see it hand their files over through Ray, and are handed those they begin with.

    checkpoint: rank saves into a folder of its own --pieces--> RunCoordinator.take --> .partial-step-N on the head --> commit
    resuming:   driver reads the checkpoint         --pieces--> LearnerRank.take    --> a folder of the rank's own  --> load

Invariants
- Whether a process sees a folder is decided by a token in it, never by its path: the same path may be another folder on another node.
- A piece says where it belongs; those of a file come in their order, from one process. Every piece has the deadline of a remote call, and
  all of a checkpoint that of the ranks' group (`learner_pool.call_timeout_s`), for they wait for each other.
- What lies on a node for the time of handing over is its process's; what a killed one left is removed by the next.
"""

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import psutil

from auricle.errors import CheckpointError

_PASSING = "auricle-checkpoint-"
MARK = ".home"
PIECE_BYTES = 64 << 20

Piece = tuple[str, int, bytes]
"""Name below the folder, offset, bytes."""


def mark(folder: Path) -> str:
    """Put a token into the folder, by which other processes know that they see the same one. Returns it."""
    token = uuid.uuid4().hex
    (folder / MARK).write_text(token)
    return token


def sees(folder: Path, token: str) -> bool:
    """Whether this process's `folder` is the one that was marked."""
    try:
        return (folder / MARK).read_text() == token
    except OSError:
        return False


@contextlib.contextmanager
def passing_folder() -> Iterator[Path]:
    """A folder of this process's own, for pieces. Those of processes that are gone are removed first."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PASSING}*"):
        with contextlib.suppress(ValueError):
            if not psutil.pid_exists(int(left.name.removeprefix(_PASSING).partition("-")[0])):
                shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{_PASSING}{os.getpid()}-") as folder:
        yield Path(folder)


def pieces_of(folder: Path, *, leave_out: Callable[[str], bool] = lambda name: False) -> Iterator[Piece]:
    """All files below the folder, piece by piece; hidden ones, and those whose name is to be left out, stay."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or path.name.startswith(".") or leave_out(name):
            continue
        with path.open("rb") as file:
            offset = 0
            while (content := file.read(PIECE_BYTES)) or offset == 0:
                yield name, offset, content
                if not content:
                    break
                offset += len(content)


def put_piece(folder: Path, piece: Piece) -> None:
    """Write a piece to its place. Raises CheckpointError where that is outside the folder."""
    name, offset, content = piece
    parts = PurePosixPath(name).parts
    if not parts or PurePosixPath(name).is_absolute() or ".." in parts:
        raise CheckpointError(f"{name!r} is no file below {folder}")
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("r+b" if offset else "wb") as file:
        file.seek(offset)
        file.write(content)
