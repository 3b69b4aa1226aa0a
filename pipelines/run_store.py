"""A run in an object store: what lies there, and how it comes back into a folder.

    URI/NAME/config.toml  metrics.jsonl  guard.jsonl  events.jsonl  ...   one object each, put anew when they grow
    URI/NAME/checkpoints/step-000120-7d1c09ab/...  ledger/steps-000100-000120-7d1c09ab.parquet   never overwritten
    URI/NAME/index.json                                                   put last: says of which objects the run consists

Invariants:
- A run is what index.json lists. Checkpoints and ledger parts have keys that are used once, so whatever was put before an upload broke off
  is in no index, is never taken, and is removed by the next one.
- The index is put when all that it lists is there; what an index before it listed goes after that. So at any moment one index holds.
- The books (metrics, guard, events) may be newer than the index: resuming cuts back what lies beyond its checkpoint, as in a folder.
"""

import json
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from auricle.errors import ConfigError, StoreError
from auricle.files import is_plain_name, is_uri, replacing
from auricle.ledger import part_range
from auricle.object_store import ObjectStore

INDEX = "index.json"
CONFIG = "config.toml"
RECORD = "stored.json"
"""In the run's folder: which of its files are in the store, under which keys."""
_NOT_STORED = {RECORD, ".lock", "frameworks.log", "report.html.tmp"}
_POINTERS = ("checkpoints/last.json", "checkpoints/best.json")
_ONCE = ("checkpoints", "ledger")
"""Folders whose files are never overwritten in the store."""
_DERIVED = "universal"
"""A checkpoint rewritten for another number of ranks (actors.engine); it is made again where it is wanted."""


@dataclass(frozen=True)
class Stored:
    """A file of the run as the store has it. mtime_ns: of the local file that it is a copy of."""

    key: str
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Upload:
    """What to put (path in the run's folder -> key), and what the index says afterwards. checkpoints: pointer's name -> its record."""

    puts: Mapping[str, str]
    files: Mapping[str, Stored]
    checkpoints: Mapping[str, Any]

    def index(self) -> dict[str, Any]:
        """The index, but for who puts it."""
        return {"checkpoints": self.checkpoints, "objects": {path: {"key": one.key, "size": one.size} for path, one in self.files.items()}}


def plan_upload(folder: Path, step: int, known: Mapping[str, Stored], token: str) -> Upload:
    """What has to be put so that the store holds the run as of its checkpoint of `step` (0: none yet).

    known: what the store has. token: makes the keys of this upload its own. Reads the folder's names and sizes, nothing else.
    """
    checkpoints = {name: record for name in _POINTERS if (record := _pointer(folder / name, step))}
    if step:
        checkpoints[_POINTERS[0]] = {"step": step, "folder": f"step-{step:06d}"}
    checkpoints = {name: record for name, record in checkpoints.items() if _is_there(folder / "checkpoints" / record["folder"])}
    if step and _POINTERS[0] not in checkpoints:
        raise FileNotFoundError(f"{folder}: the checkpoint of step {step} is gone")
    wanted = {record["folder"] for record in checkpoints.values()}
    files: dict[str, Stored] = {}
    puts: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not _belongs(name, wanted, step) or not path.is_file():
            continue
        state, before = state_of(path), known.get(name)
        if before is not None and (before.size, before.mtime_ns) == state:
            files[name] = before
        else:
            puts[name] = key_of(name, token)
            files[name] = Stored(puts[name], *state)
    return Upload(puts, files, checkpoints)


def key_of(name: str, token: str) -> str:
    """The key of a file of the run. Those that stand for ever have the token in it: before the suffix, or behind the checkpoint's name."""
    parts = PurePosixPath(name).parts
    if not stands(name):
        return name
    if len(parts) == 2:
        return f"{parts[0]}/{PurePosixPath(name).stem}-{token}{PurePosixPath(name).suffix}"
    return "/".join([parts[0], f"{parts[1]}-{token}", *parts[2:]])


def new_token() -> str:
    """For the keys of one upload."""
    return uuid.uuid4().hex[:8]


def read_record(folder: Path, uri: str) -> dict[str, Stored]:
    """Which files of the folder are in the store at `uri`; empty where the folder knows nothing of it."""
    return {name: Stored(**one) for name, one in _record(folder, uri).get("files", {}).items()}


def known_writers(folder: Path, uri: str) -> list[str]:
    """Who may have signed the index at `uri` for it to be that of this folder's run; empty where nobody knows."""
    return [str(one) for one in _record(folder, uri).get("writers", [])]


def write_record(folder: Path, uri: str, files: Mapping[str, Stored], writers: Sequence[str]) -> None:
    """Note it, atomically. writers: see `known_writers`."""
    _write(folder / RECORD, json.dumps({"uri": uri, "writers": writers, "files": {name: asdict(one) for name, one in files.items()}}))


def _record(folder: Path, uri: str) -> dict[str, Any]:
    path = folder / RECORD
    record = json.loads(path.read_text()) if path.exists() else {}
    return record if record.get("uri") == uri else {}


def read_index(store: ObjectStore) -> dict[str, Any]:
    """The run's index: `writer` (`host, process PID, TOKEN`; empty in older ones), `checkpoints` and `objects`.

    Raises StoreError where there is none, or none that can be read.
    """
    index = find_index(store)
    if index is None:
        raise StoreError(f"{store.uri}: no run there (no {INDEX}); give the URI of a run, such as s3://BUCKET/runs/demo")
    return index


def find_index(store: ObjectStore) -> dict[str, Any] | None:
    """As `read_index`; None where there is none."""
    content = store.read(INDEX)
    if content is None:
        return None
    try:
        index = json.loads(content)
        objects = {str(path): {"key": str(one["key"]), "size": int(one["size"])} for path, one in index["objects"].items()}
        checkpoints = {str(name): {"step": int(one["step"]), **one} for name, one in index["checkpoints"].items()}
        folders = [str(one["folder"]) for one in checkpoints.values()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{store.uri}/{INDEX}: cannot be read ({error!r})") from error
    stray = [path for path in objects if PurePosixPath(path).is_absolute() or not path or ".." in PurePosixPath(path).parts]
    stray += [name for name in checkpoints if name not in _POINTERS] + [name for name in folders if not is_plain_name(name)]
    if stray or CONFIG not in objects:
        raise StoreError(f"{store.uri}/{INDEX}: " + (f"{stray[0]!r} leads out of a run's folder" if stray else f"it lists no {CONFIG}"))
    return {"writer": str(index.get("writer", "")), "checkpoints": checkpoints, "objects": objects}


def signed(index: Mapping[str, Any], writer: str) -> bytes:
    """An index's content, put by `writer`."""
    return json.dumps({"format": 1, "writer": writer, "checkpoints": index["checkpoints"], "objects": index["objects"]}, indent=1).encode()


def fetch(store: ObjectStore, folder: Path, *, checkpoints: bool = True) -> Path:
    """Make `folder` the run that the store holds, whatever stood there before; returns it. What it has already is not fetched again.

    checkpoints: False makes empty folders of them, for looking at the run. While it is under way, and after it broke off, the folder is no
    run: its config.toml comes last.
    """
    index = read_index(store)
    objects: dict[str, dict[str, Any]] = index["objects"]
    known = read_record(folder, store.uri)
    if not known and (folder / CONFIG).exists():
        raise ConfigError(f"{folder} holds a run that is not the one at {store.uri}; let it be fetched elsewhere (--set run.folder=PATH)")
    for name in (CONFIG, *_POINTERS):
        (folder / name).unlink(missing_ok=True)
    _remove_others(folder, set(objects))
    files = {
        name: _fetched(store, folder, name, one, known)
        for name, one in objects.items()
        if name != CONFIG and (checkpoints or not name.startswith("checkpoints/"))
    }
    for name, record in index["checkpoints"].items():
        (folder / "checkpoints" / record["folder"]).mkdir(parents=True, exist_ok=True)
        _write(folder / name, json.dumps(record, indent=1))
    files[CONFIG] = _fetched(store, folder, CONFIG, objects[CONFIG], known)
    write_record(folder, store.uri, files, [index["writer"]])
    return folder


def require_free(uri: str) -> None:
    """For a new run. Raises ConfigError where a run stands at `uri` already."""
    if ObjectStore(uri).read(INDEX) is not None:
        raise ConfigError(f"{uri}: a run stands there already; resume it (--resume {uri}), or give another name (--set run.name=NAME)")


@contextmanager
def run_at(place: str | Path) -> Iterator[Path]:
    """The folder of a run for looking at it: itself, or a passing copy, without weights, of one in a store."""
    if not is_uri(place):
        yield Path(place)
        return
    store = ObjectStore(str(place))
    with tempfile.TemporaryDirectory(prefix="auricle-") as passing:
        yield fetch(store, Path(passing) / store.uri.rpartition("/")[2], checkpoints=False)


def _pointer(path: Path, step: int) -> dict[str, Any] | None:
    """A pointer's record, where it names a checkpoint that is not beyond `step`."""
    record = json.loads(path.read_text()) if path.exists() else None
    return record if record and record["step"] <= step else None


def _is_there(checkpoint: Path) -> bool:
    return any(path.is_file() for path in checkpoint.rglob("*"))


def _belongs(name: str, checkpoints: set[str], step: int) -> bool:
    parts = PurePosixPath(name).parts
    if name in _NOT_STORED or name in _POINTERS or any(part.startswith(".") or part.endswith(".tmp") for part in parts):
        return False
    if parts[0] == "checkpoints":
        return len(parts) > 2 and parts[1] in checkpoints and _DERIVED not in parts
    if parts[0] == "ledger" and name.endswith(".parquet"):
        return part_range(Path(name))[1] <= step
    return True


def stands(name: str) -> bool:
    """Whether a file is written once, and never again under its key in the store. The others are the books."""
    parts = PurePosixPath(name).parts
    return parts[0] in _ONCE and not (len(parts) == 2 and name.endswith(".json"))


def _fetched(store: ObjectStore, folder: Path, name: str, listed: Mapping[str, Any], known: Mapping[str, Stored]) -> Stored:
    """The file in place: left where it is the object already. Books are always fetched: others may have written on under the same key."""
    target, has = folder / name, known.get(name)
    if not stands(name):
        store.download(listed["key"], target)
    elif has is None or has.key != listed["key"] or not target.is_file() or state_of(target) != (has.size, has.mtime_ns):
        store.download(listed["key"], target, listed["size"])
    return Stored(listed["key"], *state_of(target))


def state_of(path: Path) -> tuple[int, int]:
    """Size and time of last change: another of either is another content."""
    state = path.stat()
    return state.st_size, state.st_mtime_ns


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text)


def _remove_others(folder: Path, listed: set[str]) -> None:
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in listed and name not in _NOT_STORED:
            path.unlink()
    for path in (folder / "checkpoints").glob("*/"):
        if not any(name.startswith(f"checkpoints/{path.name}/") for name in listed):
            shutil.rmtree(path)
