"""The panel's configuration, and how answers come to parts."""

import numpy as np
import pytest

from auricle.config import build
from auricle.errors import ConfigError
from auricle.judging.panel import JudgeConfig, PanelConfig, panel_scores, part_names, part_weights, parts_of, relative_parts, spans_of
from auricle.judging.verdict import Failed, Scored, Span, verdict_to_dict

PANEL = PanelConfig(
    judges=(
        JudgeConfig(name="listener", weights={"score": 2.0, "spread": 0.0}, relative=True),
        JudgeConfig(name="dnsmos", weights={"bak": 1.0}),
        JudgeConfig(name="watcher", kind="stoi", weights={}),
    )
)


def _answer(score=3.0, bak=2.0):
    return {
        "listener": verdict_to_dict(Scored(score, "fine", {"spread": 0.5}, (Span("clipping", 0.1, 0.4),))),
        "dnsmos": verdict_to_dict(Scored(1.0, dimensions={"bak": bak})),
        "watcher": verdict_to_dict(Failed("no_reference")),
    }


def test_parts_are_scores_and_dimensions_in_the_panels_order():
    assert part_names(PANEL) == ("listener", "listener.spread", "dnsmos.bak")
    assert part_weights(PANEL) == (2.0, 0.0, 1.0)
    assert parts_of(PANEL, [_answer(), _answer(4.0, 5.0)]).tolist() == [[3.0, 0.5, 2.0], [4.0, 0.5, 5.0]]


def test_a_failure_a_missing_judge_or_an_unknown_dimension_is_nan():
    failed = _answer() | {"listener": verdict_to_dict(Failed("timeout"))}
    missing = {"listener": _answer()["listener"], "dnsmos": verdict_to_dict(Scored(3.0))}
    parts = parts_of(PANEL, [failed, missing, {}])
    assert np.isnan(parts).tolist() == [[True, True, False], [False, False, True], [True, True, True]]


def test_a_judge_that_only_describes_has_no_score():
    words = {"listener": verdict_to_dict(Scored(None, "Fine."))}
    assert np.isnan(parts_of(PanelConfig(judges=(JudgeConfig(name="listener"),)), [words])).all()


def test_no_rows_have_parts_too():
    assert parts_of(PANEL, []).shape == (0, 3)


def test_panel_score_is_the_weighted_mean_of_the_voting_parts():
    named, panel = panel_scores(PANEL, [_answer(), _answer() | {"dnsmos": verdict_to_dict(Failed("error"))}])
    assert named["listener"] == [3.0, 3.0]
    assert panel[0] == pytest.approx((2 * 3.0 + 2.0) / 3)
    assert np.isnan(panel[1])


def test_only_relative_judges_are_taken_relative():
    frozen = parts_of(PANEL, [_answer(1.0, 1.0), _answer() | {"listener": verdict_to_dict(Failed("error"))}])
    parts = relative_parts(PANEL, parts_of(PANEL, [_answer(), _answer()]), frozen)
    assert parts[0].tolist() == [2.0, 0.0, 2.0]
    assert np.isnan(parts[1]).tolist() == [True, True, False]


def test_spans_of_all_judges_that_did_not_fail():
    assert spans_of(_answer()) == (Span("clipping", 0.1, 0.4),)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"judges": []}, "name at least one"),
        ({"judges": [{"name": "a", "kind": "pesq"}, {"name": "a", "kind": "stoi"}]}, "may stand once"),
        ({"judges": [{"name": "sentiment", "reads": "listener"}]}, "no other judge"),
        ({"judges": [{"name": "a", "reads": "b"}, {"name": "b", "reads": "c"}, {"name": "c"}]}, "reads itself"),
        ({"judges": [{"name": "dnsmos", "min_replicas": 3}]}, "below min_replicas"),
        ({"judges": [{"name": "dnsmos", "wieghts": {}}]}, "unknown key"),
        ({"loudness_lufs": 3.0}, "loudness_lufs"),
    ],
)
def test_what_cannot_be_a_panel_is_an_error_that_says_why(values, says):
    with pytest.raises(ConfigError, match=says):
        build(PanelConfig, values, source="test")
