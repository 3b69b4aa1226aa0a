"""Findings: a probe's figure beside its floor, passed or not."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from auricle.checking.config import FloorsConfig
from auricle.checking.heard import Heard
from auricle.checking.probes import PROBES, Probed, anchors
from auricle.checking.sounds import Sound


@dataclass(frozen=True)
class Finding:
    """One probe of one judge.

    figure, low, high: the measured value with its 95 % interval; None where the probe does not apply, or nothing could be measured.
    cases: how many judgements it rests on. bound: the floor (at_least) or the ceiling. passed: None for n/a. examples: sounds to listen to,
    the worst ones first.
    """

    judge: str
    probe: str
    figure: float | None
    low: float | None
    high: float | None
    cases: int
    bound: float
    at_least: bool
    passed: bool | None
    detail: str = ""
    examples: tuple[str, ...] = ()


def findings_of(heard: Heard, sounds: Sequence[Sound], floors: FloorsConfig) -> list[Finding]:
    """All probes of one judge, on the sounds that it heard."""
    found = [_finding(heard, name, probe(heard, sounds), getattr(floors, name), at_least) for name, (probe, at_least) in PROBES.items()]
    kinds = dict.fromkeys(sound.kind for sound in sounds if sound.group == "anchor" and sound.kind)
    each = [
        _finding(heard, f"anchors: {kind}", anchors(heard, [s for s in sounds if s.kind in ("", kind)]), floors.anchors_each, True)
        for kind in kinds
    ]
    place = 1 + list(PROBES).index("anchors")
    return found[:place] + each + found[place:]


def _finding(heard: Heard, name: str, probed: Probed | None, bound: float, at_least: bool) -> Finding:
    judge = heard.judge.name
    if probed is None:
        return Finding(judge, name, None, None, None, 0, bound, at_least, None, "n/a")
    estimate = probed.estimate
    if estimate is None or not np.isfinite(estimate.value):
        return Finding(judge, name, None, None, None, 0, bound, at_least, False, probed.detail or "could not be measured", probed.examples)
    passed = estimate.value >= bound if at_least else estimate.value <= bound
    low, high = (value if np.isfinite(value) else None for value in (estimate.low, estimate.high))
    return Finding(judge, name, estimate.value, low, high, estimate.rows, bound, at_least, passed, probed.detail, probed.examples)
