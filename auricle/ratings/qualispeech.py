"""QualiSpeech (Wang et al., arXiv 2503.20290): train.csv, val.csv and test.csv, with seven numeric aspects and what people wrote.

Column names are compared without case, blanks and marks: the published tables and their copies spell them in several ways.
"""

from collections.abc import Sequence
from pathlib import Path

from auricle.listeners.quality import QUALISPEECH_ASPECTS
from auricle.ratings.record import RatedClip
from auricle.ratings.rows import Row, RowError, file_of, is_empty, score
from auricle.scenes.scene import Split

TEXTS = {
    "noisedescription": "noise description",
    "distortiondescription": "distortion description",
    "unnaturalpause": "unnatural pause",
    "feelingofvoice": "feeling of voice",
    "naturallanguagedescription": "description",
    "description": "description",
}
FILES = ("audiopath", "filepath", "wavpath", "filename", "audio", "file", "path", "wav", "name")
SPEAKERS = ("speaker", "speakerid", "system", "source")
_ASPECTS = {name.replace(" ", ""): name for name in QUALISPEECH_ASPECTS} | {"noise": "background noise", "effort": "listening effort"}
_SPLITS: dict[str, Split] = {"train": "train", "val": "dev", "test": "eval"}
LEAST_ASPECTS = 5
"""Numeric aspects by which a table is known as QualiSpeech's."""


def plain(column: str) -> str:
    """A column's name without case, blanks, marks, and a trailing `score`."""
    return "".join(character for character in column.lower() if character.isalnum()).removesuffix("score")


def is_qualispeech(header: Sequence[str]) -> bool:
    """Whether a table has enough of the aspects, and names its clips."""
    names = {plain(column) for column in header}
    return len({_ASPECTS[name] for name in names & set(_ASPECTS)}) >= LEAST_ASPECTS and bool(names & set(FILES))


def read_row(row: Row, line: int, table: Path) -> RatedClip:
    """One clip; `overall` stands for `mos` too. Raises RowError."""
    columns = {plain(column): column for column in row}
    named = next((columns[name] for name in FILES if name in columns), None)
    path = None if named is None else file_of(row, named, (table.parent, table.parent / table.stem, table.parent / "wavs"))
    if path is None:
        raise RowError("empty", f"{named} is empty; the row names no clip")
    found = {aspect: score(row, columns[name]) for name, aspect in _ASPECTS.items() if name in columns}
    scores = {aspect: value for aspect, value in found.items() if value is not None}
    if "overall" not in scores:
        raise RowError("empty", "overall is empty; a rated clip has at least its overall score")
    words = {text: row[columns[name]] for name, text in TEXTS.items() if name in columns and not is_empty(row[columns[name]])}
    speaker = next((row[columns[name]] for name in SPEAKERS if name in columns), "")
    split = next((split for word, split in _SPLITS.items() if table.stem.lower().startswith(word)), None)
    return RatedClip(path, {"mos": scores["overall"], **scores}, line, words=words, source="QualiSpeech", speaker=speaker, split=split)
