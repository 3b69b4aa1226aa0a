"""The bootstrap: coverage, clusters, failures left out, reproducible."""

import numpy as np
import pytest

from auricle.errors import MetricError
from auricle.metrics.agreement import pearson
from auricle.metrics.intervals import mean_interval, paired_interval, statistic_interval


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for seed in range(200):
        estimate = mean_interval(rng.normal(1.0, 2.0, 40), resamples=400, seed=seed)
        hits += estimate.low <= 1.0 <= estimate.high
    assert 180 <= hits <= 199


def test_clusters_widen_the_interval_when_their_rows_repeat():
    values = np.random.default_rng(1).normal(size=12)
    repeated, speakers = np.repeat(values, 10), np.repeat(np.arange(12), 10)
    independent, clustered = mean_interval(repeated), mean_interval(repeated, list(speakers))
    assert clustered.high - clustered.low > 2.5 * (independent.high - independent.low)
    assert clustered.value == pytest.approx(independent.value)
    assert (clustered.rows, clustered.clusters) == (120, 12)


def test_pairing_removes_what_both_sides_share():
    scene = np.random.default_rng(2).normal(0, 5, 50)
    estimate = paired_interval(scene, scene + 0.1)
    assert estimate.value == pytest.approx(0.1)
    assert estimate.high - estimate.low < 1e-9


def test_failed_rows_are_left_out_and_counted():
    estimate = paired_interval([1.0, np.nan, 3.0, 4.0], [2.0, 3.0, np.nan, 5.0])
    assert (estimate.value, estimate.rows, estimate.left_out) == (1.0, 2, 2)


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(3).normal(size=30)
    assert mean_interval(values, seed=7) == mean_interval(values, seed=7)
    assert mean_interval(values, seed=7) != mean_interval(values, seed=8)


def test_one_cluster_has_no_interval():
    estimate = mean_interval([1.0, 2.0], ["a", "a"])
    assert estimate.value == 1.5
    assert np.isnan(estimate.low)


def test_interval_of_a_correlation():
    rng = np.random.default_rng(4)
    left = rng.normal(size=80)
    estimate = statistic_interval(pearson, left, left + rng.normal(size=80), resamples=300)
    assert estimate.low < estimate.value < estimate.high
    assert estimate.low > 0.4


@pytest.mark.parametrize(
    ("values", "options", "says"),
    [([np.nan], {}, "finite"), ([1.0, 2.0], {"clusters": ["a"]}, "cluster names"), ([1.0, 2.0], {"confidence": 95.0}, "share between")],
)
def test_misuse_is_an_error(values, options, says):
    with pytest.raises(MetricError, match=says):
        mean_interval(values, **options)
