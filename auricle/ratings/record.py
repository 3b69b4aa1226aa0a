"""One recording with what people said of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from auricle.scenes.scene import Split


@dataclass(frozen=True)
class RatedClip:
    """scores: means of people's votes, 1-5, 5 is best, by dimension (`mos` is the overall one). spreads: the votes' standard deviation,
    where it is told. votes: how many there were, likewise. reference: the clean original, where there is one. words: what people wrote,
    by aspect. source: the corpus or database. condition: what was done to the clip, as its corpus names it: for grouping, never for a
    prompt. row: the line of the table (its header is line 1).
    """

    path: Path
    scores: Mapping[str, float]
    row: int
    reference: Path | None = None
    spreads: Mapping[str, float] = field(default_factory=dict)
    votes: int | None = None
    words: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    condition: str = ""
    speaker: str = ""
    split: Split | None = None


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used. fault: one word for counting: missing, number, range, empty, duplicate."""

    table: Path
    row: int
    fault: str
    reason: str

    def __str__(self) -> str:
        return f"{self.table}, line {self.row}: {self.reason}"


@dataclass(frozen=True)
class Ratings:
    """A table, read. rejected: rows that could not be used; they are told, never dropped in silence."""

    table: Path
    kind: str
    clips: tuple[RatedClip, ...]
    rejected: tuple[BadRow, ...] = ()

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Every dimension that a clip has a score for, in the table's order."""
        return tuple(dict.fromkeys(name for clip in self.clips for name in clip.scores))
