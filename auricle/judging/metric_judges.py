"""Metrics as judges: what they cannot measure is Failed('metric'), never a number."""

from collections.abc import Callable, Sequence
from typing import ClassVar

from auricle.config import Config
from auricle.errors import MetricError
from auricle.judging.hashing import content_hash
from auricle.judging.judge import Identity, Judge, JudgeClip
from auricle.judging.verdict import Failed, Scored, Verdict
from auricle.metrics import dnsmos as dnsmos_module
from auricle.metrics.dnsmos import dnsmos
from auricle.metrics.intrusive import PESQ_RATE_HZ, Lengths, estoi, pesq_wb, si_sdr, stoi


class DnsmosOptions(Config):
    """DNSMOS P.835 and P.808."""

    fast: bool = False
    """One pass over the clip as it is, instead of the official padding to 9 s: ten times faster, Pearson .985 with the official score."""


class DnsmosJudge(Judge):
    """DNSMOS: score is OVRL; dimensions sig, bak, ovrl, p808."""

    options: DnsmosOptions

    def judge(self, clips: Sequence[JudgeClip]) -> list[Verdict]:
        """See `Judge.judge`."""
        return [self._judge_one(clip.at_rate(dnsmos_module.RATE_HZ)) for clip in clips]

    @property
    def identity(self) -> Identity:
        """The models are fixed by the package's version."""
        return Identity(content_hash(self.options.model_dump()), content_hash("speechmos 0.0.1.1 dnsmos"))

    def _judge_one(self, clip: JudgeClip) -> Verdict:
        try:
            scores = dnsmos(clip.audio.clip(-1.0, 1.0), clip.sample_rate_hz, fast=self.options.fast)
        except MetricError as error:
            return Failed("metric", str(error))
        return Scored(scores.ovrl, dimensions={"sig": scores.sig, "bak": scores.bak, "ovrl": scores.ovrl, "p808": scores.p808})


class IntrusiveOptions(Config):
    """A metric that compares with a clean reference."""

    lengths: Lengths = "equal"
    """What to do about unlike lengths: an error, `crop` the longer one, or `align` by cross-correlation."""


class IntrusiveJudge(Judge):
    """A metric with a reference; subclasses name it."""

    options: IntrusiveOptions
    needs_reference: ClassVar[bool] = True
    fixed_loudness: ClassVar[bool] = False
    metric: ClassVar[Callable[..., float]]
    rate_hz: ClassVar[int | None] = None
    """The only sample rate at which the metric is defined; None: any."""

    def judge(self, clips: Sequence[JudgeClip]) -> list[Verdict]:
        """See `Judge.judge`."""
        return [self._judge_one(clip.at_rate(self.rate_hz or clip.sample_rate_hz)) for clip in clips]

    @property
    def identity(self) -> Identity:
        """A formula has no model."""
        return Identity(content_hash(self.options.model_dump()), content_hash(type(self).__name__))

    def _judge_one(self, clip: JudgeClip) -> Verdict:
        try:
            return Scored(type(self).metric(clip.reference, clip.audio, clip.sample_rate_hz, lengths=self.options.lengths))
        except MetricError as error:
            return Failed("metric", str(error))


class PesqJudge(IntrusiveJudge):
    """Wide-band PESQ, 1.04-4.64."""

    metric = staticmethod(pesq_wb)
    rate_hz = PESQ_RATE_HZ


class StoiJudge(IntrusiveJudge):
    """STOI, 0-1."""

    metric = staticmethod(stoi)


class EstoiJudge(IntrusiveJudge):
    """ESTOI, 0-1."""

    metric = staticmethod(estoi)


class SiSdrJudge(IntrusiveJudge):
    """SI-SDR in dB."""

    metric = staticmethod(si_sdr)
