"""K samples to one verdict: means, spreads, what does not count, and when there is no verdict."""

import numpy as np
import pytest

from auricle.gsrm.answers import Answer, answer_text
from auricle.gsrm.evidence import CheckConfig, Claim
from auricle.gsrm.samples import verdict_of
from auricle.judging.verdict import Failed, Scored


def _text(score, findings, *issue, sound=3):
    return answer_text(Answer(score, 4, sound, findings.vowels, issue=issue))


def _verdict(texts, findings, least_share=0.5):
    return verdict_of(texts, "evidence", findings, CheckConfig(), least_share)


def test_the_score_is_the_mean_and_the_spread_its_uncertainty(findings):
    scores = [2.0, 2.5, 3.0, 4.5]
    verdict = _verdict([_text(score, findings[0], sound=grade) for score, grade in zip(scores, (2, 3, 3, 4), strict=True)], findings[0])
    assert isinstance(verdict, Scored)
    assert verdict.score == pytest.approx(np.mean(scores))
    assert verdict.dimensions["spread"] == pytest.approx(np.std(scores))
    assert verdict.dimensions["lower"] == pytest.approx(np.mean(scores) - np.std(scores))
    assert verdict.dimensions["sound"] == 3.0
    assert verdict.dimensions["naturalness"] == 4.0
    assert verdict.rationale.endswith("score: 3.0")


def test_of_equal_scores_the_words_are_those_whose_grades_are_the_commonest(findings):
    verdict = _verdict([_text(1.0, findings[0], sound=grade) for grade in (1, 3, 3, 3)], findings[0])
    assert isinstance(verdict, Scored)
    assert "the sound is damaged" in verdict.rationale


def test_samples_that_do_not_hold_do_not_count(findings):
    found = findings[0]
    wrong = Claim("noise", "highest" if found.decile("noise") < 5 else "lowest")
    verdict = _verdict([_text(2.0, found), _text(3.0, found), _text(5.0, found, wrong), "five stars"], found)
    assert isinstance(verdict, Scored)
    assert verdict.score == 2.5
    assert (verdict.dimensions["contradicted"], verdict.dimensions["unparsed"], verdict.dimensions["samples"]) == (0.25, 0.25, 2.0)


def test_too_few_that_hold_are_no_verdict_but_the_commonest_reason(findings):
    found = findings[0]
    wrong = _text(5.0, found, Claim("noise", "highest" if found.decile("noise") < 5 else "lowest"))
    verdict = _verdict([_text(2.0, found), wrong, wrong, "five stars"], found)
    assert isinstance(verdict, Failed)
    assert verdict.reason == "contradicts_evidence"
    assert "1 of 4 samples hold" in verdict.detail
    assert "measured in decile" in verdict.detail
    assert _verdict(["?"] * 4, found).reason == "unparsable"  # type: ignore[union-attr]
    assert isinstance(_verdict([_text(2.0, found), wrong, wrong, "five stars"], found, least_share=0.25), Scored)


def test_no_samples_are_no_verdict(findings):
    assert isinstance(_verdict([], findings[0]), Failed)
