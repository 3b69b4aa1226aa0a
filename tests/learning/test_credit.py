"""Credit in time: spans become penalties where they are, and nowhere else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auricle.judging.verdict import Span
from auricle.learning.credit import span_penalties, time_credit

TIMES = np.arange(6) * 0.4
seconds = st.floats(-1, 3) | st.sampled_from([np.nan, np.inf])
spans = st.lists(st.builds(Span, st.sampled_from(["noise", "clipping"]), seconds, seconds), max_size=4)


@given(spans)
def test_penalties_stay_between_minus_one_and_zero_and_bad_spans_are_ignored(found):
    penalties = span_penalties(found, TIMES)
    assert penalties.dtype == np.float32
    assert ((penalties >= -1) & (penalties <= 0)).all()


def test_a_span_over_the_whole_clip_blames_every_knot_fully():
    np.testing.assert_allclose(span_penalties([Span("noise", 0.0, 2.0)], TIMES), -1, atol=1e-6)


def test_a_span_blames_the_knots_that_act_there_by_their_share():
    penalties = span_penalties([Span("noise", 0.8, 1.2)], TIMES)
    np.testing.assert_allclose(penalties, [0, 0, -0.5, -0.5, 0, 0], atol=1e-6)


def test_of_overlapping_spans_the_worst_counts_once():
    both = span_penalties([Span("noise", 0, 2), Span("hum", 0, 2)], TIMES, {"noise": 0.5, "hum": 0.2})
    np.testing.assert_allclose(both, -0.5, atol=1e-6)


def test_the_share_equals_a_numerical_integral_of_the_triangles():
    grid = np.linspace(0, 2.0, 200_001)
    triangles = np.maximum(0, 1 - np.abs(grid[None] - TIMES[:, None]) / 0.4)
    inside = (grid >= 0.31) & (grid <= 1.07)
    expected = -(triangles * inside).sum(1) / triangles.sum(1)
    np.testing.assert_allclose(span_penalties([Span("noise", 0.31, 1.07)], TIMES), expected, atol=1e-4)


def test_what_all_samples_of_a_scene_suffer_from_blames_none():
    penalties = np.array([[-1, 0], [-1, -1], [-1, 0], [-1, 0]], dtype=np.float32)
    credit = time_credit(penalties, ["a", "a", "b", "b"], np.ones(4, dtype=bool), 1e-3)
    assert not credit[:, 0].any()
    assert credit[0, 1] > 0 > credit[1, 1]
    assert not credit[2:].any()


def test_rows_without_a_verdict_and_lone_samples_get_none():
    penalties = np.array([[-1.0], [0.0], [-1.0]], dtype=np.float32)
    credit = time_credit(penalties, ["a", "a", "b"], np.array([True, False, True]), 1e-3)
    assert credit.ravel() == pytest.approx([0, 0, 0])
