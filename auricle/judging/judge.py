"""What every judge offers, so that a panel need not know whether it is a language model that listens, a text classifier or a formula."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float32

from auricle.config import Config
from auricle.judging.verdict import Failed, Scored, Span, Verdict
from auricle.signals import resample


@dataclass(frozen=True)
class JudgeClip:
    """One clip to be judged.

    reference: the clean clip, of the same length. text: another judge's words, for judges that read them. wording: in which of its wordings
    a judge that is prompted asks (0: the one it uses; others are for checking it).
    """

    clip_id: str
    audio: Float32[np.ndarray, " samples"]
    sample_rate_hz: int
    reference: Float32[np.ndarray, " samples"] | None = None
    text: str = ""
    wording: int = 0

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.audio) / self.sample_rate_hz

    def at_rate(self, sample_rate_hz: int) -> "JudgeClip":
        """The same clip at another sample rate."""
        if sample_rate_hz == self.sample_rate_hz:
            return self
        reference = None if self.reference is None else resample(self.reference, self.sample_rate_hz, sample_rate_hz)
        audio = resample(self.audio, self.sample_rate_hz, sample_rate_hz)
        return replace(self, audio=audio, sample_rate_hz=sample_rate_hz, reference=reference)


Choice = Literal["first", "second"]
"""The better one of two clips."""


@dataclass(frozen=True)
class Identity:
    """What a verdict depends on besides the clip: hashes of the judge's prompts and options, and of its model's files."""

    prompt_hash: str = ""
    model_hash: str = ""


class NoOptions(Config):
    """For judges that have nothing to set."""


class Judge(ABC):
    """Turns clips into verdicts. A user's own judge is a subclass, named in the configuration as `package.module:Class`.

    Subclasses annotate `options` with their own Config: the configuration's `options` are read into it. They are built in the process that
    judges, and `judge` is called from the thread that built them (where `concurrent` is 1).
    """

    options: Config
    needs_reference: ClassVar[bool] = False
    """Whether it compares with a clean reference; clips without one then fail with `no_reference`, and are not handed over."""
    reads: ClassVar[bool] = False
    """Whether it judges another judge's words (`JudgeClip.text`) rather than the sound."""
    fixed_loudness: ClassVar[bool] = True
    """Whether it hears every clip at the panel's loudness. Metrics that compare with a reference hear them as they are."""

    wordings: ClassVar[int] = 1
    """In how many wordings it can ask its questions: 1 where there is none to choose, as with metrics."""

    concurrent: ClassVar[int] = 1
    """How many calls of `judge` may be under way at once, each from a thread of its own. Above 1 the judge batches them itself."""

    def __init__(self, options: Config) -> None:
        self.options = options

    @abstractmethod
    def judge(self, clips: Sequence[JudgeClip]) -> list[Verdict]:
        """One verdict a clip, in their order. A clip that cannot be judged is `Failed`; an exception fails every clip of the call."""

    def compare(self, pairs: Sequence[tuple[JudgeClip, JudgeClip]]) -> list[Choice | Failed] | None:
        """Which clip of each pair sounds better; None where it cannot be asked that. For checking the judge, not for rewards."""
        return None

    @property
    def identity(self) -> Identity:
        """Hashes for the ledger, and for the cache of verdicts."""
        return Identity()

    def check_health(self) -> None:  # noqa: B027 - not every judge can tell
        """Raises JudgeError where the judge can judge no more and its process should be started anew."""

    def close(self) -> None:  # noqa: B027 - most have nothing to give back
        """Give memory and processes back."""


def judge_safely(judge: Judge, clips: Sequence[JudgeClip]) -> list[Verdict]:
    """`judge.judge`, where whatever goes wrong becomes `Failed`: the one place where a judge's unforeseen exceptions end.

    When a call with several clips raises, each is judged alone, so that one bad clip does not fail its neighbours.
    """
    try:
        verdicts = judge.judge(clips)
    except Exception as error:  # noqa: BLE001 - the named boundary between judges (also users' own) and the panel
        if len(clips) == 1:
            return [Failed("error", f"{type(error).__name__}: {error}")]
        return [verdict for clip in clips for verdict in judge_safely(judge, [clip])]
    if len(verdicts) != len(clips):
        return [Failed("error", f"{type(judge).__name__} gave {len(verdicts)} verdicts for {len(clips)} clips")] * len(clips)
    return [_finite(verdict) for verdict in verdicts]


def judge_each(judge: Judge, clips: Sequence[JudgeClip]) -> list[Verdict]:
    """`judge_safely` for one clip after another: a verdict then depends on its clip alone, to the bit."""
    return [verdict for clip in clips for verdict in judge_safely(judge, [clip])]


def _finite(verdict: Verdict) -> Verdict:
    """Plain finite numbers, or Failed."""
    if isinstance(verdict, Failed):
        return verdict
    numbers = {"score": verdict.score, **verdict.dimensions}
    bad = {name: value for name, value in numbers.items() if value is not None and not np.isfinite(value)}
    if bad:
        return Failed("not_finite", ", ".join(f"{name} = {value}" for name, value in bad.items()))
    score = None if verdict.score is None else float(verdict.score)
    spans = tuple(Span(span.artefact, float(span.start_s), float(span.end_s)) for span in verdict.spans)
    return Scored(score, verdict.rationale, {name: float(value) for name, value in verdict.dimensions.items()}, spans)
