"""Clips that people rated, as a set to learn from: windows of the listener's length, each with the scores of its recording.

Recordings are held out by talker, or by condition, or one by one: whatever their table names.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from auricle.audio import read_audio
from auricle.errors import ConfigError
from auricle.levels import normalise_loudness
from auricle.listeners.calibration import DatasetConfig
from auricle.listeners.dataset import LUFS, SetWriter
from auricle.listeners.features import SHORTEST_S
from auricle.listeners.quality import Quality
from auricle.listeners.sources import Part
from auricle.listeners.windows import split
from auricle.ratings.reading import read_ratings
from auricle.ratings.record import RatedClip

RECIPE = 1
HELD_OUT_SHARE = 0.2


def rated_clips(tables: Sequence[Path], part: Part, seed: int = 0) -> list[RatedClip]:
    """The rated clips of one part. Where a table has splits, `dev` and `eval` are held out; else a fifth of its talkers (or conditions).

    Raises ConfigError where a part is empty.
    """
    found: list[RatedClip] = []
    for table in tables:
        clips = read_ratings(table).clips
        told = {clip.split for clip in clips} - {None}
        held_out = {clip.path for clip in clips if clip.split not in (None, "train")} if len(told) > 1 else _drawn(clips, seed)
        kept = [clip for clip in clips if (clip.path in held_out) == (part == "held-out")]
        if not kept:
            raise ConfigError(f"{table}: {len(clips)} rated clips leave none for the {part} part; give a table with more talkers")
        found += kept
    return found


def prepare_rated(
    clips: Sequence[RatedClip], data: DatasetConfig, cache: Path, *, progress: Callable[[int, int], None] | None = None
) -> Path:
    """The folder of the set of these clips: found in the cache, or made there. Raises MediaError for a file that cannot be read."""
    folder = Path(cache) / f"rated-{_fingerprint(clips, data)}"
    if (folder / "labels.jsonl").is_file():
        return folder
    windows = [_windows(clip, data) for clip in clips]
    with SetWriter(folder, sum(map(len, windows)), data) as writer:
        for place, (clip, parts) in enumerate(zip(clips, windows, strict=True)):
            for audio in parts:
                quality = Quality(clip.scores, len(audio) / data.sample_rate_hz, clip.spreads)
                writer.add(audio, audio, quality, clip.source or "rated")
            if progress:
                progress(place + 1, len(clips))
    return folder


def _windows(clip: RatedClip, data: DatasetConfig) -> list[np.ndarray]:
    rate = data.sample_rate_hz
    audio = normalise_loudness(read_audio(clip.path, rate), rate, LUFS)
    if len(audio) < SHORTEST_S * rate:
        raise ConfigError(f"{clip.path}: {len(audio) / rate:.2f} s; a listener hears at least {SHORTEST_S} s; leave it out of the table")
    return [window for _, window in split(audio, rate, data.clip_s)]


def _drawn(clips: Sequence[RatedClip], seed: int) -> set[Path]:
    """A fifth of the talkers; of the conditions where one talker has them all; of the clips where neither is told."""
    for key in (lambda clip: clip.speaker, lambda clip: clip.condition, lambda clip: str(clip.path)):
        groups = sorted({key(clip) for clip in clips})
        if len(groups) > 1:
            order = np.random.default_rng([seed, 7]).permutation(len(groups))
            chosen = {groups[place] for place in order[: max(1, round(HELD_OUT_SHARE * len(groups)))]}
            return {clip.path for clip in clips if key(clip) in chosen}
    return set()


def _fingerprint(clips: Sequence[RatedClip], data: DatasetConfig) -> str:
    rows = [(clip.path.name, clip.path.stat().st_size, dict(clip.scores)) for clip in clips]
    content = json.dumps([RECIPE, data.clip_s, data.mels, data.sample_rate_hz, rows], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]
