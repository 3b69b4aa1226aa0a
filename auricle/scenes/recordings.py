"""Folders of recordings that scenes are mixed from: what is in them, and what cannot be used."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from auricle.audio import AUDIO_SUFFIXES, audio_info
from auricle.errors import ConfigError, MediaError
from auricle.video import VIDEO_SUFFIXES, video_info


@dataclass(frozen=True)
class Recording:
    """One usable file. name: its path within its folder; group: what it may not share a split with (a speaker; else itself)."""

    path: Path
    name: str
    group: str
    duration_s: float
    has_video: bool = False


@dataclass(frozen=True)
class Unusable:
    """A file that was left out, and why."""

    path: Path
    reason: str


def find_recordings(
    folder: Path, *, video: bool = False, min_duration_s: float = 0.0, threads: int = 8
) -> tuple[list[Recording], list[Unusable]]:
    """The usable recordings below `folder`, sorted by name, by what their headers say; and the files that are none.

    video: films with sound, instead of sound files. Files with other endings (texts, tables) are passed over. Raises ConfigError where the
    folder is missing or nothing in it can be used.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder of recordings")
    suffixes = VIDEO_SUFFIXES if video else AUDIO_SUFFIXES
    paths = sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file() and not path.name.startswith(".")
    )
    probe = _probe_video if video else _probe_audio
    with ThreadPoolExecutor(threads) as pool:
        results = list(pool.map(lambda path: _probed(probe, folder, path, min_duration_s), paths))
    usable = [result for result in results if isinstance(result, Recording)]
    unusable = [result for result in results if isinstance(result, Unusable)]
    if not usable:
        first = f"; the first: {unusable[0].reason}" if unusable else f"; looked for {', '.join(sorted(suffixes))}"
        raise ConfigError(f"{folder}: nothing usable among {len(paths)} files{first}")
    return usable, unusable


def grouped(recordings: Sequence[Recording], group_of: Callable[[str], str]) -> list[Recording]:
    """`recordings` with their groups named by `group_of`."""
    return [replace(recording, group=group_of(recording.name)) for recording in recordings]


def _probed(probe: Callable[[Path], float], folder: Path, path: Path, min_duration_s: float) -> Recording | Unusable:
    name = path.relative_to(folder).as_posix()
    try:
        duration_s = probe(path)
    except MediaError as error:
        return Unusable(path, str(error))
    if duration_s < min_duration_s:
        return Unusable(path, f"{path}: {duration_s:.2f} s long; at least {min_duration_s:g} s are needed")
    return Recording(path, name, name, duration_s, probe is _probe_video)


def _probe_audio(path: Path) -> float:
    return audio_info(path).duration_s


def _probe_video(path: Path) -> float:
    info = video_info(path)
    if not info.has_sound:
        raise MediaError(f"{path}: a film without sound; a target talker has to be heard")
    # A header without a length is believed to be long enough; decoding tells.
    return float("inf") if info.duration_s is None else info.duration_s
