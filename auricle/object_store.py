"""Objects under a URI that fsspec knows (s3://, gs://, az://, file://, ...): whole objects by key, which is all that every store has.

No rename and no append is asked for, and no listing is relied on but for tidying up: stores show a new object late in their listings, and
fsspec keeps listings of its own. An object appears whole or not at all; on a file system it is written beside its place and renamed.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import fsspec
from fsspec.implementations.local import LocalFileSystem

from auricle.errors import StoreError
from auricle.files import replacing

T = TypeVar("T")

_PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}


class ObjectStore:
    """The objects under one URI; keys are relative, with slashes. Methods raise StoreError naming the object and the store's reason."""

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")
        protocol = uri.partition("://")[0]
        try:
            self._files, self._root = fsspec.core.url_to_fs(self.uri)
        except ImportError as error:
            package = _PACKAGES.get(protocol, f"the fsspec package for {protocol}://")
            raise StoreError(f"{uri}: {package} is not installed; pip install {package}, on every machine that names the URI") from error
        except ValueError as error:
            raise StoreError(f"{uri}: {error}; give a URI such as s3://BUCKET/runs, gs://BUCKET/runs or file:///FOLDER") from error

    def read(self, key: str) -> bytes | None:
        """The object's bytes; None where there is none."""
        try:
            return self._try(key, lambda path: self._files.cat_file(path))
        except StoreError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise

    def write(self, key: str, content: bytes) -> None:
        """Put an object."""
        self._try(key, lambda path: self._write(path, content))

    def upload(self, source: Path, key: str) -> None:
        """Put a file's bytes. FileNotFoundError where `source` is gone meanwhile: that is no fault of the store."""
        if not source.is_file():
            raise FileNotFoundError(str(source))
        self._try(key, lambda path: self._upload(source, path))

    def download(self, key: str, target: Path, size: int | None = None) -> None:
        """Write an object into a file, atomically; size: how many bytes it has to have."""
        with replacing(target) as temporary:
            self._try(key, lambda path: self._files.get_file(path, str(temporary)))
            if size is not None and temporary.stat().st_size != size:
                raise StoreError(f"{self.uri}/{key}: {temporary.stat().st_size} bytes, expected {size}; the object was overwritten or cut")

    def keys(self, prefix: str) -> list[str]:
        """The keys that begin with `prefix/`, as far as the store lists them."""

        def listed(path: str) -> list[str]:
            self._files.invalidate_cache()
            return list(self._files.find(path))

        root = str(self._root).rstrip("/") + "/"
        return [found.removeprefix(root) for found in self._try(prefix, listed)]

    def remove(self, key: str) -> None:
        """Take an object away; harmless where there is none."""
        try:
            self._try(key, lambda path: self._files.rm_file(path))
        except StoreError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise

    def _write(self, path: str, content: bytes) -> None:
        if isinstance(self._files, LocalFileSystem):
            with replacing(path) as temporary:
                temporary.write_bytes(content)
        else:
            self._files.pipe_file(path, content)

    def _upload(self, source: Path, path: str) -> None:
        if isinstance(self._files, LocalFileSystem):
            with replacing(path) as temporary:
                self._files.put_file(str(source), str(temporary))
        else:
            self._files.put_file(str(source), path)

    def _try(self, key: str, act: Callable[[str], T]) -> T:
        try:
            return act(f"{self._root}/{key}")
        except Exception as error:  # the boundary to fsspec's drivers: each raises what its own library raises
            raise StoreError(f"{self.uri}/{key}: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    lines: list[Any] = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
