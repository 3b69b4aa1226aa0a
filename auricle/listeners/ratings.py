"""How a listener agrees with people: file-level correlations with rated recordings, beside DNSMOS and PESQ."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from auricle.audio import read_audio
from auricle.listeners.asking import score_of_sound
from auricle.listeners.checkpoint import Listener
from auricle.listeners.quality import MOS
from auricle.listeners.questions import question
from auricle.metrics.agreement import pearson, spearman
from auricle.metrics.dnsmos import dnsmos
from auricle.metrics.intrusive import pesq_wb
from auricle.ratings import reading as tables

RATE_HZ = 16_000


@dataclass(frozen=True)
class Agreement:
    """One rater beside people, over files: correlations with their overall score. files: those it could score."""

    rater: str
    files: int
    pearson: float
    spearman: float


@dataclass(frozen=True)
class RatedFile:
    """A recording with its mean opinion score. reference: its clean original, None where the set names none."""

    path: Path
    mos: float
    reference: Path | None


def read_ratings(table: Path) -> list[RatedFile]:
    """The clips of any table of ratings that have an overall score (`auricle.ratings.reading`). Raises RatingsError."""
    clips = tables.read_ratings(table, strict=True).clips
    return [RatedFile(clip.path, clip.scores[MOS], clip.reference) for clip in clips if MOS in clip.scores]


def agreement_with_people(listener: Listener, files: list[RatedFile]) -> list[Agreement]:
    """The listener, DNSMOS and PESQ against the mean opinion scores; PESQ only over degraded files that have an original."""
    columns: dict[str, list[float]] = {"listener": [], "DNSMOS OVRL": [], "PESQ": []}
    for file in files:
        audio = read_audio(file.path, RATE_HZ)
        columns["listener"].append(score_of_sound(listener, audio, RATE_HZ, question("score")))
        columns["DNSMOS OVRL"].append(dnsmos(audio / max(1.0, float(np.abs(audio).max())), RATE_HZ).ovrl)
        columns["PESQ"].append(_pesq(file, audio))
    mos = np.array([file.mos for file in files])
    return [_agreement(rater, np.array(values), mos) for rater, values in columns.items()]


def _agreement(rater: str, values: np.ndarray, mos: np.ndarray) -> Agreement:
    usable = np.isfinite(values)
    if usable.sum() < 3:
        return Agreement(rater, int(usable.sum()), float("nan"), float("nan"))
    return Agreement(rater, int(usable.sum()), pearson(values[usable], mos[usable]), spearman(values[usable], mos[usable]))


def _pesq(file: RatedFile, audio: np.ndarray) -> float:
    if file.reference is None or file.reference == file.path:
        return float("nan")
    return pesq_wb(read_audio(file.reference, RATE_HZ), audio, RATE_HZ, lengths="align")
