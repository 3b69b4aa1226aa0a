"""The probes: each turns what a judge said of the sounds into one figure with its interval.

Shares and differences are drawn again by utterance (clips of one utterance are not independent). None: the probe does not apply (a metric
has no wordings, and writes no texts).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from auricle.checking.figures import magnitude, mean, mean_of, proportion, share_of
from auricle.checking.heard import Heard
from auricle.checking.sounds import CLEAN, ENGLISH, HEAVY, LIGHT, Sound
from auricle.errors import MetricError
from auricle.metrics.agreement import pearson, span_iou
from auricle.metrics.intervals import Estimate, statistic_interval

SAME_SCORE = 0.05
"""Scores are rounded to this before they are counted as one and the same."""


@dataclass(frozen=True)
class Probed:
    """What a probe measured, before it is compared. Worst examples first."""

    estimate: Estimate | None
    detail: str = ""
    examples: tuple[str, ...] = ()


Probe = Callable[[Heard, Sequence[Sound]], Probed | None]


def coverage(heard: Heard, sounds: Sequence[Sound]) -> Probed | None:
    """Share of clips with speech that get a verdict."""
    spoken = [sound for sound in sounds if sound.group not in ("silence", "no speech")]
    judged = [not heard.failed(sound.name) for sound in spoken]
    reasons = sorted({heard.first[s.name]["reason"] for s, hit in zip(spoken, judged, strict=True) if not hit})
    worst = tuple(sound.name for sound, hit in zip(spoken, judged, strict=True) if not hit)
    return Probed(share_of(judged, [s.utterance for s in spoken]), f"failed: {', '.join(reasons)}" if reasons else "", worst)


def anchors(heard: Heard, sounds: Sequence[Sound]) -> Probed | None:
    """Share of pairs in the right order: clean above light, light above heavy, clean above heavy. Ties count half."""
    graded = [sound for sound in sounds if sound.group == "anchor"]
    clean = {sound.utterance: sound for sound in graded if sound.level == CLEAN}
    levels = {(s.utterance, s.kind, s.level): s for s in graded if s.level != CLEAN}
    hits, utterances, gaps = [], [], []
    for (utterance, kind, level), light in levels.items():
        if level != LIGHT:
            continue
        heavy = levels[utterance, kind, HEAVY]
        for better, worse in ((clean[utterance], light), (light, heavy), (clean[utterance], heavy)):
            gap = heard.score(better.name) - heard.score(worse.name)
            if np.isfinite(gap):
                hits.append(1.0 if gap > 0 else 0.5 * (gap == 0))
                utterances.append(utterance)
                gaps.append((gap, better.name, worse.name))
    wrong = [name for gap, *pair in sorted(gaps) if gap <= 0 for name in pair]
    return Probed(share_of(hits, utterances), "", tuple(dict.fromkeys(wrong)))


def one_score(heard: Heard, sounds: Sequence[Sound]) -> Probed | None:
    """The share of anchors that get the most frequent score: most untuned audio language models give one score to nearly all clips."""
    names = [sound.name for sound in sounds if sound.group == "anchor"]
    scores = heard.scores(names)
    rounded = np.round(scores[np.isfinite(scores)] / SAME_SCORE)
    if not len(rounded):
        return Probed(None, "no scores")
    values, counts = np.unique(rounded, return_counts=True)
    most = float(values[counts.argmax()])
    return Probed(proportion(int(counts.max()), len(rounded)), f"most often {most * SAME_SCORE:.2f}")


def repeat(heard: Heard, sounds: Sequence[Sound]) -> Probed | None:
    """Agreement with itself: the same clips in another order, with no cache between."""
    names = list(heard.again)
    return _agreement(heard, names, heard.scores(names, heard.again), sounds) if names else None


def paraphrase(heard: Heard, sounds: Sequence[Sound]) -> Probed | None:
    """Agreement with itself when the question is put in other words."""
    each = []
    for wording, verdicts in heard.reworded.items():
        names = list(verdicts)
        found = _agreement(heard, names, heard.scores(names, verdicts), sounds)
        shift = float(np.nanmean(heard.scores(names, verdicts) - heard.scores(names))) if found.estimate else float("nan")
        each.append((wording, found.estimate, shift))
    known = [estimate for _, estimate, _ in each if estimate is not None]
    if not each:
        return None
    if not known:
        return Probed(None, "no other wording gave scores")
    told = ", ".join(f"{wording + 1}: {estimate.value:.2f} ({shift:+.2f})" for wording, estimate, shift in each if estimate is not None)
    value, low, high = (float(np.mean([getattr(estimate, name) for estimate in known])) for name in ("value", "low", "high"))
    return Probed(Estimate(value, low, high, sum(one.rows for one in known), known[0].clusters), f"wording: r (shift) {told}")


def loudness(heard: Heard, sounds: Sequence[Sound]) -> Probed | None:
    """How far the score moves at 6 dB more or less, in standard deviations of the judge's scores."""
    moved = [sound for sound in sounds if sound.group in ("louder", "quieter")]
    spread = _spread(heard, sounds)
    if spread <= 0 or not moved:
        return Probed(None, "constant scores") if moved else None
    base = heard.scores([f"anchor_{sound.kind.replace(' ', '-')}_{LIGHT}_{sound.utterance:02d}" for sound in moved])
    shifts = (heard.scores([sound.name for sound in moved]) - base) / spread
    up = np.array([sound.group == "louder" for sound in moved])
    detail = f"+6 dB {mean(shifts[up]):+.2f}, -6 dB {mean(shifts[~up]):+.2f}"
    return Probed(mean_of(np.abs(shifts), [s.utterance for s in moved]), detail, _worst(moved, np.abs(shifts)))


def order(heard: Heard, sounds: Sequence[Sound]) -> Probed | None:
    """How far from one half the share of pairs is in which the first clip wins, when each pair is heard in both orders."""
    if heard.choices is None:
        return None
    answers = [(better, worse, answer) for better, worse, answer in heard.choices if isinstance(answer, str)]
    if not answers:
        return Probed(None, "no pair was answered")
    firsts = [answer == "first" for _, _, answer in answers]
    # Pairs stand with the better clip first, and then the other way round.
    half = len(heard.choices) // 2
    right = [
        answer == ("first" if place < half else "second") for place, (_, _, answer) in enumerate(heard.choices) if isinstance(answer, str)
    ]
    firsts_share = share_of(firsts, list(range(len(firsts))))
    away = magnitude(firsts_share, around=0.5)
    worst = tuple(name for (*pair, _), hit in zip(answers, right, strict=True) if not hit for name in pair)
    return Probed(away, f"the better clip chosen in {np.mean(right):.0%}", worst)


def silence(heard: Heard, sounds: Sequence[Sound]) -> Probed | None:
    """Share of silent clips that are refused, or scored nearer to heavy damage than to clean speech."""
    return _low(heard, sounds, "silence")


def no_speech(heard: Heard, sounds: Sequence[Sound]) -> Probed | None:
    """The same of noise, tones, modulated and gated noise."""
    return _low(heard, sounds, "no speech")


def clipping(heard: Heard, sounds: Sequence[Sound]) -> Probed | None:
    """Share of clips 30 dB beyond full scale that are scored below the same speech as it was."""
    driven = [sound for sound in sounds if sound.group == "overdriven"]
    if not driven:
        return None
    gaps = heard.scores([_clean_name(s.utterance) for s in driven]) - heard.scores([s.name for s in driven])
    judged = [(sound, gap) for sound, gap in zip(driven, gaps, strict=True) if np.isfinite(gap)]
    worst = tuple(sound.name for sound, gap in judged if gap <= 0)
    return Probed(share_of([gap > 0 for _, gap in judged], [sound.utterance for sound, _ in judged]), "", worst)


def language(heard: Heard, sounds: Sequence[Sound]) -> Probed | None:
    """How much clean speech in other languages is scored away from English in the same voice, as a share of the clean-to-heavy distance."""
    spoken = {(s.kind, s.level, s.utterance): s for s in sounds if s.group == "language"}
    others = [key for key in spoken if key[0] != ENGLISH and key[1] == CLEAN]
    distance = _distance(heard, sounds)
    if not others or distance <= 0:
        return Probed(None, "clean speech is not scored above heavy damage") if others else None
    shifts, rows = [], []
    for kind, level, utterance in others:
        shifts.append((heard.score(spoken[kind, level, utterance].name) - heard.score(spoken[ENGLISH, level, utterance].name)) / distance)
        rows.append(spoken[kind, level, utterance])
    values = np.array(shifts)
    ordered = [heard.score(spoken[k, CLEAN, u].name) > heard.score(spoken[k, HEAVY, u].name) for k, _, u in others]
    told = ", ".join(f"{kind} {mean(values[[row.kind == kind for row in rows]]):+.2f}" for kind in dict.fromkeys(row.kind for row in rows))
    shift = magnitude(mean_of(values, [row.utterance for row in rows]))
    return Probed(shift, f"{told}; clean above heavy in {np.mean(ordered):.0%}", _worst(rows, np.abs(values)))


def spans(heard: Heard, sounds: Sequence[Sound]) -> Probed | None:
    """Mean overlap in time of planted artefacts with the spans that the judge names; 0 where it names none."""
    planted = [sound for sound in sounds if sound.group == "spans"]
    if not any(verdict.get("spans") for verdict in heard.first.values()) or not planted:
        return None
    said = [[(one["start_s"], one["end_s"]) for one in heard.first[s.name].get("spans") or ()] for s in planted]
    overlaps = [span_iou(s.spans, found) if found else 0.0 for s, found in zip(planted, said, strict=True)]
    # What the answers are worth without the sound: the spans that were named for another clip.
    chance = [span_iou(s.spans, said[row - 1]) if said[row - 1] else 0.0 for row, s in enumerate(planted)]
    named = np.mean([bool(found) for found in said])
    detail = f"another clip's spans {np.mean(chance):.2f}; spans named in {named:.0%}"
    return Probed(mean_of(np.array(overlaps), [s.utterance for s in planted]), detail, _worst(planted, -np.array(overlaps)))


def distinct_texts(heard: Heard, sounds: Sequence[Sound]) -> Probed | None:
    """The share of different texts among different clips: explanations may collapse to one sentence."""
    names = [sound.name for sound in sounds if sound.group == "anchor"]
    texts = [heard.first[name]["rationale"] for name in names if not heard.failed(name) and heard.first[name]["rationale"]]
    if not texts:
        return None
    most = max(set(texts), key=texts.count)
    return Probed(proportion(len(set(texts)), len(texts)), f"{texts.count(most)} times {most[:60]!r}")


PROBES: dict[str, tuple[Probe, bool]] = {
    "coverage": (coverage, True),
    "anchors": (anchors, True),
    "one_score": (one_score, False),
    "repeat": (repeat, True),
    "paraphrase": (paraphrase, True),
    "loudness": (loudness, False),
    "order": (order, False),
    "silence": (silence, True),
    "no_speech": (no_speech, True),
    "clipping": (clipping, True),
    "language": (language, False),
    "spans": (spans, True),
    "distinct_texts": (distinct_texts, True),
}
"""By the name of their floor; whether the figure has to be at least that, or at most."""


def _low(heard: Heard, sounds: Sequence[Sound], group: str) -> Probed | None:
    traps = [sound for sound in sounds if sound.group == group]
    if not traps:
        return None
    clean, heavy = _level_mean(heard, sounds, CLEAN), _level_mean(heard, sounds, HEAVY)
    if not clean > heavy:
        return Probed(None, "clean speech is not scored above heavy damage")
    hits = [heard.failed(s.name) or heard.score(s.name) < (clean + heavy) / 2 for s in traps]
    refused = sum(heard.failed(s.name) for s in traps)
    score = mean(heard.scores([s.name for s in traps]))
    detail = f"mean {score:.2f} (clean {clean:.2f}, heavy {heavy:.2f})" + (f", {refused} refused" if refused else "")
    return Probed(
        share_of(hits, [s.utterance for s in traps]), detail, tuple(s.name for s, hit in zip(traps, hits, strict=True) if not hit)
    )


def _agreement(heard: Heard, names: Sequence[str], other: np.ndarray, sounds: Sequence[Sound]) -> Probed:
    scores = heard.scores(names)
    usable = np.isfinite(scores) & np.isfinite(other)
    if usable.sum() < 3 or scores[usable].std() == 0 or other[usable].std() == 0:
        return Probed(None, "constant scores, or hardly any")
    utterance = {sound.name: sound.utterance for sound in sounds}
    shift = f"mean change {np.mean(np.abs(other - scores)[usable]):.3f}"
    try:
        estimate = statistic_interval(pearson, scores, other, [utterance[name] for name in names], resamples=500)
    except MetricError as error:
        return Probed(None, str(error))
    return Probed(estimate, shift, tuple(names[row] for row in np.argsort(-np.abs(np.nan_to_num(other - scores)))))


def _distance(heard: Heard, sounds: Sequence[Sound]) -> float:
    return float(np.nan_to_num(_level_mean(heard, sounds, CLEAN) - _level_mean(heard, sounds, HEAVY)))


def _level_mean(heard: Heard, sounds: Sequence[Sound], level: str) -> float:
    return mean(heard.scores([sound.name for sound in sounds if sound.group == "anchor" and sound.level == level]))


def _spread(heard: Heard, sounds: Sequence[Sound]) -> float:
    scores = heard.scores([sound.name for sound in sounds if sound.group == "anchor"])
    return float(scores[np.isfinite(scores)].std()) if np.isfinite(scores).any() else 0.0


def _clean_name(utterance: int) -> str:
    return f"anchor_{CLEAN}_{utterance:02d}"


def _worst(sounds: Sequence[Sound], badness: np.ndarray) -> tuple[str, ...]:
    return tuple(sounds[row].name for row in np.argsort(-np.nan_to_num(badness)))
