"""`read_ratings(table)`: finds out whose table it is (NISQA, QualiSpeech, or any rated folder), and reads it."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from auricle.errors import RatingsError
from auricle.ratings import folder, nisqa, qualispeech
from auricle.ratings.record import BadRow, RatedClip, Ratings
from auricle.ratings.rows import Row, RowError, read_table

ReadRow = Callable[[Row, int, Path], RatedClip]
SHOWN = 3


def read_ratings(table: Path, *, strict: bool = False) -> Ratings:
    """The clips of a table with their scores; rows that cannot be used are listed in `rejected`.

    strict: the first bad row is an error. Raises RatingsError for a table that cannot be read, and where no row is left.
    """
    header, rows = read_table(table)
    kind, read = _reader(header, rows, table)
    clips: list[RatedClip] = []
    rejected: list[BadRow] = []
    seen: dict[Path, int] = {}
    for line, row in rows:
        try:
            clip = read(row, line, table)
            if clip.path in seen:
                raise RowError("duplicate", f"{clip.path.name} stands in line {seen[clip.path]} too; keep one of them")
        except RowError as error:
            bad = BadRow(table, line, error.fault, str(error))
            if strict:
                raise RatingsError(str(bad)) from None
            rejected.append(bad)
        else:
            seen[clip.path] = line
            clips.append(clip)
    if not clips:
        raise RatingsError(f"{table}: none of its {len(rows)} rows can be used; the first: {rejected[0]}")
    return Ratings(table, kind, tuple(clips), tuple(rejected))


def rejected_text(ratings: Ratings) -> str:
    """A line about the rows that were left out; empty where there are none."""
    if not ratings.rejected:
        return ""
    counts = ", ".join(f"{count} {fault}" for fault, count in Counter(bad.fault for bad in ratings.rejected).most_common())
    total = len(ratings.rejected) + len(ratings.clips)
    shown = "; ".join(f"line {bad.row}: {bad.reason}" for bad in ratings.rejected[:SHOWN])
    return f"{ratings.table}: {len(ratings.rejected)} of {total} rows left out ({counts}): {shown}"


def _reader(header: list[str], rows: list[tuple[int, Row]], table: Path) -> tuple[str, ReadRow]:
    if set(nisqa.COLUMNS) <= set(header):
        return "NISQA", nisqa.read_row
    if qualispeech.is_qualispeech(header):
        return "QualiSpeech", qualispeech.read_row
    columns = folder.score_columns(header, table)
    return "folder", partial(folder.read_row, columns=columns, originals=folder.originals_of(rows))
