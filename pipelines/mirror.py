"""A run's folder kept in an object store, too: by one thread of the driver, so that neither stream nor learners wait for the store.

    publish(step) --> newest step --> thread: plan -> put files -> put index -> remove what no index lists
                      every minute: the books alone (so that `auricle status URI` sees the run going on)
    close() --> the last step, samples and report --> wait, at most store_timeout_s

Invariants
- `publish` never blocks and never raises because of the store. Its faults are told once, and the next step or minute tries again.
- What the index says was put before the index (`pipelines.run_store`); a kill anywhere leaves the run as of an earlier index.
- A step is published when its checkpoint is complete and the lines of metrics before it are written, never earlier.
- Checkpoints that are being put are not pruned (`uploading`).
- Who puts an index signs it, and a mirror signs the one that is there before it touches anything else. One that finds another's signature
  puts nothing more: the run was resumed elsewhere. It looks before each object that it overwrites; between look and put lies one request,
  as a store has no lock.
"""

import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from auricle.errors import AuricleError, StoreError, TakenOverError
from auricle.object_store import ObjectStore
from pipelines.run_store import INDEX, Stored, find_index, known_writers, new_token, plan_upload, read_record, signed, stands, write_record
from pipelines.settings import RunSettings

if TYPE_CHECKING:
    from pipelines.run_folder import RunFolder

logger = logging.getLogger("auricle.mirror")

EVERY_S = 60.0
"""Pause between two looks at the books, in seconds."""
RETRY_S = 1.0
"""Pause between two tries when the run ends, or when a file went while it was put, in seconds."""

_BEHIND = "{uri}: the store does not take the run ({error}). The run goes on in {folder}; what is missing is put once the store answers."
_LEFT = (
    "{uri} holds the run as of step {stored}, the folder is at step {step}: the store did not take the rest within run.store_timeout_s = "
    "{limit_s:g} s. Go on from the folder: --resume {folder}"
)


class RunMirror:
    """A context manager around a job; see the module's text. Only the driver of a job makes one, and one job at a time writes a run."""

    def __init__(self, folder: Path, uri: str, step: int, *, close_timeout_s: float) -> None:
        """step: of the folder's last checkpoint; 0: none. Raises StoreError where the store is ahead, or cannot be written."""
        self._folder, self._store, self._close_timeout_s = folder, ObjectStore(uri), close_timeout_s
        self._step, self._putting, self._stored_step = step, step, -1
        self._writer = f"{socket.gethostname()}, process {os.getpid()}, {new_token()}"
        self._signed: str | None = None
        """Whose signature the index has to have; None: there is no index yet."""
        self._stray: set[str] = set()
        self._known = self._take_over(step)
        self._sent: dict[str, Stored] = {}
        self._wake, self._closing, self._given_up = threading.Event(), threading.Event(), threading.Event()
        self._told, self._taken_over = False, ""
        self._thread = threading.Thread(target=self._run, name="run-mirror", daemon=True)

    def __enter__(self) -> Self:
        self._wake.set()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def uploading(self) -> set[int]:
        """Steps whose checkpoints are still needed."""
        return {self._step} if self._taken_over else {self._step, self._putting}

    def publish(self, step: int) -> None:
        """The checkpoint of `step` is complete, and what was noted before it is written."""
        self._step = step
        self._wake.set()

    def close(self) -> None:
        """Put what is left. Says where the store stays behind. Harmless when called twice."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._wake.set()
        self._thread.join(self._close_timeout_s)
        self._given_up.set()
        if self._taken_over:
            logger.error("%s", self._taken_over)  # again: the first time may be days ago
        elif self._stored_step < self._step or self._thread.is_alive():
            stored, limit_s = max(0, self._stored_step), self._close_timeout_s
            logger.error(_LEFT.format(uri=self._store.uri, stored=stored, step=self._step, limit_s=limit_s, folder=self._folder))

    def put(self) -> None:
        """Bring the store up to the newest step published.

        Raises StoreError, TakenOverError where another process writes the run, or FileNotFoundError where a file went while it was put.
        """
        self._require_own()
        self._putting = step = self._step
        upload = plan_upload(self._folder, step, self._known | self._sent, new_token())
        if upload.puts or self._sent or step != self._stored_step:
            for name, key in sorted(upload.puts.items(), key=lambda put: not stands(put[0])):
                if not stands(name):
                    self._require_own()
                self._store.upload(self._folder / name, key)
                self._sent[name] = upload.files[name]  # a try that breaks off is not begun anew
            self._require_own()
            write_record(self._folder, self._store.uri, upload.files, [self._writer])  # what of it no index lists does not count
            self._store.write(INDEX, signed(upload.index(), self._writer))
            self._signed = self._writer
            self._require_own()  # before anything is removed that another's index may list
            gone = self._stray | {one.key for one in (*self._known.values(), *self._sent.values())} - {
                one.key for one in upload.files.values()
            }
            self._known, self._sent, self._stored_step, self._stray = dict(upload.files), {}, step, set()
            for key in gone:
                self._store.remove(key)

    def _run(self) -> None:
        pause_s = EVERY_S
        while True:
            self._wake.wait(RETRY_S if self._closing.is_set() else pause_s)
            self._wake.clear()
            closing, pause_s = self._closing.is_set(), EVERY_S
            if self._given_up.is_set():
                return
            try:
                self.put()
            except TakenOverError as error:
                logger.error("%s", error)
                self._taken_over = str(error)
                return
            except FileNotFoundError:  # the run wrote on meanwhile, and pruned
                pause_s = RETRY_S
            except (AuricleError, OSError, ValueError, KeyError) as error:  # whatever a file of the run or a store's library says
                if not self._told:
                    logger.warning(_BEHIND.format(uri=self._store.uri, error=error, folder=self._folder))
                self._told = True
            else:
                self._told = False
                if closing:
                    return

    def _require_own(self) -> None:
        """Raises TakenOverError where the index is another's, or was taken away; StoreError where it cannot be read."""
        index = find_index(self._store)
        if index is None and self._signed is not None:  # a mount that is away for a moment comes back
            raise StoreError(f"{self._store.uri}: its {INDEX} is gone")
        now = index["writer"] if index else None
        if now not in (self._signed, self._writer):  # its own although it knows of no put: the answer was lost
            whose = f"another process writes this run now ({now or 'unsigned'})"
            raise TakenOverError(
                f"{self._store.uri}: {whose}, so nothing more of this one is put there. It goes on in {self._folder}; where that is not "
                "wanted, stop it"
            )

    def _take_over(self, step: int) -> dict[str, Stored]:
        """Sign the index that is there, and note what is in none: a broken upload. Returns the files that need not be put again."""
        uri, record = self._store.uri, read_record(self._folder, self._store.uri)
        self._store.write("probe", b"")  # a bucket that is not there, or may not be written, is an error now and not a warning later
        self._store.remove("probe")
        if index := find_index(self._store):
            stored = index["checkpoints"].get("checkpoints/last.json", {"step": 0})["step"]
            writers = known_writers(self._folder, uri)
            if not record or stored > step or (writers and index["writer"] not in ("", *writers)):
                what = f"as of step {stored}, {self._folder} is at step {step}" if record else f"that is not the one in {self._folder}"
                what += f"; {index['writer']} has gone on with it" if record and stored <= step else ""
                cure = f"Go on with that one (--resume {uri} --set run.folder=PATH), or keep this one elsewhere (--set run.store=URI)"
                raise StoreError(f"{uri} holds a run {what}. {cure}")
            write_record(self._folder, uri, record, [index["writer"], self._writer])  # whichever a kill leaves there is this run's
            self._store.write(INDEX, signed(index, self._writer))
            self._signed = self._writer
            self._require_own()
            write_record(self._folder, uri, record, [self._writer])
        listed: dict[str, Any] = index["objects"] if index else {}
        keys = {one["key"] for one in listed.values()}
        there = {*self._store.keys("checkpoints"), *self._store.keys("ledger")}
        self._stray = there - keys
        return {
            name: one
            for name, one in record.items()
            if stands(name) and name in listed and listed[name]["key"] == one.key and one.key in there
        }


@contextmanager
def mirrored(run: "RunFolder", settings: RunSettings) -> Iterator[None]:
    """Keep the run in its store for the time of the `with` block; without one, do nothing. Raises StoreError."""
    if not settings.store:
        yield
        return
    checkpoint = run.last_checkpoint()
    uri = f"{settings.store.rstrip('/')}/{run.path.name}"
    with RunMirror(run.path, uri, checkpoint[0] if checkpoint else 0, close_timeout_s=settings.store_timeout_s) as run.mirror:
        try:
            yield
        finally:
            run.mirror = None
