"""Metrics as judges: verdicts, and failures that are not numbers."""

import numpy as np
import pytest

from auricle.judging.judge import JudgeClip
from auricle.judging.metric_judges import DnsmosJudge, DnsmosOptions, EstoiJudge, IntrusiveOptions, PesqJudge, SiSdrJudge, StoiJudge
from auricle.judging.verdict import Failed, Scored
from tests.metrics.test_intrusive import _speechlike


def _clip(rate_hz=16_000, noise=0.02):
    reference = _speechlike().astype(np.float32)
    audio = reference + noise * np.random.default_rng(0).standard_normal(len(reference)).astype(np.float32)
    return JudgeClip("a", audio, 16_000, reference).at_rate(rate_hz)


@pytest.mark.parametrize(
    ("judge", "low", "high"), [(PesqJudge, 1.0, 4.64), (StoiJudge, 0.3, 1.0), (EstoiJudge, 0.2, 1.0), (SiSdrJudge, 5.0, 25.0)]
)
def test_intrusive_judges_score(judge, low, high):
    verdict = judge(IntrusiveOptions()).judge([_clip()])[0]
    assert isinstance(verdict, Scored)
    assert low < verdict.score < high


def test_pesq_resamples_to_the_rate_it_is_defined_at():
    at_48 = PesqJudge(IntrusiveOptions()).judge([_clip(48_000)])[0]
    at_16 = PesqJudge(IntrusiveOptions()).judge([_clip()])[0]
    assert at_48.score == pytest.approx(at_16.score, abs=0.1)


def test_unlike_lengths_fail_unless_cropping_is_asked_for():
    clip = _clip()
    longer = JudgeClip("a", np.append(clip.audio, 0.0).astype(np.float32), 16_000, clip.reference)
    refused, cropped = (SiSdrJudge(IntrusiveOptions(lengths=lengths)).judge([longer])[0] for lengths in ("equal", "crop"))
    assert isinstance(refused, Failed)
    assert refused.reason == "metric"
    assert isinstance(cropped, Scored)


def test_dnsmos_scores_all_its_dimensions_and_fails_on_short_clips():
    good, short = DnsmosJudge(DnsmosOptions(fast=True)).judge([_clip(), JudgeClip("b", np.ones(100, np.float32), 16_000)])
    assert good.score == good.dimensions["ovrl"]
    assert set(good.dimensions) == {"sig", "bak", "ovrl", "p808"}
    assert isinstance(short, Failed)
