"""Agreement of raters: against scipy and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from auricle.errors import MetricError
from auricle.metrics.agreement import f1, mean_absolute_error, pearson, root_mean_square_error, span_iou, spearman


def test_correlations_equal_scipy_also_with_ties():
    rng = np.random.default_rng(0)
    left = rng.integers(1, 6, 60).astype(float)
    right = left + rng.normal(0, 1, 60).round()
    assert pearson(left, right) == pytest.approx(stats.pearsonr(left, right).statistic)
    assert spearman(left, right) == pytest.approx(stats.spearmanr(left, right).statistic)


def test_a_constant_rater_agrees_with_nobody():
    assert np.isnan(pearson([3, 3, 3], [1, 2, 3]))
    assert np.isnan(spearman([1, 2, 3], [3, 3, 3]))


def test_errors_of_scores():
    assert mean_absolute_error([1, 2], [2, 4]) == 1.5
    assert root_mean_square_error([1, 2], [4, 6]) == pytest.approx(np.sqrt(12.5))


@pytest.mark.parametrize(("left", "right"), [([1.0], [1.0]), ([1, 2], [1, 2, 3]), ([1, np.nan], [1, 2])])
def test_scores_that_are_no_pairs_are_errors(left, right):
    with pytest.raises(MetricError):
        pearson(left, right)


def test_f1_by_hand():
    assert f1([True, True, False, False], [True, False, True, False]) == 0.5
    assert np.isnan(f1([False], [False]))


def test_span_overlap_by_hand():
    assert span_iou([(0.0, 1.0)], [(0.5, 1.5)]) == pytest.approx(1 / 3)
    assert span_iou([(0.0, 1.0), (0.5, 2.0)], [(0.0, 2.0)]) == 1.0
    assert span_iou([(0.0, 1.0)], []) == 0.0
    assert np.isnan(span_iou([], []))
    with pytest.raises(MetricError, match="ends before"):
        span_iou([(1.0, 0.5)], [])


spans = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 10)).map(lambda s: (float(s[0]), float(s[0] + s[1]))), max_size=5)


@given(spans, spans)
def test_span_overlap_is_symmetric_and_equals_counting_ticks(left, right):
    ticks = [{t for start, end in side for t in range(int(start), int(end))} for side in (left, right)]
    union = ticks[0] | ticks[1]
    expected = len(ticks[0] & ticks[1]) / len(union) if union else float("nan")
    assert span_iou(left, right) == pytest.approx(expected, nan_ok=True)
    assert span_iou(left, right) == pytest.approx(span_iou(right, left), nan_ok=True)
