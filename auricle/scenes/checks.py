"""Which scenes of a corpus can be used, and why the others cannot.

Every file of every scene is decoded once, from end to end (and not again while it stays as it is). Scenes with a fault are left out, listed
with the reason, and counted.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from auricle.audio import audio_info, read_audio
from auricle.errors import EmptyCorpusError, MediaError
from auricle.files import replacing
from auricle.mouth import Crop
from auricle.progress import Progress
from auricle.scenes.cache import cached_crops
from auricle.scenes.loading import MAX_MISMATCH_S, require_equal_length
from auricle.scenes.memory import CheckMemory
from auricle.scenes.scene import Scene
from auricle.video import iterate_frames, video_info

REASONS_SHOWN = 5
MAX_SCENE_S = 1800.0
"""Longest file of a scene, in seconds. Checked before it is decoded: as many as there are threads are in memory at a time."""
MAX_SCENE_SAMPLES = 1 << 27
"""Most samples of one: half a GiB; 46 minutes at 48 kHz."""


@dataclass(frozen=True)
class Rejection:
    """One file for which a scene was left out. fault: one word (see MediaError); reason: a sentence with file, value and cure."""

    scene_id: str
    file: Path
    fault: str
    reason: str


@dataclass(frozen=True)
class CheckReport:
    """What became of each scene: usable, or rejected with one entry for each file at fault."""

    usable: list[Scene]
    rejected: list[Rejection]

    @property
    def scenes_rejected(self) -> int:
        """How many scenes were left out."""
        return len({rejection.scene_id for rejection in self.rejected})

    @property
    def faults(self) -> dict[str, int]:
        """How many files had each fault, the commonest first."""
        return dict(Counter(rejection.fault for rejection in self.rejected).most_common())

    def summary(self) -> str:
        """One line for people, such as `57 scenes usable, 3 left out (2 silent, 1 truncated)`."""
        kinds = ", ".join(f"{count} {fault}" for fault, count in self.faults.items())
        return f"{len(self.usable)} scenes usable, {self.scenes_rejected} left out" + (f" ({kinds})" if kinds else "")


def check_scenes(
    scenes: Sequence[Scene],
    *,
    sample_rate_hz: int = 16_000,
    frame_rate_hz: float = 25.0,
    frame_size_px: int | None = None,
    crop: Crop = "mouth",
    with_video: bool = True,
    max_mismatch_s: float = MAX_MISMATCH_S,
    report_path: Path | None = None,
    workers: int | None = None,
    show: bool = True,
) -> CheckReport:
    """Decodes all files of all scenes, in parallel threads, and sorts the scenes; the order stays.

    Scenes that passed before and have not changed since pass unread. sample_rate_hz: files below it are rejected, since they lack the upper
    band; files above are resampled on loading. The wavs of one scene must agree. frame_size_px: where given, crops of the kind `crop` are
    made and kept on the way. report_path: JSON of the result. show: a progress bar and the summary with the first reasons, on stderr.
    Raises EmptyCorpusError where nothing is left.
    """

    memory = CheckMemory(sample_rate_hz, frame_rate_hz, frame_size_px, *([crop] if crop != "mouth" else []), with_video, max_mismatch_s)
    keys = [memory.key(scene) for scene in scenes]

    def check(scene: Scene, key: str | None) -> list[Rejection]:
        if memory.knows(key):
            return []
        return list(_faults(scene, sample_rate_hz, frame_rate_hz, frame_size_px, crop, with_video, max_mismatch_s))

    # Threads, not processes: libsndfile and FFmpeg let go of the interpreter's lock, and forking beside torch's or Ray's threads is unsafe.
    pool = ThreadPoolExecutor(workers or min(16, os.cpu_count() or 1))
    console = Console(file=sys.stderr, quiet=not show)
    try:
        with Progress(console=console, transient=True, disable=not show) as progress:
            found = list(progress.track(pool.map(check, scenes, keys), total=len(scenes), description="checking scenes"))
    finally:
        pool.shutdown(cancel_futures=True)
    memory.remember(key for key, faults in zip(keys, found, strict=True) if key is not None and not faults)
    report = CheckReport(
        usable=[scene for scene, faults in zip(scenes, found, strict=True) if not faults],
        rejected=[fault for faults in found for fault in faults],
    )
    if report_path is not None:
        _write(report, report_path)
    reasons = [rejection.reason for rejection in report.rejected[:REASONS_SHOWN]]
    if not report.usable:
        raise EmptyCorpusError(
            f"no usable scene among {len(scenes)}: {report.summary()}. First reasons: {'; '.join(reasons) or 'none listed'}"
        )
    for line in [report.summary(), *(f"  {reason}" for reason in reasons)]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return report


def _faults(
    scene: Scene, sample_rate_hz: int, frame_rate_hz: float, frame_size_px: int | None, crop: Crop, with_video: bool, max_mismatch_s: float
) -> Iterator[Rejection]:
    """One rejection for each file at fault. Others' lengths and rates are only compared with those of a sound mixture."""
    mix_s, mix_rate_hz = None, 0
    for path in (scene.mix, scene.target, scene.target_anechoic, scene.interferer):
        if path is None:
            continue
        try:
            length_s, rate_hz = _check_sound(path, scene, sample_rate_hz)
            if path == scene.mix:
                mix_s, mix_rate_hz = length_s, rate_hz
            elif mix_s is not None:
                require_equal_length(scene.mix, mix_s, path, length_s, max_mismatch_s)
                _require_equal_rate(scene.mix, mix_rate_hz, path, rate_hz)
        except (MediaError, OSError) as error:
            yield _rejection(scene, path, error)
    if not with_video or scene.video is None:
        return
    try:
        _require_short(scene.video, video_info(scene.video).duration_s or 0.0)
        count = _count_pictures(scene.video, frame_rate_hz, frame_size_px, crop)
        if mix_s is not None:
            require_equal_length(scene.mix, mix_s, scene.video, count / frame_rate_hz, max_mismatch_s)
    except (MediaError, OSError) as error:
        yield _rejection(scene, scene.video, error)


def _check_sound(path: Path, scene: Scene, sample_rate_hz: int) -> tuple[float, int]:
    """Length and rate of a file whose sound can be used."""
    info = audio_info(path)
    if info.sample_rate_hz < sample_rate_hz:
        raise MediaError(
            f"{path}: sampled at {info.sample_rate_hz} Hz, below the {sample_rate_hz} Hz that are needed; find the original", fault="rate"
        )
    _require_short(path, info.duration_s, info.samples)
    read_audio(path, info.sample_rate_hz, channel=scene.channel, reject_silence=True)
    return info.duration_s, info.sample_rate_hz


def _require_short(path: Path, length_s: float, samples: int = 0) -> None:
    if length_s > MAX_SCENE_S or samples > MAX_SCENE_SAMPLES:
        told = f"lasts {length_s:.0f} s" + f" ({samples} samples)" * bool(samples)
        raise MediaError(
            f"{path}: {told}; a scene's files last at most {MAX_SCENE_S:.0f} s, {MAX_SCENE_SAMPLES} samples: cut it", fault="length"
        )


def _require_equal_rate(mix: Path, mix_rate_hz: int, other: Path, rate_hz: int) -> None:
    if mix_rate_hz != rate_hz:
        raise MediaError(f"{other} is sampled at {rate_hz} Hz, {mix} at {mix_rate_hz} Hz; bring a scene's files to one rate", fault="rate")


def _count_pictures(path: Path, frame_rate_hz: float, frame_size_px: int | None, crop: Crop) -> int:
    if frame_size_px is not None:
        return len(cached_crops(path, frame_rate_hz, frame_size_px, crop=crop).frames)
    return sum(1 for _ in iterate_frames(path, frame_rate_hz))


def _rejection(scene: Scene, path: Path, error: MediaError | OSError) -> Rejection:
    return Rejection(scene.scene_id, path, getattr(error, "fault", "unreadable"), str(error))


def _write(report: CheckReport, path: Path) -> None:
    content = {
        "summary": report.summary(),
        "usable": [scene.scene_id for scene in report.usable],
        "faults": report.faults,
        "rejected": [{"scene_id": r.scene_id, "file": str(r.file), "fault": r.fault, "reason": r.reason} for r in report.rejected],
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
