"""Judges that misbehave on request: what a clip asks for stands in its id."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from auricle.config import Config
from auricle.judging.judge import Identity, Judge, JudgeClip
from auricle.judging.verdict import Failed, Scored, Verdict


class OddOptions(Config):
    """What an odd judge can be told."""

    sleep_s: float = 0.0
    """How long it takes for a clip whose id begins with `slow`, in seconds."""
    immortal: bool = False
    """Whether it takes no notice of `die`."""


class LevelJudge(Judge):
    """Scores the level it hears, in dB. Ids that begin with `slow`, `raise`, `nan` or `die` do so; `die:FILE` only where no FILE is."""

    options: OddOptions

    def __init__(self, options: OddOptions) -> None:
        super().__init__(options)
        self.calls: list[int] = []

    def judge(self, clips: Sequence[JudgeClip]) -> list[Verdict]:
        self.calls.append(len(clips))
        return [self._one(clip) for clip in clips]

    def _one(self, clip: JudgeClip) -> Verdict:
        what, _, path = clip.clip_id.partition(":")
        if what == "slow":
            time.sleep(self.options.sleep_s)
        if what == "raise":
            raise RuntimeError("this clip is poison")
        if what == "die" and not self.options.immortal and not (path and Path(path).exists()):
            if path:
                Path(path).touch()
            os._exit(1)
        level_db = float("nan") if what == "nan" else 10 * float(np.log10(np.mean(clip.audio**2) + 1e-12))
        return Failed("unparsable", "odd words") if what == "unparsable" else Scored(level_db, f"{clip.clip_id} sounds odd")

    @property
    def identity(self) -> Identity:
        return Identity("prompt-1", "model-1")


class RawLevelJudge(LevelJudge):
    """Hears clips as they are."""

    fixed_loudness: ClassVar[bool] = False


class ReferenceJudge(RawLevelJudge):
    """Wants a reference."""

    needs_reference: ClassVar[bool] = True


class LengthReader(Judge):
    """Scores the length of the words it reads."""

    options: OddOptions
    reads: ClassVar[bool] = True

    def judge(self, clips: Sequence[JudgeClip]) -> list[Verdict]:
        return [Scored(float(len(clip.text))) for clip in clips]


class ShortJudge(LevelJudge):
    """Gives one verdict too few."""

    def judge(self, clips: Sequence[JudgeClip]) -> list[Verdict]:
        return super().judge(clips)[1:]


class BrokenJudge(LevelJudge):
    """Cannot be built."""

    def __init__(self, options: OddOptions) -> None:
        raise ValueError("the weights are on another planet")
