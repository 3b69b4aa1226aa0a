"""A run in MLflow: parameters, metrics, tables and audio, sent by one background thread so that the run never waits for the tracker.

    log_*() --> queue of entries --> sender thread --> MLflow
                                        |  unreachable: one warning, wait, try again (entries stay in order)
                                        |  refused (this entry can never pass): one warning, the entry is left out
    close() --> last tries --> what is still unsent goes to RUN/tracking-unsent.jsonl and is sent first when the run resumes

Invariants
- A call of `log_*` never blocks on the network or the database and never raises because of them.
- Entries arrive in the order of the calls; after close() each was sent, or is in `tracking-unsent.jsonl`, or was refused with a warning.
- A resumed run goes on in the same MLflow run, whose id is kept in RUN/mlflow_run_id.
"""

import json
import logging
import math
import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from auricle.config import Config
from pipelines.reporting.store import flatten, metric_name, mlflow_client, open_run, read_run_id, send, tag_value, tracking_uri_of
from pipelines.settings import RunSettings

logger = logging.getLogger("auricle.tracking")

UNSENT_FILE = "tracking-unsent.jsonl"
EndStatus = Literal["FINISHED", "FAILED", "KILLED"]

_CLOSE = {"kind": "close"}
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 60.0
_GRACE_S = 15.0
_REFUSALS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_ALREADY_EXISTS", "PERMISSION_DENIED")

_UNREACHABLE = (
    "MLflow at {uri} cannot be reached ({error}). The run goes on; what it logs is kept and sent later. "
    "Cure: start the server, or set run.tracking_uri (empty: a local sqlite file)."
)
_UNSENT = "MLflow at {uri} was not reached in time: {count} entries were written to {path}; they are sent when the run is resumed."

_NOT_KEPT = "MLflow at {uri} was not reached in time, and {path} could not be written ({error}): {count} entries are lost."


class Tracker:
    """One MLflow run as a context manager; see the module's invariants. Only the driver of a job makes one.

    The run ends FINISHED, KILLED (KeyboardInterrupt, SystemExit) or FAILED (any other exception); a caller that ended the work early in
    good order says so with `tracker.end_status = "KILLED"`.
    """

    def __init__(
        self, settings: RunSettings, run_folder: Path, *, kind: str = "finetune", adds_only: bool = False, close_timeout_s: float = 20.0
    ) -> None:
        """adds_only: log something more into a run that has ended (its evaluation), and leave its status as it is."""
        self.uri = tracking_uri_of(settings, run_folder)
        self.end_status: EndStatus = "FINISHED"
        self._adds_only, self._ends_run = adds_only, not adds_only
        self._settings, self._folder, self._kind = settings, run_folder, kind
        self._close_timeout_s = close_timeout_s
        self._entries: queue.Queue[dict[str, Any]] = queue.Queue()
        self._current: list[dict[str, Any]] = []
        self._closing = False
        self._progress_s = math.inf
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._client: Any = None
        self._run_id = ""

    @property
    def run_id(self) -> str:
        """The MLflow run's id; empty until the tracker was reached for the first time."""
        return self._run_id or read_run_id(self._folder)

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        for entry in self._take_unsent():
            self._entries.put(entry)
        self._thread = threading.Thread(target=self._send_all, name="mlflow-sender", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            self.end_status = "KILLED" if issubclass(kind, KeyboardInterrupt | SystemExit) else "FAILED"
            if error is not None and str(error):
                self.set_tag("error", str(error))
        self.close()

    def close(self) -> None:
        """Send what is left, and end the MLflow run; give up after `close_timeout_s` without progress. Harmless when called twice."""
        if self._thread is None:
            return
        self._progress_s, self._closing = time.monotonic(), True
        self._entries.put(_CLOSE)
        self._wake.set()
        while self._thread.is_alive() and self._left_s() > -_GRACE_S:
            self._thread.join(0.1)
        if self._thread.is_alive():  # stuck inside a call to MLflow: the entries are still ours
            self._keep_unsent()
        self._thread = None

    def log_settings(self, settings: Config) -> None:
        """Every configuration key as a parameter. On a resumed run changed values become tags `changed.KEY`."""
        self._put("params", values=flatten(settings.model_dump(mode="json")))

    def log_metrics(self, step: int, metrics: Mapping[str, float | None]) -> None:
        """Metrics of one step. None and non-finite values are left out: what was not measured is not a number."""
        kept = {metric_name(k): float(v) for k, v in metrics.items() if v is not None and math.isfinite(v)}
        self._put("metrics", step=int(step), time_ms=int(time.time() * 1000), values=kept)

    def log_table(self, name: str, columns: Mapping[str, Sequence[Any]]) -> None:
        """A table `name.json` (shown under the run's artifacts), column by column; a table of that name is replaced."""
        rows = [[_plain(value) for value in row] for row in zip(*columns.values(), strict=True)]
        self._put("table", name=name, columns=list(columns), data=rows)

    def log_audio(self, path: Path, name: str) -> None:
        """A wav file as the artifact `name`, for example `samples/S001/after.wav`; MLflow's page plays it."""
        self.log_artifact(path, name)

    def log_artifact(self, path: Path, name: str | None = None) -> None:
        """A file as the artifact `name` (its own name where None)."""
        self._put("artifact", path=str(path.absolute()), name=name or path.name)

    def set_tag(self, key: str, value: str) -> None:
        """A tag of the run, such as its verdict in a sentence."""
        self._put("tag", key=metric_name(key), value=tag_value(value))

    # --- the sender thread ---------------------------------------------------------------------------------------------------------

    def _put(self, kind: str, **content: Any) -> None:
        self._entries.put({"kind": kind, **content})

    def _send_all(self) -> None:
        while (entry := self._entries.get()) is not _CLOSE:
            self._current = [entry]
            if not self._send_patiently(entry):
                self._keep_unsent()
                return
            self._current = []
        if self._ends_run:
            self._send_patiently({"kind": "end", "status": self.end_status})

    def _send_patiently(self, entry: dict[str, Any]) -> bool:
        """True when the entry was sent or refused; False when time was up before the tracker was reached."""
        wait_s, warned = _FIRST_WAIT_S, False
        while True:
            try:
                self._connect()
                send(self._client, self._run_id, entry)
                self._progress_s = time.monotonic()
                return True
            except Exception as error:  # the boundary of this module: no fault of a tracker may end a run  # noqa: BLE001
                if _refused(error):
                    logger.warning("MLflow did not take %s: %s", _describe(entry), error)
                    return True
                if not warned:
                    logger.warning(_UNREACHABLE.format(uri=self.uri, error=_first_line(error)))
                    warned = True
            if self._left_s() <= 0:
                return False
            self._wake.wait(wait_s)
            if self._closing:
                time.sleep(_FIRST_WAIT_S)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    def _left_s(self) -> float:
        """Seconds that a tracker which does not answer is still waited for."""
        return self._progress_s + self._close_timeout_s - time.monotonic() if self._closing else math.inf

    def _connect(self) -> None:
        if self._run_id:
            return
        self._client = mlflow_client(self.uri)
        known = read_run_id(self._folder)
        self._run_id = open_run(self._client, self.uri, self._settings, self._folder, self._kind, begin=not self._adds_only)
        self._ends_run = self._ends_run or self._run_id != known  # nobody else would end a run that began here

    # --- what could not be sent ----------------------------------------------------------------------------------------------------

    def _keep_unsent(self) -> None:
        left = [*self._current]
        while not self._entries.empty():
            left.append(self._entries.get())
        left = [entry for entry in left if entry is not _CLOSE]
        path = self._folder / UNSENT_FILE
        try:
            path.write_text("".join(json.dumps(entry) + "\n" for entry in left), encoding="utf-8")
        except OSError as error:  # a full disk ends the run elsewhere, and there it is said in full
            logger.warning(_NOT_KEPT.format(uri=self.uri, count=len(left), path=path, error=error))
            return
        logger.warning(_UNSENT.format(uri=self.uri, count=len(left), path=path))

    def _take_unsent(self) -> Iterator[dict[str, Any]]:
        path = self._folder / UNSENT_FILE
        if path.exists():
            yield from map(json.loads, path.read_text(encoding="utf-8").splitlines())
            path.unlink()


def _refused(error: Exception) -> bool:
    """Whether trying again cannot help."""
    return getattr(error, "error_code", "") in _REFUSALS or isinstance(error, FileNotFoundError | TypeError | ValueError | KeyError)


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _describe(entry: Mapping[str, Any]) -> str:
    return f"{entry['kind']} {entry.get('name') or entry.get('key') or entry.get('step') or ''}".strip()


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
