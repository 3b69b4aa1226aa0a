"""Judges of the tests' own, named by import path as a user's would be."""

import time
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from auricle.config import Config
from auricle.judging.judge import Judge, JudgeClip
from auricle.judging.verdict import Failed, Scored, Span, Verdict


class ProbeOptions(Config):
    """Nothing to set."""

    share: float = 0.8
    """Share of the clips that FailingJudge fails."""


class BandJudge(Judge):
    """Likes energy below 1 kHz, and says where it is least; a real measurement on the audio, so that learning has something to learn."""

    options: ProbeOptions

    def judge(self, clips: Sequence[JudgeClip]) -> list[Verdict]:
        return [self._one(clip) for clip in clips]

    def _one(self, clip: JudgeClip) -> Verdict:
        power = np.abs(np.fft.rfft(clip.audio)) ** 2
        share = float(power[: int(1000 * len(clip.audio) / clip.sample_rate_hz)].sum() / (power.sum() + 1e-9))
        half = clip.duration_s / 2
        return Scored(1 + 4 * share, f"{share:.0%} of it lies below 1 kHz", spans=(Span("hiss", 0.0, half),))


class FailingJudge(BandJudge):
    """Cannot parse most answers."""

    def judge(self, clips: Sequence[JudgeClip]) -> list[Verdict]:
        return [Failed("unparsable", "no number in it") if self._luck(clip) < self.options.share else self._one(clip) for clip in clips]

    def _luck(self, clip: JudgeClip) -> float:
        """In 0-1, the same whenever the clip comes."""
        return zlib.crc32(clip.audio.tobytes()) / 2**32


class CompanyJudge(BandJudge):
    """As sums in batches of another size: what it says of a clip depends, a little, on how many it hears at once."""

    def judge(self, clips: Sequence[JudgeClip]) -> list[Verdict]:
        verdicts = [self._one(clip) for clip in clips]
        return [replace(verdict, score=verdict.score + 1e-3 * len(clips)) for verdict in verdicts]


class PickyJudge(CompanyJudge):
    """Cannot judge a tone of 500 Hz, which is one scene of the tests' corpus, whatever becomes of it."""

    def judge(self, clips: Sequence[JudgeClip]) -> list[Verdict]:
        verdicts = super().judge(clips)
        return [Failed("bad_clip", "500 Hz") if self._is_500(clip) else verdict for clip, verdict in zip(clips, verdicts, strict=True)]

    def _is_500(self, clip: JudgeClip) -> bool:
        loudest = int(np.abs(np.fft.rfft(clip.audio)).argmax())
        return abs(loudest * clip.sample_rate_hz / len(clip.audio) - 500) < 25


class LateOptions(ProbeOptions):
    """When it is late."""

    was_late: str = ""
    """A file: where it is missing, rollout 9 takes `late_s`, and the file is made. Empty: never late."""
    late_s: float = 15.0
    """How long, in seconds."""


class LateJudge(PickyJudge):
    """Misses one deadline of a run."""

    options: LateOptions

    def judge(self, clips: Sequence[JudgeClip]) -> list[Verdict]:
        late = Path(self.options.was_late)
        if self.options.was_late and not late.exists() and any(clip.clip_id == "9" for clip in clips):
            late.touch()
            time.sleep(self.options.late_s)
        return super().judge(clips)
