"""Advantages: failures never leak, rows are exchangeable, each baseline does what it says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from auricle.errors import ConfigError
from auricle.learning.advantages import (
    FAILED_REFERENCE,
    FAILED_VERDICT,
    GRPO,
    LONE_SAMPLE,
    AdvantageConfig,
    compute_advantages,
)

ROWS, PARTS, KNOTS = 8, 2, 3
GROUPS = ["a", "a", "a", "b", "b", "c", "c", "d"]
scores = st.floats(-50, 50, width=32) | st.sampled_from([np.nan, np.inf, -np.inf])
tables = hnp.arrays(np.float32, (ROWS, PARTS), elements=scores)
clean = hnp.arrays(np.float32, (ROWS, PARTS), elements=st.floats(-50, 50, width=32))
penalties = hnp.arrays(np.float32, (ROWS, KNOTS), elements=st.floats(-1, 0, width=32))
configs = st.builds(
    AdvantageConfig,
    baseline=st.sampled_from(["reference", "group", "critic", "none"]),
    scale=st.sampled_from(["batch", "group", "none"]),
    centre=st.booleans(),
)


def run(parts, config, *, reference=None, groups=GROUPS, credit=None, weights=(1.0, 0.5), values=None):
    return compute_advantages(
        parts,
        groups,
        weights,
        config,
        reference_parts=np.zeros_like(parts) if reference is None else reference,
        values=np.zeros(len(parts)) if values is None else values,
        credit=credit,
    )


@given(tables, tables, penalties, configs)
def test_no_nan_ever_leaves_and_every_row_is_kept_or_has_a_reason(parts, reference, credit, config):
    result = run(parts, config, reference=reference, credit=credit)
    assert np.isfinite(result.values).all()
    assert np.isfinite(result.value_targets).all()
    assert np.abs(result.values).max() <= config.clamp
    for row in range(ROWS):
        assert result.kept[row] == (result.reasons[row] == "")
        if not result.kept[row]:
            assert not np.any(result.values[row])
    assert sum(result.dropped().values()) + result.kept.sum() == ROWS


@given(tables, penalties, configs, st.permutations(range(ROWS)))
def test_the_order_of_the_rows_does_not_matter(parts, credit, config, order):
    order = list(order)
    before = run(parts, config, credit=credit)
    after = run(parts[order], config, credit=credit[order], groups=[GROUPS[row] for row in order])
    assert [before.reasons[row] for row in order] == list(after.reasons)
    np.testing.assert_allclose(before.values[order], after.values, atol=1e-5)


@given(clean, penalties, configs, st.lists(st.integers(0, ROWS - 1), max_size=5, unique=True), st.data())
def test_failed_rows_have_no_influence_on_the_others(parts, credit, config, failed, data):
    broken = parts.copy()
    broken[failed, data.draw(st.integers(0, PARTS - 1))] = np.nan
    alive = [row for row in range(ROWS) if row not in failed]
    if not alive:
        return
    with_failures = run(broken, config, credit=credit)
    without = run(parts[alive], config, credit=credit[alive], groups=[GROUPS[row] for row in alive])
    np.testing.assert_allclose(with_failures.values[alive], without.values, atol=1e-9)
    assert all(with_failures.reasons[row] == FAILED_VERDICT for row in failed)


def test_group_baseline_compares_a_scenes_samples_with_one_another_only():
    parts = np.array([[1.0], [3.0], [11.0], [13.0]], dtype=np.float32)
    result = run(parts, AdvantageConfig(), groups=["a", "a", "b", "b"], weights=(1.0,))
    np.testing.assert_allclose(result.values, [-1, 1, -1, 1])


def test_a_scene_with_one_valid_sample_falls_out_and_says_so():
    parts = np.array([[1.0], [np.nan], [2.0], [4.0]], dtype=np.float32)
    result = run(parts, AdvantageConfig(), groups=["a", "a", "b", "b"], weights=(1.0,))
    assert result.reasons == (LONE_SAMPLE, FAILED_VERDICT, "", "")
    assert result.dropped() == {LONE_SAMPLE: 1, FAILED_VERDICT: 1}


def test_reference_baseline_needs_the_references_verdict_too_and_is_centred():
    parts = np.array([[2.0], [3.0], [4.0]], dtype=np.float32)
    reference = np.array([[3.0], [3.0], [np.nan]], dtype=np.float32)
    result = run(parts, AdvantageConfig(baseline="reference"), reference=reference, groups="abc", weights=(1.0,))
    assert result.reasons == ("", "", FAILED_REFERENCE)
    np.testing.assert_allclose(result.values, [-1, 1, 0])
    as_paper = run(
        parts, AdvantageConfig(baseline="reference", scale="none", centre=False), reference=reference, groups="abc", weights=(1.0,)
    )
    np.testing.assert_allclose(as_paper.values, np.array([-1, 0, 0]) / 0.5)


def test_grpo_gives_each_scene_the_same_spread():
    parts = np.array([[1.0], [1.1], [1.0], [5.0]], dtype=np.float32)
    result = run(parts, GRPO, groups=["a", "a", "b", "b"], weights=(1.0,))
    np.testing.assert_allclose(result.values, [-1, 1, -1, 1], atol=1e-5)


def test_parts_count_in_units_of_their_own_spread():
    ratings = np.array([1.0, 2.0, 3.0, 4.0])
    decibels = ratings[::-1] * 100
    result = run(np.stack([ratings, decibels], 1), AdvantageConfig(baseline="none"), groups="abcd", weights=(1.0, 1.0))
    np.testing.assert_allclose(result.values, 0, atol=1e-9)


def test_a_part_of_weight_zero_is_ignored_even_where_it_fails():
    parts = np.array([[1.0, np.nan], [2.0, 7.0]], dtype=np.float32)
    result = run(parts, AdvantageConfig(), groups="aa", weights=(1.0, 0.0))
    assert result.kept.all()
    with pytest.raises(ConfigError, match="weight 0"):
        run(parts, AdvantageConfig(), groups="aa", weights=(0.0, 0.0))


def test_ties_stay_ties():
    result = run(np.full((4, 1), 3.0), AdvantageConfig(), groups="aabb", weights=(1.0,))
    assert result.kept.all()
    assert not result.values.any()


def test_critic_baseline_subtracts_its_values_and_refuses_a_diverged_critic():
    parts = np.array([[1.0], [3.0]], dtype=np.float32)
    result = run(parts, AdvantageConfig(baseline="critic", scale="none"), groups="ab", weights=(1.0,), values=np.array([-1.0, 1.0]))
    np.testing.assert_allclose(result.values, 0, atol=1e-7)
    np.testing.assert_allclose(result.value_targets, [-1, 1])
    with pytest.raises(ConfigError, match="diverged"):
        run(parts, AdvantageConfig(baseline="critic"), groups="ab", weights=(1.0,), values=np.array([np.nan, 1.0]))


def test_inputs_that_do_not_fit_the_baseline_are_refused():
    parts = np.zeros((2, 1))
    with pytest.raises(ConfigError, match="reference_parts"):
        compute_advantages(parts, "ab", (1.0,), AdvantageConfig(baseline="reference"))
    with pytest.raises(ConfigError, match="value head"):
        compute_advantages(parts, "ab", (1.0,), AdvantageConfig(baseline="critic"))
    with pytest.raises(ConfigError, match="do not fit"):
        compute_advantages(parts, "abc", (1.0,), AdvantageConfig())


@pytest.mark.parametrize("config", [AdvantageConfig(), GRPO, AdvantageConfig(baseline="reference"), AdvantageConfig(baseline="none")])
def test_a_saturated_judge_gives_no_advantage_but_its_jitter(config):
    jitter = np.random.default_rng(0).normal(0, 1e-6, (ROWS, 1))
    result = run(5.0 + jitter, config, groups=list("aabbccdd"), weights=(1.0,))
    assert result.kept.all()
    assert np.abs(result.values).max() < 0.01
    exact = run(np.full((ROWS, 1), 5.0), config, groups=list("aabbccdd"), weights=(1.0,))
    assert not exact.values.any()


@pytest.mark.parametrize("config", [AdvantageConfig(), GRPO])
def test_a_scene_whose_samples_tie_stays_tied_beside_lively_ones(config):
    parts = np.array([[5.0], [5.0 + 1e-5], [2.0], [3.0], [1.0], [2.5], [4.0], [3.0]])
    values = run(parts, config, groups=list("aabbccdd"), weights=(1.0,)).values
    assert np.abs(values[:2]).max() < 0.01
    assert np.abs(values[2:]).min() > 0.3
