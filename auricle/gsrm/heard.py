"""Clips for a listener that reasons (way "listen"): the takes of `lessons` as a prepared set, each with the answer that is true of it.

    auricle calibrate --tasks evidence --set calibrate.start=auricle/assets/listener ...

The listener is shown no features: to hear them is what it has to learn. Its evidence is checked against the measurement all the same.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from auricle.gsrm.answers import answer_text
from auricle.gsrm.corpus import CHUNK, fingerprint, sources_of
from auricle.gsrm.findings import findings_of
from auricle.gsrm.lessons import Take, make_take, true_answer
from auricle.gsrm.method import Method
from auricle.levels import normalise_loudness
from auricle.listeners.calibration import DatasetConfig
from auricle.listeners.dataset import LUFS, SetWriter, padded_mels
from auricle.listeners.features import HOP_SAMPLES
from auricle.listeners.reasoned import Reasoned
from auricle.listeners.sources import Part

Row = tuple[np.ndarray, np.ndarray, int, Reasoned, str]
"""As `SetWriter.add_features` takes it: features, those of the clean original, frames, truth, kind."""


def prepare_heard(
    config: DatasetConfig,
    part: Part,
    method: Method,
    cache: Path,
    *,
    processes: int,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """The folder of the set of one part, read from the cache or made there. method: whose norms, form and pitch the answers go by."""
    count = config.clips if part == "train" else config.held_out_clips
    told = hashlib.sha256(json.dumps([fingerprint(config, part), count, method.model_dump(mode="json"), config.mels]).encode()).hexdigest()
    folder = Path(cache) / f"heard-{part}-{told[:16]}"
    if (folder / "labels.jsonl").is_file():
        return folder
    with SetWriter(folder, count, config) as writer:
        for done, rows in enumerate(_made(config, part, method, count, processes), 1):
            for row in rows:
                writer.add_features(*row)
            if progress:
                progress(min(done * CHUNK, count), count)
    return folder


def loud_take(config: DatasetConfig, part: Part, index: int) -> Take:
    """Take number `index` at the level at which listeners hear clips."""
    take = make_take(part, sources_of(config, part), index, config.seed, config.clip_s)
    audio, reference = (normalise_loudness(sound, config.sample_rate_hz, LUFS) for sound in (take.audio, take.reference))
    return Take(take.record, audio, reference, take.labels)


def loud_takes(config: DatasetConfig, part: Part, count: int, *, processes: int) -> Iterator[Take]:
    """The first `count` of them, in order, made by several processes."""
    one = partial(loud_take, config, part)
    if processes <= 1 or count <= 1:
        yield from map(one, range(count))
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(one, range(count), chunksize=CHUNK)


def _made(config: DatasetConfig, part: Part, method: Method, count: int, processes: int) -> Iterator[list[Row]]:
    jobs = [(config, part, method, start, min(count, start + CHUNK)) for start in range(0, count, CHUNK)]
    if processes <= 1 or len(jobs) <= 1:
        yield from map(_chunk, jobs)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_chunk, jobs)


def _chunk(job: tuple[DatasetConfig, Part, Method, int, int]) -> list[Row]:
    config, part, method, start, end = job
    return [_row(config, loud_take(config, part, index), method, index) for index in range(start, end)]


def _row(config: DatasetConfig, take: Take, method: Method, index: int) -> Row:
    findings = findings_of(take.record.measured, method.norms)
    rng = np.random.default_rng([config.seed, 13, index])
    answer = answer_text(true_answer(take.record, findings, method.form, pitch=method.pitch, rng=rng))
    labels = take.labels
    truth = Reasoned(labels.quality, labels.pesq, labels.dimensions, labels.damages, labels.duration_s, answer)
    frames = min(len(take.audio), round(config.clip_s * config.sample_rate_hz)) // HOP_SAMPLES
    return padded_mels(take.audio, config), padded_mels(take.reference, config), frames, truth, take.record.kind
