"""How well a listener does on clips of speakers and noises that it never heard."""

from dataclasses import dataclass

import numpy as np
import torch

from auricle.errors import MetricError
from auricle.judging.verdict import Failed, Scored
from auricle.listeners.answers import ArtefactAnswer, parse_artefact, parse_choice, parse_description, parse_score
from auricle.listeners.asking import expected_scores, features_of, greedy_answers
from auricle.listeners.auxiliary import LOCAL_SHARE
from auricle.listeners.checkpoint import Listener
from auricle.listeners.dataset import ClipSet
from auricle.listeners.features import scaled
from auricle.listeners.labels import DIMENSIONS, Labels
from auricle.listeners.questions import question
from auricle.metrics.agreement import mean_absolute_error, pearson, span_iou, spearman
from auricle.metrics.intervals import Estimate, statistic_interval

MIN_ANSWERS = 3
CLEARLY_BETTER = 0.5
"""Difference in quality from which on two clips of a comparison should be told apart."""


@dataclass(frozen=True)
class HeldOutReport:
    """Agreement with the truth. Shares are 0-1; correlations of the expected score unless said otherwise, their intervals over whole
    speakers.

    spearman_pesq: over clips with speech. by_damage: damage -> (clips, Spearman with the label). dimensions: Pearson each.
    unparsable: share of answers by task. artefact_accuracy: the main artefact named, `none` included. drop_outs_found, drop_outs_false:
    shares of clips with and without audible drop-outs in which they are named the main artefact. span_iou: mean over clips whose main
    artefact has a place in time, 0 where it was not named. comparison_accuracy: over pairs that differ clearly, both orders; order_bias:
    share of answers `first`, minus one half.
    """

    clips: int
    speakers: int
    pearson_label: Estimate
    spearman_label: Estimate
    spearman_pesq: Estimate
    greedy_spearman_pesq: float
    reference_spearman_pesq: float
    mean_absolute_error: float
    dimensions: dict[str, float]
    by_damage: dict[str, tuple[int, float]]
    unparsable: dict[str, float]
    distinct_descriptions: int
    artefact_accuracy: float
    drop_outs_found: float
    drop_outs_false: float
    span_iou: float
    span_clips: int
    comparison_accuracy: float
    order_bias: float


def held_out_report(listener: Listener, clips: ClipSet) -> HeldOutReport:
    """Everything that labels can tell. Answers that cannot be parsed are left out of correlations, and counted."""
    inputs = features_of(clips, range(len(clips)))
    quality = np.array([label.quality for label in clips.labels])
    pesq = np.array([np.nan if label.pesq is None else label.pesq for label in clips.labels])
    scores = _values(expected_scores(listener, question("score"), *inputs))
    if np.isfinite(scores).sum() < MIN_ANSWERS:
        raise MetricError(
            f"the listener gave a score for {int(np.isfinite(scores).sum())} of {len(clips)} clips: there is nothing to report on yet; "
            "train it longer (calibrate.training.steps), or, where it was taught something else, say what (--tasks)"
        )
    texts = {task: greedy_answers(listener, question(task), *inputs) for task in ("score", "describe", "artefact")}  # type: ignore[arg-type]
    digits = _values([parse_score(text) for text in texts["score"]])
    named = [parse_artefact(text, label.duration_s) for text, label in zip(texts["artefact"], clips.labels, strict=True)]
    found, false = _drop_outs(clips.labels, named)
    overlaps = _overlaps(clips.labels, named)
    accuracy, bias = _comparisons(listener, clips, quality)
    return HeldOutReport(
        clips=len(clips),
        pearson_label=statistic_interval(pearson, scores, quality, clips.speakers),
        spearman_label=statistic_interval(spearman, scores, quality, clips.speakers),
        spearman_pesq=statistic_interval(spearman, scores, pesq, clips.speakers),
        speakers=len(set(clips.speakers)),
        greedy_spearman_pesq=_finite(spearman, digits, pesq),
        reference_spearman_pesq=_finite(spearman, _double_ended(listener, clips), pesq),
        mean_absolute_error=_finite(mean_absolute_error, scores, quality),
        dimensions={name: _finite(pearson, _dimension(listener, name, inputs), _truth(clips, name)) for name in DIMENSIONS},
        by_damage=_by_damage(clips.kinds, scores, quality),
        unparsable={
            "expected score": float(np.isnan(scores).mean()),
            "score": float(np.isnan(digits).mean()),
            "describe": float(np.mean([isinstance(parse_description(text), Failed) for text in texts["describe"]])),
            "artefact": float(np.mean([isinstance(answer, Failed) for answer in named])),
        },
        distinct_descriptions=len(set(texts["describe"])),
        artefact_accuracy=float(np.mean([_names(answer, _main(label)) for answer, label in zip(named, clips.labels, strict=True)])),
        drop_outs_found=found,
        drop_outs_false=false,
        span_iou=float(np.mean(overlaps)) if overlaps else float("nan"),
        span_clips=len(overlaps),
        comparison_accuracy=accuracy,
        order_bias=bias,
    )


def _values(verdicts: list[Scored | Failed]) -> np.ndarray:
    return np.array([verdict.score if isinstance(verdict, Scored) else np.nan for verdict in verdicts])


def _finite(statistic, left: np.ndarray, right: np.ndarray) -> float:
    usable = np.isfinite(left) & np.isfinite(right)
    return statistic(left[usable], right[usable]) if usable.sum() > 2 else float("nan")


def _dimension(listener: Listener, name: str, inputs: tuple) -> np.ndarray:
    return _values(expected_scores(listener, question("dimension", name), *inputs))


def _truth(clips: ClipSet, name: str) -> np.ndarray:
    return np.array([label.dimensions[name] for label in clips.labels])


def _double_ended(listener: Listener, clips: ClipSet) -> np.ndarray:
    """Scores with the clean original heard first."""
    features, lengths = features_of(clips, range(len(clips)))
    clean = scaled(torch.from_numpy(np.asarray(clips.references, dtype=np.float32)))
    both = torch.stack([clean, features], dim=1).flatten(0, 1)
    return _values(expected_scores(listener, question("reference"), both, lengths.repeat_interleave(2)))


def _by_damage(kinds: list[str], scores: np.ndarray, quality: np.ndarray) -> dict[str, tuple[int, float]]:
    result = {}
    for kind in sorted(set(kinds)):
        rows = np.array([one == kind for one in kinds])
        result[kind] = (int(rows.sum()), _finite(spearman, scores[rows], quality[rows]))
    return result


def _main(label: Labels) -> str | None:
    return label.main_damage.artefact if label.main_damage else None


def _names(answer: ArtefactAnswer | Failed, artefact: str | None) -> bool:
    return isinstance(answer, ArtefactAnswer) and answer.artefact == artefact


def _drop_outs(labels: list[Labels], named: list[ArtefactAnswer | Failed]) -> tuple[float, float]:
    there = np.array([_main(label) == "drop-outs" for label in labels])
    said = np.array([_names(answer, "drop-outs") for answer in named])
    return float(said[there].mean()) if there.any() else float("nan"), float(said[~there].mean()) if (~there).any() else float("nan")


def _overlaps(labels: list[Labels], named: list[ArtefactAnswer | Failed]) -> list[float]:
    overlaps = []
    for label, answer in zip(labels, named, strict=True):
        damage = label.main_damage
        if damage is None or sum(end - start for start, end in damage.spans) > LOCAL_SHARE * label.duration_s:
            continue
        if isinstance(answer, ArtefactAnswer) and answer.artefact == damage.artefact:
            overlaps.append(span_iou(damage.spans, [(span.start_s, span.end_s) for span in answer.spans]))
        else:
            overlaps.append(0.0)
    return overlaps


def _comparisons(listener: Listener, clips: ClipSet, quality: np.ndarray) -> tuple[float, float]:
    order = np.random.default_rng(0).permutation(len(clips))
    pairs = [
        (left, right) for left, right in zip(order[::2], order[1::2], strict=False) if abs(quality[left] - quality[right]) >= CLEARLY_BETTER
    ]
    if not pairs:
        return float("nan"), float("nan")
    both = pairs + [(right, left) for left, right in pairs]
    answers = [parse_choice(text) for text in greedy_answers(listener, question("compare"), *features_of(clips, np.ravel(both)))]
    right = [answer == ("first" if quality[a] > quality[b] else "second") for answer, (a, b) in zip(answers, both, strict=True)]
    return float(np.mean(right)), float(np.mean([answer == "first" for answer in answers]) - 0.5)
