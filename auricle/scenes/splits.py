"""Who is in train, dev and eval: whole speakers (or noise files) go to one split, so that none is met again."""

import csv
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from auricle.errors import ConfigError
from auricle.scenes.scene import Split

SpeakerOf = Callable[[str], str]


def split_groups(
    groups: Iterable[str], shares: Mapping[Split, float], seed: int, *, what: str, settled: Mapping[str, Split] | None = None
) -> dict[str, Split]:
    """Each group's split: in proportion to `shares`, at least one group a split, drawn from the seed and the names alone.

    settled: groups whose split is known already (the same speakers in another folder), and stays. Raises ConfigError on too few groups.
    """
    names = sorted(set(groups))
    wanted = {split: share for split, share in shares.items() if share > 0}
    result = {name: settled[name] for name in names if settled and name in settled}
    free = [name for name in names if name not in result]
    np.random.default_rng(seed).shuffle(free)
    total = sum(wanted.values())
    for name in free:
        # The split that is furthest behind its share comes next; empty ones first.
        held = {split: sum(1 for other in result.values() if other == split) for split in wanted}
        result[name] = min(wanted, key=lambda split: (held[split] > 0, held[split] * total / wanted[split]))
    missing = sorted(set(wanted) - set(result.values()))
    if missing:
        raise ConfigError(
            f"{what}: {len(names)} cannot be divided so that each of {', '.join(wanted)} has its own; none is left for "
            f"{', '.join(missing)}. Give more of them, or fewer splits in --scenes"
        )
    return result


def speakers_by_folder(names: Sequence[str]) -> SpeakerOf:
    """Speakers by the outermost folder level at which the files differ; each file by itself where no level does.

    `1183/124566/0000.flac` and `trainval/yJX1Te0jey0/00080.mp4` among their like give 1183 and yJX1Te0jey0.
    """
    folders = [PurePosixPath(name).parts[:-1] for name in names]
    depth = min((len(parts) for parts in folders), default=0)
    level = next((level for level in range(depth) if len({parts[level] for parts in folders}) > 1), None)
    if level is None:
        return lambda name: PurePosixPath(name).stem
    return lambda name: PurePosixPath(name).parts[level]


def speakers_by_pattern(pattern: str) -> SpeakerOf:
    """Speakers by a regular expression's first group, searched in a file's path within its folder."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"--speaker-pattern {pattern!r}: not a regular expression ({error})") from error
    if compiled.groups < 1:
        raise ConfigError(rf"--speaker-pattern {pattern!r}: has no group; put the speaker into brackets, such as '^(\d+)-'")

    def speaker_of(name: str) -> str:
        match = compiled.search(name)
        # A name that does not fit is its own speaker: in a split of its own at worst, and never in two.
        return match.group(1) if match and match.group(1) else PurePosixPath(name).stem

    return speaker_of


def speakers_by_table(path: Path) -> SpeakerOf:
    """Speakers by a CSV with columns `file` (a file's name, or its path within its folder) and `speaker` or `person`."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"--speakers {path}: cannot be read ({error})") from error
    column = next((name for name in ("speaker", "person") if rows and name in rows[0]), None)
    if column is None or "file" not in rows[0]:
        raise ConfigError(f"--speakers {path}: expected a header line with the columns file and speaker (or person)")
    table = {row["file"]: row[column] for row in rows}
    return lambda name: table.get(name) or table.get(PurePosixPath(name).name) or PurePosixPath(name).stem
