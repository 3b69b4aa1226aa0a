"""The judges' disagreement: a lower bound that punishes what only one judge likes, and what the log says of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from auricle.learning.advantages import AdvantageConfig, compute_advantages
from auricle.learning.disagreement import disagreement, rank_correlations
from auricle.learning.statistics import row_metrics

tables = hnp.arrays(np.float64, (6, 3), elements=st.floats(-5, 5))
weights = hnp.arrays(np.float64, 3, elements=st.sampled_from([-1.0, -0.5, 0.5, 1.0, 2.0]))


@given(tables, weights)
def test_judges_that_say_the_same_do_not_disagree_and_order_does_not_matter(units, part_weights):
    spread = disagreement(units, part_weights)
    assert (spread >= 0).all()
    order = [2, 0, 1]
    assert disagreement(units[:, order], part_weights[order]) == pytest.approx(spread)
    together = np.repeat(units[:, :1], 3, axis=1) * np.sign(part_weights)
    assert disagreement(together, part_weights) == pytest.approx(np.zeros(6), abs=1e-6)


@given(hnp.arrays(np.float64, (6, 2), elements=st.floats(-5, 5)))
def test_the_bound_of_two_equal_judges_is_the_stricter_one(units):
    bound = units.mean(axis=1) - disagreement(units, np.ones(2))
    assert bound == pytest.approx(units.min(axis=1), abs=1e-9)


# Three samples a scene; the third scene's first sample is liked very much by one judge and disliked by the other.
PARTS = np.array([[2.0, 2.2], [1.0, 1.0], [1.5, 1.4], [3.0, 3.1], [2.0, 2.0], [2.5, 2.4], [5.0, 1.2], [1.0, 1.8], [1.2, 1.6]])
GROUPS = ["a", "a", "a", "b", "b", "b", "c", "c", "c"]


def _run(penalty, **config):
    return compute_advantages(
        PARTS, GROUPS, (1.0, 1.0), AdvantageConfig(disagreement_penalty=penalty, credit_weight=0.0, **config), reference_parts=PARTS * 0
    )


def test_off_by_default_and_then_nothing_changes():
    plain = compute_advantages(PARTS, GROUPS, (1.0, 1.0), AdvantageConfig())
    assert AdvantageConfig().disagreement_penalty == 0
    assert plain.values == pytest.approx(_run(0.0).values)


def test_what_one_judge_alone_likes_loses_against_what_both_like():
    plain, guarded = _run(0.0), _run(1.0)
    hacked, agreed = 6, 0
    assert plain.values[hacked] > 0
    assert plain.values[hacked] - plain.values[agreed] > guarded.values[hacked] - guarded.values[agreed]
    assert plain.disagreement[hacked] == max(plain.disagreement)


@given(hnp.arrays(np.float64, (3, 2), elements=st.floats(-50, 50)), st.floats(0.1, 30.0))
def test_neither_a_judges_scale_nor_its_taste_in_scenes_counts(tastes, scale):
    plain = _run(1.0)
    parts = (PARTS + np.repeat(tastes, 3, axis=0)) * [1.0, scale]
    moved = compute_advantages(parts, GROUPS, (1.0, 1.0), AdvantageConfig(disagreement_penalty=1.0, credit_weight=0.0))
    assert moved.disagreement == pytest.approx(plain.disagreement, abs=1e-6)
    assert moved.values == pytest.approx(plain.values, abs=1e-6)


@pytest.mark.parametrize("baseline", ["group", "reference"])
def test_advantages_stay_centred_under_a_penalty(baseline):
    values = _run(2.0, baseline=baseline).values
    assert values.sum() == pytest.approx(0.0, abs=1e-9)
    if baseline == "group":
        assert values.reshape(3, 3).sum(axis=1) == pytest.approx(np.zeros(3), abs=1e-9)


def test_the_log_tells_how_far_the_judges_agree():
    metrics = row_metrics(_run(0.0), scenes=3)
    assert metrics["judges_correlation"] == metrics["judges_correlation/0~1"]
    assert 0 < metrics["judges_spread"] < 1
    # A judge without a vote does not count, and columns keep the numbers that the panel gives them.
    three = np.column_stack([PARTS[:, 0], np.full(9, 3.0), PARTS[:, 1]])
    found = compute_advantages(three, GROUPS, (1.0, 0.0, 1.0), AdvantageConfig())
    assert list(found.rank_correlations) == [(0, 2)]


def test_a_constant_judge_has_no_correlation_and_no_nan():
    constant = np.column_stack([PARTS[:, 0], np.full(9, 3.0)])
    found = compute_advantages(constant, GROUPS, (1.0, 1.0), AdvantageConfig(disagreement_penalty=1.0))
    assert found.rank_correlations == {}
    assert np.isfinite(found.values).all()
    assert "judges_correlation" not in row_metrics(found, scenes=3)
    assert rank_correlations(PARTS, np.zeros(9, bool), np.ones(2)) == {}
