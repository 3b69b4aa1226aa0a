"""Records to learn from, made in parallel processes and kept on disk by the content of their settings. A stopped making goes on."""

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path

from auricle.files import replacing
from auricle.gsrm.lessons import Record, make_record, record_from_line, record_line
from auricle.listeners.calibration import DatasetConfig
from auricle.listeners.sources import Part, Sources, find_sources

RECIPE = 3
"""Raised whenever the making of records changes, so that old ones are not taken for new."""
CHUNK = 25


def records(
    config: DatasetConfig, part: Part, cache_folder: Path, *, processes: int, progress: Callable[[int, int], None] | None = None
) -> list[Record]:
    """The records of one part: `config.clips` or `config.held_out_clips` of them, read from the cache or made there, chunk by chunk."""
    count = config.clips if part == "train" else config.held_out_clips
    folder = Path(cache_folder) / f"gsrm-{part}-{fingerprint(config, part)}"
    folder.mkdir(parents=True, exist_ok=True)
    starts = range(0, count, CHUNK)
    missing = [start for start in starts if not _file(folder, start).is_file()]
    for done, (start, lines) in enumerate(_made(config, part, missing, processes), 1):
        with replacing(_file(folder, start)) as temporary:
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
        if progress:
            progress((len(starts) - len(missing) + done) * CHUNK, count)
    lines = [line for start in starts for line in _file(folder, start).read_text(encoding="utf-8").splitlines()]
    return [record_from_line(line) for line in lines[:count]]


def _made(config: DatasetConfig, part: Part, starts: list[int], processes: int) -> Iterator[tuple[int, list[str]]]:
    jobs = [(config.model_dump_json(), part, start) for start in starts]
    if processes <= 1 or len(jobs) <= 1:
        yield from zip(starts, map(_chunk, jobs), strict=True)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from zip(starts, pool.map(_chunk, jobs), strict=True)


def _chunk(job: tuple[str, Part, int]) -> list[str]:
    text, part, start = job
    config = DatasetConfig.model_validate_json(text)
    sources = sources_of(config, part)
    return [record_line(make_record(part, sources, index, config.seed, config.clip_s)) for index in range(start, start + CHUNK)]


def sources_of(config: DatasetConfig, part: Part) -> Sources:
    """What one part draws on."""
    return _sources(config.model_dump_json(), part)


@cache
def _sources(text: str, part: Part) -> Sources:
    """Listing folders once a process."""
    config = DatasetConfig.model_validate_json(text)
    return find_sources(
        part, config.speech, config.noise, synthetic_share=config.synthetic_share, seed=config.seed, sample_rate_hz=config.sample_rate_hz
    )


def fingerprint(config: DatasetConfig, part: Part) -> str:
    """Settings and files (names and sizes), not folders: the same corpus elsewhere is the same corpus. Not the count: more may be made."""
    sources = sources_of(config, part)
    files = [(path.name, path.stat().st_size) for path in (*(path for _, path in sources.speech), *sources.noise)]
    settings = [RECIPE, config.seed, config.clip_s, config.sample_rate_hz, config.synthetic_share, sources.voices, sources.noise_kinds]
    return hashlib.sha256(json.dumps([*settings, files]).encode()).hexdigest()[:16]


def _file(folder: Path, start: int) -> Path:
    return folder / f"{start:06d}.jsonl"
