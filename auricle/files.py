"""Writing files so that a reader never sees half of one, and that a full disk is said."""

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath

from safetensors import SafetensorError

from auricle.errors import DiskFullError

LONGEST_NAME = 128
_FULL = (errno.ENOSPC, errno.EDQUOT)
_PROBE_BYTES = 1 << 16


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Yields a temporary path beside `path` (same suffix, parents made), and renames it to `path` when the block ends without an error.

    A block that fails leaves `path` as it was and no temporary file. Safe for several processes that write the same content.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}-{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def is_uri(place: Path | str) -> bool:
    """Whether a place is named by a URI (`s3://...`), and not by a path."""
    return "://" in str(place)


@contextmanager
def on_disk(path: Path | str) -> Iterator[None]:
    """Around writing `path` (a file, or a folder of them). Raises DiskFullError where it fails for want of space; other errors pass."""
    path = Path(path)
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:  # RuntimeError: torch.save, whose message does not say why
        if not _is_full(error, path):
            raise
        free_mib = shutil.disk_usage(_nearest(path)).free / 2**20
        raise DiskFullError(
            f"{path} could not be written: the disk is full, or a quota is spent ({free_mib:.1f} MiB free there). Make room, and resume "
            "the run; it goes on at its last whole checkpoint"
        ) from error


def _is_full(error: BaseException, path: Path) -> bool:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _FULL
    if any(os.strerror(number) in str(error) for number in _FULL):
        return True
    probe = _nearest(path) / f".probe-{uuid.uuid4().hex[:8]}"
    try:  # a quota does not show in the disk's free space
        probe.write_bytes(os.urandom(_PROBE_BYTES))
    except OSError as told:
        return told.errno in _FULL
    finally:
        probe.unlink(missing_ok=True)
    return False


def _nearest(path: Path) -> Path:
    """The folder that `path` lies in, or is; where it does not exist, the nearest one above that does."""
    return next(folder for folder in (path, *path.absolute().parents) if folder.is_dir())


def is_plain_name(name: str) -> bool:
    """Whether a name that somebody chose is one part of a path, on any system, and can lead nowhere and be no option of a command."""
    one_part = {name} == {PurePosixPath(name).name, PureWindowsPath(name).name}
    return bool(name) and one_part and len(name) <= LONGEST_NAME and name.isprintable() and not name.startswith(("-", "."))
