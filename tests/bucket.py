"""A bucket for tests, `bucket://NAME/KEY`, in files below $AURICLE_TEST_BUCKETS: as an object store has it, and nothing more.

No folders, no rename, no append; an object appears whole when it is closed. Several processes may use it. With $AURICLE_TEST_DIE_AT=PREFIX
a process is killed while it puts its second object whose key begins so. `python -m tests.bucket MODULE ...` runs a verb that knows buckets.
"""

import importlib
import io
import itertools
import os
import signal
import sys
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import fsspec
from fsspec import AbstractFileSystem

FOLDER, DIE_AT = "AURICLE_TEST_BUCKETS", "AURICLE_TEST_DIE_AT"
_fatal = itertools.count()


class Object(io.BytesIO):
    """Being written; nobody sees it before it is closed."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def close(self) -> None:
        if not self.closed:
            BucketFileSystem.before_put()
            prefix = os.environ.get(DIE_AT)
            if prefix and unquote(self._path.name).startswith(prefix) and next(_fatal):
                os.kill(os.getpid(), signal.SIGKILL)
            temporary = self._path.with_name(f".{uuid.uuid4().hex}")
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(self.getvalue())
            temporary.replace(self._path)
        super().close()


class BucketFileSystem(AbstractFileSystem):
    """See the module's text."""

    protocol = "bucket"
    cachable = False

    @staticmethod
    def before_put() -> None:
        """For tests to break."""

    def _file(self, path: str) -> Path:
        bucket, _, key = self._strip_protocol(path).partition("/")
        return Path(os.environ[FOLDER]) / bucket / quote(key, safe="")

    def _open(self, path: str, mode: str = "rb", **options: Any) -> io.BytesIO:
        if mode == "wb":
            return Object(self._file(path))
        if mode != "rb":
            raise NotImplementedError(f"a bucket cannot open {path} for {mode}")
        return io.BytesIO(self._file(path).read_bytes())

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        return {"name": self._strip_protocol(path), "size": self._file(path).stat().st_size, "type": "file"}

    def isdir(self, path: str) -> bool:
        return False

    def find(self, path: str, maxdepth: int | None = None, withdirs: bool = False, detail: bool = False, **options: Any) -> list[str]:
        bucket, _, prefix = self._strip_protocol(path).partition("/")
        keys = [unquote(file.name) for file in (Path(os.environ[FOLDER]) / bucket).glob("[!.]*")]
        return sorted(f"{bucket}/{key}" for key in keys if key.startswith(f"{prefix}/"))

    def rm_file(self, path: str) -> None:
        self._file(path).unlink()

    def cp_file(self, path1: str, path2: str, **options: Any) -> None:
        raise NotImplementedError("a bucket does not copy or rename")


fsspec.register_implementation("bucket", BucketFileSystem, clobber=True)

if __name__ == "__main__":
    from pipelines.command import leave

    leave(importlib.import_module(sys.argv[1]).main(sys.argv[2:]))
