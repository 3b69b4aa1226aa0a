"""Writing files so that a reader never sees half of one."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath

LONGEST_NAME = 128


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


def is_plain_name(name: str) -> bool:
    """Whether a name that somebody chose is one part of a path, on any system, and can lead nowhere and be no option of a command."""
    one_part = {name} == {PurePosixPath(name).name, PureWindowsPath(name).name}
    return bool(name) and one_part and len(name) <= LONGEST_NAME and name.isprintable() and not name.startswith(("-", "."))
