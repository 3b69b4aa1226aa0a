"""The NISQA corpus (Mittag, Naderi, Chehadi, Moeller: "NISQA", Interspeech 2021): its CSV tables."""

from pathlib import Path

from auricle.ratings.record import RatedClip
from auricle.ratings.rows import Row, RowError, file_of, number, score, whole
from auricle.scenes.scene import Split

COLUMNS = ("db", "filename_deg", "mos", "noi", "col", "dis", "loud")
"""Columns by which a table is known as NISQA's."""
DIMENSIONS = {"mos": "mos", "noi": "noisiness", "col": "coloration", "dis": "discontinuity", "loud": "loudness"}
_SPLITS: dict[str, Split] = {"TRAIN": "train", "VAL": "dev", "TEST": "eval"}


def read_row(row: Row, line: int, table: Path) -> RatedClip:
    """One clip. The table may lie at the corpus's root or in a database's folder. Raises RowError."""
    folders = (table.parent, table.parent.parent, table.parent / "deg", table.parent / row["db"] / "deg")
    path = _named(row, "deg", folders)
    if path is None:
        raise RowError("empty", "filepath_deg and filename_deg are empty; the row names no clip")
    references = (table.parent, table.parent.parent, table.parent / "ref", table.parent / row["db"] / "ref")
    spreads = {name: number(row, f"{column}_std") for column, name in DIMENSIONS.items()}
    scores = {name: score(row, column) for column, name in DIMENSIONS.items()}
    if scores["mos"] is None:
        raise RowError("empty", "mos is empty; a rated clip has at least its overall score")
    condition = row.get("con", "")
    return RatedClip(
        path=path,
        scores={name: value for name, value in scores.items() if value is not None},
        row=line,
        reference=_named(row, "ref", references),
        spreads={name: value for name, value in spreads.items() if value is not None and scores[name] is not None},
        votes=whole(row, "votes"),
        source=row["db"],
        condition=f"{row['db']}/{condition}" if condition else "",
        speaker=row.get("source", ""),
        split=next((split for word, split in _SPLITS.items() if word in row["db"].upper()), None),
    )


def _named(row: Row, which: str, folders: tuple[Path, ...]) -> Path | None:
    """By path from the corpus's root, as the tables have it; by bare name where a table has no paths."""
    column = f"filepath_{which}" if row.get(f"filepath_{which}") else f"filename_{which}"
    return file_of(row, column, folders)
