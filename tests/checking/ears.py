"""Ears of the tests' own: each hears the signal-to-distortion ratio, and has one fault."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from auricle.config import Config
from auricle.judging.judge import Choice, Identity, Judge, JudgeClip
from auricle.judging.verdict import Failed, Scored, Span, Verdict


class EarOptions(Config):
    """What is wrong with an ear."""

    fault: str = ""
    """constant, level, mute, silence-lover, first, repetitive, forgetful, anonymous; or nothing."""


class Ear(Judge):
    """1 to 5 by the distortion against the reference, -5 to 45 dB."""

    options: EarOptions
    needs_reference: ClassVar[bool] = True
    fixed_loudness: ClassVar[bool] = False
    wordings: ClassVar[int] = 2

    def __init__(self, options: EarOptions) -> None:
        super().__init__(options)
        self._calls = np.random.default_rng(0)

    def judge(self, clips: Sequence[JudgeClip]) -> list[Verdict]:
        return [self._one(clip) for clip in clips]

    def compare(self, pairs: Sequence[tuple[JudgeClip, JudgeClip]]) -> list[Choice | Failed] | None:
        if self.options.fault == "first":
            return ["first"] * len(pairs)
        return ["first" if _quality(first) > _quality(second) else "second" for first, second in pairs]

    @property
    def identity(self) -> Identity:
        return Identity() if self.options.fault == "anonymous" else Identity("ear", f"fault {self.options.fault}")

    def _one(self, clip: JudgeClip) -> Verdict:
        fault, score = self.options.fault, _quality(clip) - 0.1 * clip.wording
        level_db = 10 * np.log10(np.mean(clip.audio**2) + 1e-9)
        if fault == "mute" and score < 3:
            return Failed("unparsable", "mumbled")
        if fault == "constant":
            score = 3.0
        if fault == "level":
            score = 3.0 + level_db / 10
        if fault == "silence-lover" and level_db < -60:
            score = 5.0
        if fault == "forgetful":
            score = float(self._calls.uniform(1, 5))
        words = "It sounds odd." if fault == "repetitive" else f"It sounds like {score:.4f}."
        assert clip.reference is not None
        difference = np.abs(clip.audio - clip.reference)
        rows = np.flatnonzero(difference > 0.02)
        spans = (Span("noise", rows[0] / clip.sample_rate_hz, (rows[-1] + 1) / clip.sample_rate_hz),) if len(rows) else ()
        return Scored(float(score), words, spans=spans)


def _quality(clip: JudgeClip) -> float:
    """Level does not count: the clip is scaled to the reference first."""
    assert clip.reference is not None
    gain = float(clip.audio @ clip.reference) / (float(clip.audio @ clip.audio) + 1e-9)
    residual = float(np.mean((gain * clip.audio - clip.reference) ** 2)) + 1e-12
    return float(np.clip(1 + 4 * (10 * np.log10(np.mean(clip.reference**2) / residual) + 5) / 50, 1, 5))
