"""A judge with moods, for runs that are disturbed on purpose: a file says how it is, and an empty or missing one means well."""

import time
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from auricle.config import Config
from auricle.judging.judge import Judge, JudgeClip
from auricle.judging.verdict import Failed, Scored, Verdict


class MoodOptions(Config):
    """Where its mood stands."""

    mood: str = ""
    """A file with `slow FACTOR` or `unparsable SHARE` in it; empty: always well."""
    clip_s: float = 0.1
    """Time for one clip when it is well, in seconds."""


class MoodJudge(Judge):
    """Likes energy below 1 kHz: a function of the clip alone, so that an undisturbed run can be repeated to the bit."""

    options: MoodOptions

    def judge(self, clips: Sequence[JudgeClip]) -> list[Verdict]:
        """One verdict a clip, in the mood of the moment."""
        word, amount = self._mood()
        time.sleep(self.options.clip_s * len(clips) * (amount if word == "slow" else 1.0))
        share = amount if word == "unparsable" else 0.0
        return [Failed("unparsable", "blah blah") if _luck(clip) < share else _heard(clip) for clip in clips]

    def _mood(self) -> tuple[str, float]:
        path = Path(self.options.mood)
        word, _, amount = (path.read_text() if self.options.mood and path.exists() else "").partition(" ")
        return word, float(amount or 0)


def _heard(clip: JudgeClip) -> Scored:
    power = np.abs(np.fft.rfft(clip.audio)) ** 2
    share = float(power[: int(1000 * len(clip.audio) / clip.sample_rate_hz)].sum() / (power.sum() + 1e-9))
    return Scored(1 + 4 * share, f"{share:.0%} of it lies below 1 kHz")


def _luck(clip: JudgeClip) -> float:
    """In 0-1, the same whenever the clip comes."""
    return zlib.crc32(clip.audio.tobytes()) / 2**32
