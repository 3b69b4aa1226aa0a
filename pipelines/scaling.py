"""RUN/scaling.jsonl, read: each time a pool was made larger or smaller, and why. Who scales the pools writes it, one JSON object a line."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAME = "scaling.jsonl"


@dataclass(frozen=True)
class ScaleEvent:
    """pool: as the pools are called, or a judge's name. from_size, to_size: workers. time_s: of the epoch. queue: what was waiting then."""

    time_s: float
    pool: str
    from_size: int
    to_size: int
    reason: str
    queue_age_s: float | None = None
    queue_depth: float | None = None

    def sentence(self) -> str:
        """For people."""
        waiting = [f"{self.queue_depth:g} waiting" if self.queue_depth is not None else ""]
        waiting += [f"for {self.queue_age_s:.1f} s" if self.queue_age_s is not None else ""]
        said = " ".join(part for part in waiting if part)
        return f"{self.pool} {self.from_size} -> {self.to_size}: {self.reason}{f' ({said})' if said else ''}"


class ScaleEvents:
    """The file as it grows: `new` gives what was appended since the last call."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._at = 0
        if self._path.exists():  # what happened before this process took over is told already
            self._at = self._path.stat().st_size

    def new(self) -> list[ScaleEvent]:
        """Events since the last call; a line that is still being written is left for the next one."""
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:
            return []
        if size == self._at:
            return []
        with self._path.open("rb") as file:
            file.seek(min(self._at, size))
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._at = min(self._at, size) + len(whole)
        return parsed(whole.decode("utf-8", errors="replace"))


def read_scaling(folder: Path) -> list[ScaleEvent]:
    """All events of a run, oldest first; none where nothing was scaled."""
    path = folder / NAME
    return parsed(path.read_text(encoding="utf-8", errors="replace")) if path.exists() else []


def parsed(text: str) -> list[ScaleEvent]:
    """The events of whole lines; what is no event is passed over."""
    events = []
    for line in text.splitlines():
        try:
            events.append(scale_event(json.loads(line)))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return events


def scale_event(record: Mapping[str, Any]) -> ScaleEvent:
    """Of a line of scaling.jsonl (`pipelines.pool_watch` says what is in it). Raises KeyError, TypeError, ValueError where it is none."""
    age, depth = record.get("queue_age_s"), record.get("queue_depth")
    return ScaleEvent(
        time_s=float(record["time_s"]),
        pool=str(record["pool"]),
        from_size=int(record["from_replicas"]),
        to_size=int(record["to_replicas"]),
        reason=str(record.get("reason", "")),
        queue_age_s=None if age is None else float(age),
        queue_depth=None if depth is None else float(depth),
    )
