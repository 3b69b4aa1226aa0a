"""Judges by name and by import path; their options."""

import pytest

from auricle.errors import ConfigError
from auricle.judging.metric_judges import DnsmosJudge, PesqJudge
from auricle.judging.registry import BUILT_IN, build_judge, check_options, find_judge, options_class


@pytest.mark.parametrize("kind", BUILT_IN)
def test_every_registered_kind_is_a_judge_with_options(kind):
    assert options_class(find_judge(kind)).model_config["extra"] == "forbid"
    check_options(kind, {})


def test_a_users_own_class_is_named_by_its_path():
    judge = build_judge("tests.judging.odd_judges:LevelJudge", {"sleep_s": 2.0})
    assert judge.options.sleep_s == 2.0


def test_built_in_judges_are_built_with_their_options():
    assert isinstance(build_judge("dnsmos", {"fast": True}), DnsmosJudge)
    assert isinstance(build_judge("pesq", {"lengths": "align"}), PesqJudge)


@pytest.mark.parametrize(
    ("kind", "options", "says"),
    [
        ("dnmos", {}, "did you mean 'dnsmos'"),
        ("tests.judging.nowhere:Judge", {}, "cannot import"),
        ("tests.judging.odd_judges:OddOptions", {}, "no Judge called"),
        ("auricle.judging.judge:Judge", {}, "annotate `options`"),
        ("pesq", {"length": "crop"}, "did you mean 'lengths'"),
        ("pesq", {"lengths": "stretch"}, "lengths"),
    ],
)
def test_what_is_no_judge_is_an_error_that_says_why(kind, options, says):
    with pytest.raises(ConfigError, match=says):
        build_judge(kind, options)
