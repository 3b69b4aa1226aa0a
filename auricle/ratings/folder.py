"""Any rated folder: a CSV with `file` and scores. ITU-T P.835 tests (`mos_sig`, `mos_bak`, `mos_ovrl`, `ci95_*`) are of this form.

Columns: `file`, relative to the table; `reference` (optional); a score a column: `mos`, `mos_NAME`, `score_NAME`, or one of the dimensions
that questions know (`noisiness`, `naturalness`...); `NAME_std` (the standard deviation of its votes) or `ci95_NAME` (95 % interval of the
mean) with `votes` or `n_votes`; `condition`, `speaker`, `source`, `split`.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from auricle.errors import RatingsError
from auricle.listeners.quality import MEANINGS, MOS
from auricle.ratings.record import RatedClip
from auricle.ratings.rows import Row, RowError, file_of, number, score, whole
from auricle.scenes.scene import Split

ORIGINAL = "c0"
"""P.835 sets name the untouched condition so; a clip without `reference` is compared with the clip of it of the same talker."""
_OVERALL = frozenset({"ovrl", "overall"})
_PREFIXES = ("mos_", "score_")
_SPLITS: dict[str, Split] = {"train": "train", "val": "dev", "dev": "dev", "test": "eval", "eval": "eval"}
NORMAL_95 = 1.96


def score_columns(header: Sequence[str], table: Path) -> dict[str, str]:
    """Column -> dimension. Raises RatingsError where the table names no files or has no scores."""
    found = {column: name for column in header if (name := _dimension(column)) is not None}
    if "file" not in header or not found:
        raise RatingsError(
            f"{table}: columns {', '.join(header)}; expected `file` and at least one score: `mos`, `mos_NAME`, `score_NAME`, "
            f"or one of {', '.join(MEANINGS)}"
        )
    names = list(found.values())
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise RatingsError(f"{table}: two columns give {twice[0]!r}; keep one of them")
    return found


def originals_of(rows: Sequence[tuple[int, Row]]) -> dict[str, str]:
    """Talker -> file of the untouched condition, for tables without `reference`."""
    return {talker_of(row["file"]): row["file"] for _, row in rows if row.get("condition") == ORIGINAL}


def talker_of(name: str) -> str:
    """What stands after the underscore in names such as c3_f1.wav."""
    return Path(name).stem.partition("_")[2]


def read_row(row: Row, line: int, table: Path, columns: Mapping[str, str], originals: Mapping[str, str]) -> RatedClip:
    """One clip. Raises RowError."""
    folders = (table.parent,)
    path = file_of(row, "file", folders)
    if path is None:
        raise RowError("empty", "file is empty; the row names no clip")
    scores = {name: value for column, name in columns.items() if (value := score(row, column)) is not None}
    if not scores:
        raise RowError("empty", f"no score in {', '.join(columns)}")
    reference = file_of(row, "reference", folders)
    if reference is None and (original := originals.get(talker_of(row["file"]))):
        reference = file_of({"file": original}, "file", folders)
    votes = whole(row, "votes") or whole(row, "n_votes")
    spreads = {name: value for column, name in columns.items() if (value := _spread(row, column, votes)) is not None}
    talker = row.get("speaker") or talker_of(row["file"])
    split = _SPLITS.get(row.get("split", "").lower())
    condition = row.get("condition", "")
    return RatedClip(path, scores, line, reference, spreads, votes, {}, row.get("source", ""), condition, talker, split)


def _dimension(column: str) -> str | None:
    if column.endswith("_std"):
        return None
    name = next((column.removeprefix(start) for start in _PREFIXES if column.startswith(start)), None)
    if name is None:
        return column if column in MEANINGS else None
    return MOS if name in _OVERALL else name


def _spread(row: Row, column: str, votes: int | None) -> float | None:
    """The standard deviation of votes: as told, or from the 95 % interval of their mean."""
    told = number(row, f"{column}_std")
    if told is not None:
        return told
    interval = number(row, f"ci95_{column.removeprefix('mos_')}")
    return None if interval is None or votes is None or votes < 2 else interval / NORMAL_95 * math.sqrt(votes)
