"""How a listener's scores of QualiSpeech's aspects agree with the truth, on clips it never heard: Pearson and Spearman a dimension.

As Calibration-Reasoning (arXiv 2603.10175) reports them. A clip whose answer is no score is counted in the coverage.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from auricle.audio import read_audio
from auricle.judging.verdict import Scored
from auricle.listeners.asking import expected_scores, features_of, score_of_sound
from auricle.listeners.checkpoint import Listener
from auricle.listeners.courses import aspect_question
from auricle.listeners.dataset import ClipSet
from auricle.listeners.quality import QUALISPEECH_ASPECTS, quality_of
from auricle.metrics.agreement import pearson, spearman
from auricle.ratings.record import RatedClip

LEAST_CLIPS = 3
_HEAD = "| aspect | clips | scored | PCC | SRCC | spread |"


@dataclass(frozen=True)
class AspectAgreement:
    """One aspect. clips: those with a true score; coverage: the share of them that the listener scored; NaN with fewer than three."""

    aspect: str
    clips: int
    coverage: float
    pearson: float
    spearman: float
    spread: float
    """Standard deviation of the listener's scores: near 0 it gives every clip the same."""


def agreement_with_labels(listener: Listener, clips: ClipSet) -> list[AspectAgreement]:
    """On clips that we damaged ourselves. `speed` has no truth there."""
    truths = [quality_of(label).scores for label in clips.labels]
    inputs = features_of(clips, range(len(clips)))
    found = []
    for aspect in QUALISPEECH_ASPECTS:
        if any(aspect in truth for truth in truths):
            verdicts = expected_scores(listener, aspect_question(aspect), *inputs)
            scores = [verdict.score if isinstance(verdict, Scored) and verdict.score is not None else np.nan for verdict in verdicts]
            found.append(_agreement(aspect, scores, [truth.get(aspect, np.nan) for truth in truths]))
    return found


def agreement_with_ratings(listener: Listener, clips: Sequence[RatedClip], sample_rate_hz: int = 16_000) -> list[AspectAgreement]:
    """On clips that people rated; of a clip longer than the window the mean over its windows."""
    audio = [read_audio(clip.path, sample_rate_hz) for clip in clips]
    found = []
    for aspect in QUALISPEECH_ASPECTS:
        rated = [place for place, clip in enumerate(clips) if aspect in clip.scores]
        if rated:
            scores = [score_of_sound(listener, audio[place], sample_rate_hz, aspect_question(aspect)) for place in rated]
            found.append(_agreement(aspect, scores, [clips[place].scores[aspect] for place in rated]))
    return found


def save_aspects(tables: dict[str, list[AspectAgreement]], folder: Path) -> None:
    """`aspects.json` and `aspects.md` in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = {name: [asdict(row) for row in rows] for name, rows in tables.items()}
    (folder / "aspects.json").write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    (folder / "aspects.md").write_text(aspects_text(tables), encoding="utf-8")


def aspects_text(tables: dict[str, list[AspectAgreement]]) -> str:
    """Markdown tables, by what the truth is."""
    parts = []
    for name, rows in tables.items():
        lines = [
            f"### Aspects on held-out clips: {name}",
            "",
            "| aspect | clips | scored | PCC | SRCC | spread |",
            "|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {row.aspect} | {row.clips} | {100 * row.coverage:.0f} % | {row.pearson:.2f} | {row.spearman:.2f} | {row.spread:.2f} |"
            for row in rows
        ]
        known = [row for row in rows if np.isfinite(row.pearson)]
        means = [float(np.mean([getattr(row, name) for row in known])) if known else float("nan") for name in ("pearson", "spearman")]
        lines.append(f"| mean | | | {means[0]:.2f} | {means[1]:.2f} | |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _agreement(aspect: str, scores: Sequence[float], truth: Sequence[float]) -> AspectAgreement:
    given, true = np.array(scores, dtype=float), np.array(truth, dtype=float)
    rated = np.isfinite(true)
    usable = rated & np.isfinite(given)
    coverage = float(usable.sum() / rated.sum()) if rated.any() else float("nan")
    if usable.sum() < LEAST_CLIPS:
        return AspectAgreement(aspect, int(rated.sum()), coverage, float("nan"), float("nan"), float("nan"))
    spread = float(np.std(given[usable]))
    return AspectAgreement(
        aspect, int(rated.sum()), coverage, pearson(given[usable], true[usable]), spearman(given[usable], true[usable]), spread
    )
