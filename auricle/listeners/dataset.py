"""Labelled clips for calibration: drawn, damaged, rated by PESQ in parallel processes, and cached on disk by the content of their settings.

A set is a folder: features.npy and references.npy [clips, mels, frames] (float16 log10 mel power), lengths.npy [clips], labels.jsonl. Clip
number i depends on the seed and i only, so that any number of processes makes the same set. A line of labels.jsonl also names who talks.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float16, Float32, Int64

from auricle.errors import EmptyCorpusError, MetricError
from auricle.files import replacing
from auricle.levels import normalise_loudness
from auricle.listeners.calibration import DatasetConfig
from auricle.listeners.degradations import degrade
from auricle.listeners.features import HOP_SAMPLES, log_mels
from auricle.listeners.labels import Damage, Labels, make_labels
from auricle.listeners.quality import Quality
from auricle.listeners.reasoned import Reasoned
from auricle.listeners.sources import Part, Sources, find_sources
from auricle.metrics.intrusive import pesq_wb

RECIPE = 2
"""Raised whenever the making of clips changes, so that old caches are not taken for new."""
CHUNK = 50
LUFS = -26.0


@dataclass(frozen=True)
class ClipSet:
    """A set in memory (the arrays are mapped from disk). labels: `Labels` of clips that we damaged, `Quality` of clips that people rated.
    kinds: the damage that was drawn for each clip, or where its ratings come from. speakers: who talks; of clips that do not say it, a
    name of each clip's own."""

    features: Float16[np.ndarray, "clips mels frames"]
    references: Float16[np.ndarray, "clips mels frames"]
    lengths: Int64[np.ndarray, " clips"]
    labels: list[Any]
    kinds: list[str]
    speakers: list[str]

    def __len__(self) -> int:
        return len(self.labels)


class JoinedSets:
    """Several sets, one after the other, without reading them into memory. Raises EmptyCorpusError where their shapes differ."""

    def __init__(self, sets: Sequence[ClipSet]) -> None:
        shapes = {one.features.shape[1:] for one in sets}
        if len(shapes) != 1:
            raise EmptyCorpusError(f"calibrate: sets of clips of different shapes {sorted(shapes)} (mels, frames); prepare them alike")
        self.features = _JoinedRows([one.features for one in sets])
        self.references = _JoinedRows([one.references for one in sets])
        self.lengths = np.concatenate([one.lengths for one in sets])
        self.labels = [label for one in sets for label in one.labels]
        self.kinds = [kind for one in sets for kind in one.kinds]
        self.speakers = [speaker for one in sets for speaker in one.speakers]

    def __len__(self) -> int:
        return len(self.labels)


class SomeClips:
    """Some rows of a set, or of several, in the order given, without reading them into memory."""

    def __init__(self, clips: "ClipSet | JoinedSets", rows: Sequence[int]) -> None:
        chosen = np.asarray(rows, dtype=np.int64)
        self.features, self.references = _SomeRows(clips.features, chosen), _SomeRows(clips.references, chosen)
        self.lengths = np.asarray(clips.lengths)[chosen]
        self.labels = [clips.labels[row] for row in chosen]
        self.kinds = [clips.kinds[row] for row in chosen]

    def __len__(self) -> int:
        return len(self.labels)


class _SomeRows:
    """Some rows of an array, read when they are asked for."""

    def __init__(self, array: Any, rows: Int64[np.ndarray, " rows"]) -> None:
        self._array, self._rows = array, rows
        self.shape = (len(rows), *array.shape[1:])

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return self._array[self._rows[rows]]


class _JoinedRows:
    """Arrays of equal shape but for their first axis, read row by row."""

    def __init__(self, arrays: Sequence[np.ndarray]) -> None:
        self._arrays = arrays
        self._starts = np.cumsum([0, *(len(array) for array in arrays)])
        self.shape = (int(self._starts[-1]), *arrays[0].shape[1:])

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        places = np.searchsorted(self._starts, rows, side="right") - 1
        return np.stack([self._arrays[place][row - self._starts[place]] for place, row in zip(places, rows, strict=True)])


@dataclass(frozen=True)
class LabelledClip:
    """One clip as sound, at -26 LUFS, with its clean original in the same room."""

    audio: Float32[np.ndarray, " samples"]
    reference: Float32[np.ndarray, " samples"]
    labels: Labels
    kind: str
    speaker: str


def prepare(
    config: DatasetConfig, part: Part, cache: Path, *, processes: int, progress: Callable[[int, int], None] | None = None
) -> ClipSet:
    """The set of one part: read from the cache, or made there. `progress(done, total)` is called as clips come in."""
    return read_set(prepare_folder(config, part, cache, processes=processes, progress=progress))


def prepare_folder(
    config: DatasetConfig, part: Part, cache: Path, *, processes: int, progress: Callable[[int, int], None] | None = None
) -> Path:
    """As `prepare`: the folder of the set."""
    sources = _sources(config, part)
    count = config.clips if part == "train" else config.held_out_clips
    folder = Path(cache) / f"{part}-{_fingerprint(config, sources, part, count)}"
    if not (folder / "labels.jsonl").is_file():
        _make(config, part, count, folder, processes, progress)
    return folder


def read_set(folder: Path) -> ClipSet:
    """A set that `prepare` has written. Raises EmptyCorpusError where there is none."""
    if not (folder / "labels.jsonl").is_file():
        raise EmptyCorpusError(f"{folder}: no clips there (no labels.jsonl); `auricle calibrate` makes such folders, in calibrate.cache")
    lines = [json.loads(line) for line in (folder / "labels.jsonl").read_text(encoding="utf-8").splitlines()]
    arrays = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("features", "references", "lengths"))
    features, references, lengths = arrays
    speakers = [line.get("speaker") or f"{folder.name} {row}" for row, line in enumerate(lines)]
    return ClipSet(features, references, np.asarray(lengths), [_truth(line) for line in lines], [line["kind"] for line in lines], speakers)


def _truth(line: dict) -> Labels | Quality:
    if "rated" in line:
        return Quality(line["rated"]["scores"], line["rated"]["duration_s"], line["rated"]["spreads"])
    labels = labels_from_dict(line["labels"])
    answer = line["labels"].get("answer")
    return labels if answer is None else Reasoned(labels.quality, labels.pesq, labels.dimensions, labels.damages, labels.duration_s, answer)


def read_sets(folders: Sequence[Path]) -> "ClipSet | JoinedSets":
    """One or several sets as one."""
    sets = [read_set(folder) for folder in folders]
    return sets[0] if len(sets) == 1 else JoinedSets(sets)


def make_clip(config: DatasetConfig, part: Part, sources: Sources, index: int) -> LabelledClip:
    """Clip number `index`. Where PESQ finds no utterance another draw is made: a clip without a label is none."""
    for attempt in range(20):
        rng = np.random.default_rng([config.seed, 0 if part == "train" else 1, index, attempt])
        duration_s = config.clip_s * (1.0 if rng.random() < 0.6 else rng.uniform(2 / 3, 1.0))
        samples = int(duration_s * config.sample_rate_hz)
        speech, speaker = sources.talk_crop(samples, rng)
        degraded = degrade(speech, sources.noise_crop(samples, rng), config.sample_rate_hz, rng)
        try:
            pesq = None if degraded.kind == "no speech" else pesq_wb(degraded.reference, degraded.audio, config.sample_rate_hz)
        except MetricError:
            continue
        labels = make_labels(pesq, degraded.damages, duration_s)
        audio = normalise_loudness(degraded.audio, config.sample_rate_hz, LUFS)
        reference = normalise_loudness(degraded.reference, config.sample_rate_hz, LUFS)
        return LabelledClip(audio, reference, labels, degraded.kind, speaker)
    raise MetricError(f"calibrate: clip {index}: PESQ failed on 20 draws in a row; are the speech folders really speech?")


def labels_from_dict(data: dict) -> Labels:
    """The inverse of `dataclasses.asdict`, after JSON."""
    damages = tuple(
        Damage(item["artefact"], item["severity"], tuple((start, end) for start, end in item["spans"]), item["parameters"])
        for item in data["damages"]
    )
    return Labels(data["quality"], data["pesq"], data["dimensions"], damages, data["duration_s"])


class SetWriter:
    """Writes a set clip by clip, in place: large sets do not fit into memory. `labels.jsonl` comes last; it says that the set is whole."""

    def __init__(self, folder: Path, count: int, config: DatasetConfig) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._config = folder, config
        shape = (count, config.mels, round(config.clip_s * config.sample_rate_hz) // HOP_SAMPLES)
        self._features, self._references = (
            np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float16, shape) for name in ("features", "references")
        )
        self._lengths = np.empty(count, dtype=np.int64)
        self._lines: list[str] = []

    def __enter__(self) -> "SetWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is None:
            self._close()

    def add(self, audio: np.ndarray, reference: np.ndarray, labels: Labels | Quality, kind: str) -> None:
        """The next clip: sound and clean original at -26 LUFS."""
        self.add_features(padded_mels(audio, self._config), padded_mels(reference, self._config), len(audio) // HOP_SAMPLES, labels, kind)

    def add_features(
        self, features: np.ndarray, references: np.ndarray, frames: int, labels: Labels | Quality, kind: str, speaker: str = ""
    ) -> None:
        """The next clip, where its mels were made elsewhere; speaker: "" where nobody knows."""
        place = len(self._lines)
        self._features[place], self._references[place], self._lengths[place] = features, references, frames
        truth = {"labels": asdict(labels)} if isinstance(labels, Labels) else {"rated": _rated(labels)}
        self._lines.append(json.dumps({"kind": kind, **({"speaker": speaker} if speaker else {}), **truth}))

    def _close(self) -> None:
        self._features.flush()
        self._references.flush()
        np.save(self._folder / "lengths.npy", self._lengths)
        with replacing(self._folder / "labels.jsonl") as temporary:
            temporary.write_text("\n".join(self._lines) + "\n", encoding="utf-8")


def _rated(quality: Quality) -> dict[str, Any]:
    return {"scores": dict(quality.scores), "duration_s": quality.duration_s, "spreads": dict(quality.spreads)}


def _make(config: DatasetConfig, part: Part, count: int, folder: Path, processes: int, progress: Callable[[int, int], None] | None) -> None:
    with SetWriter(folder, count, config) as writer:
        for start, chunk in _chunks(config, part, count, processes):
            for clip in chunk:
                writer.add_features(*clip)
            if progress:
                progress(start + len(chunk), count)


def _chunks(config: DatasetConfig, part: Part, count: int, processes: int) -> Iterator[tuple[int, list]]:
    starts = list(range(0, count, CHUNK))
    first = config.first_clip if part == "train" else 0
    jobs = [(config, part, first + start, first + min(count, start + CHUNK)) for start in starts]
    if processes <= 1:
        yield from zip(starts, map(_chunk, jobs), strict=True)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from zip(starts, pool.map(_chunk, jobs), strict=True)


_SOURCES: dict[str, Sources] = {}


def _chunk(job: tuple[DatasetConfig, Part, int, int]) -> list[tuple[np.ndarray, np.ndarray, int, Labels, str, str]]:
    config, part, start, end = job
    key = f"{part} {config.model_dump_json()}"
    # Listing the folders once a process; their files are cached inside.
    sources = _SOURCES.setdefault(key, _sources(config, part)) if key not in _SOURCES else _SOURCES[key]
    made = []
    for index in range(start, end):
        clip = make_clip(config, part, sources, index)
        mels = padded_mels(clip.audio, config), padded_mels(clip.reference, config)
        made.append((*mels, len(clip.audio) // HOP_SAMPLES, clip.labels, clip.kind, clip.speaker))
    return made


def padded_mels(audio: np.ndarray, config: DatasetConfig) -> np.ndarray:
    """log10 mel power of a clip on the whole window, which digital silence fills up."""
    window = np.zeros(round(config.clip_s * config.sample_rate_hz), dtype=np.float32)
    window[: len(audio)] = audio[: len(window)]
    return log_mels(window, config.mels, config.sample_rate_hz).astype(np.float16)


def _sources(config: DatasetConfig, part: Part) -> Sources:
    return find_sources(
        part, config.speech, config.noise, synthetic_share=config.synthetic_share, seed=config.seed, sample_rate_hz=config.sample_rate_hz
    )


def _fingerprint(config: DatasetConfig, sources: Sources, part: Part, count: int) -> str:
    """Settings and files (names and sizes), not folders: the same corpus elsewhere is the same corpus."""
    settings = config.model_dump(mode="json", exclude={"speech", "noise", "clips", "held_out_clips", "first_clip"})
    if part == "train" and config.first_clip:
        settings["first_clip"] = config.first_clip
    files = [(path.name, path.stat().st_size) for path in (*(path for _, path in sources.speech), *sources.noise)]
    content = json.dumps([RECIPE, count, settings, sources.voices, sources.noise_kinds, files], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]
