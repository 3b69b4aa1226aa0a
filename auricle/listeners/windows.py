"""Clips longer than the listener's window are heard in windows, whose verdicts are then joined."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from auricle.judging.verdict import Failed, Scored, Span, Verdict


def split(
    audio: Float[np.ndarray, " samples"], sample_rate_hz: int, window_s: float
) -> list[tuple[float, Float[np.ndarray, " window_samples"]]]:
    """(start_s, window) pairs that cover the clip: one for a short clip, else evenly spaced whole windows that overlap as they must."""
    window = int(window_s * sample_rate_hz)
    if len(audio) <= window:
        return [(0.0, audio)]
    count = -(-len(audio) // window)
    starts = np.linspace(0, len(audio) - window, count).round().astype(int)
    return [(start / sample_rate_hz, audio[start : start + window]) for start in starts]


def join(verdicts: Sequence[tuple[float, Verdict]]) -> Verdict:
    """The verdict on the whole clip from (start_s, verdict) of its windows: mean score and dimensions, all words, all spans.

    Failed as soon as one window failed: a mean over what is left would be a guess.
    """
    scored: list[tuple[float, Scored]] = []
    for start_s, verdict in verdicts:
        if isinstance(verdict, Failed):
            return replace(verdict, detail=f"window at {start_s:.2f} s: {verdict.detail}")
        scored.append((start_s, verdict))
    if len(scored) == 1:
        return scored[0][1]
    scores = [verdict.score for _, verdict in scored if verdict.score is not None]
    names = set.intersection(*(set(verdict.dimensions) for _, verdict in scored))
    return Scored(
        score=float(np.mean(scores)) if len(scores) == len(scored) else None,
        rationale=" ".join(f"[{start_s:.1f} s] {verdict.rationale}" for start_s, verdict in scored if verdict.rationale),
        dimensions={name: float(np.mean([verdict.dimensions[name] for _, verdict in scored])) for name in sorted(names)},
        spans=tuple(
            Span(span.artefact, round(span.start_s + start_s, 3), round(span.end_s + start_s, 3))
            for start_s, verdict in scored
            for span in verdict.spans
        ),
    )
