"""Cells of a table as numbers and files; what cannot be read is an error that names the row, the value and the cure."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from auricle.errors import RatingsError

EMPTY = frozenset({"", "-", "na", "n/a", "nan", "none", "null"})
"""What tables write where there is nothing."""
LOWEST, HIGHEST = 1.0, 5.0

Row = Mapping[str, str]


class RowError(Exception):
    """What is wrong with a row; readers turn it into a `BadRow`."""

    def __init__(self, fault: str, reason: str) -> None:
        super().__init__(reason)
        self.fault = fault


def read_table(table: Path) -> tuple[list[str], list[tuple[int, Row]]]:
    """The header, and the rows with their line numbers; cells without blanks around them. Raises RatingsError."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restkey="", restval="", strict=True)
            rows: list[tuple[int, Row]] = [(reader.line_num, {name: _text(cell) for name, cell in row.items() if name}) for row in reader]
            header = [name for name in reader.fieldnames or () if name]
    except FileNotFoundError:
        raise RatingsError(f"{table}: no such file; give the CSV table of the ratings") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RatingsError(f"{table}: not a CSV table in UTF-8: {error}") from error
    if not rows:
        raise RatingsError(f"{table}: no rows; expected a header and a row for each clip")
    return header, rows


def score(row: Row, column: str) -> float | None:
    """A mean of votes on 1-5; None where the cell is empty. Raises RowError."""
    value = number(row, column)
    if value is not None and not LOWEST <= value <= HIGHEST:
        raise RowError("range", f"{column} = {row[column]!r}: expected a score from 1 to 5; map another scale onto it first")
    return value


def number(row: Row, column: str) -> float | None:
    """Any finite number; None where the column is not there or its cell is empty. Raises RowError."""
    text = row.get(column, "")
    if is_empty(text):
        return None
    try:
        value = float(text)
    except ValueError:
        raise RowError("number", f"{column} = {text!r}: expected a number; correct the cell, or leave it empty") from None
    if not math.isfinite(value):
        raise RowError("number", f"{column} = {text!r}: expected a finite number; leave the cell empty where there is none")
    return value


def whole(row: Row, column: str) -> int | None:
    """A whole number of at least 1; None where there is none. Raises RowError."""
    value = number(row, column)
    if value is None:
        return None
    if value < 1 or value != int(value):
        raise RowError("number", f"{column} = {row[column]!r}: expected a whole number of at least 1")
    return int(value)


def file_of(row: Row, column: str, folders: Sequence[Path]) -> Path | None:
    """The file that a cell names, in the first of `folders` that has it; None where the cell is empty. Raises RowError."""
    text = row.get(column, "").replace("\\", "/")
    if is_empty(text):
        return None
    for folder in folders:
        if (folder / text).is_file():
            return folder / text
    looked = ", ".join(dict.fromkeys(str(folder) for folder in folders))
    raise RowError("missing", f"{column} = {text!r}: no such file in {looked}; is the corpus complete, and the table in its place?")


def is_empty(text: str) -> bool:
    """Whether a cell holds nothing."""
    return text.lower() in EMPTY


def _text(cell: object) -> str:
    return cell.strip() if isinstance(cell, str) else ""
