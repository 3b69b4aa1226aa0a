"""The bootstrap: coverage, clusters, failures left out, reproducible."""

import numpy as np
import pytest

from auricle.errors import MetricError
from auricle.metrics.agreement import pearson
from auricle.metrics.intervals import mean_interval, paired_interval, statistic_interval, two_way_interval


@pytest.mark.parametrize("clusters", [4, 6, 40])
def test_the_interval_covers_the_true_mean_about_as_often_as_it_says(clusters):
    rng = np.random.default_rng(0)
    hits = 0
    for seed in range(300):
        speakers = np.repeat(np.arange(clusters), 3)
        values = rng.normal(1.0, 2.0, clusters)[speakers] + rng.normal(size=len(speakers))
        estimate = mean_interval(values, list(speakers), resamples=300, seed=seed)
        hits += estimate.low <= 1.0 <= estimate.high
    assert 273 <= hits <= 297  # 95 % would be 285; the plain percentile bootstrap has 237 with four clusters


@pytest.mark.parametrize(("between_seeds", "between_speakers"), [(0.0, 1.0), (1.0, 0.3), (1.0, 1.0)])
def test_an_interval_over_three_seeds_and_the_speakers_holds_for_new_ones(between_seeds, between_speakers):
    rng = np.random.default_rng(1)
    seeds, speakers = np.repeat(np.arange(3), 36), np.tile(np.repeat(np.arange(18), 2), 3)
    hits = 0
    for _ in range(300):
        values = between_seeds * rng.normal(size=3)[seeds] + between_speakers * rng.normal(size=18)[speakers] + rng.normal(size=108)
        estimate = two_way_interval(values, list(seeds), list(speakers))
        hits += estimate.low <= 0.0 <= estimate.high
    assert hits >= 273


def test_of_one_seed_the_interval_is_over_speakers():
    values = np.random.default_rng(5).normal(size=24)
    speakers = list(np.repeat(np.arange(8), 3))
    found, plain = two_way_interval(values, ["0"] * 24, speakers), mean_interval(values, speakers)
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high), abs=0.05)
    assert found.clusters == 8


def test_a_correlation_stays_within_its_range_with_few_clusters():
    left = np.arange(12.0)
    noise = np.random.default_rng(6).normal(size=12)
    estimate = statistic_interval(pearson, left, left + noise, list(np.repeat(np.arange(4), 3)), resamples=200)
    assert -1.0 <= estimate.low < estimate.value < estimate.high <= 1.0


def test_a_correlation_of_two_clusters_has_an_interval():
    left, speakers = np.arange(12.0), list(np.repeat(np.arange(2), 6))
    estimate = statistic_interval(pearson, left, left + np.random.default_rng(6).normal(size=12), speakers, resamples=50)
    assert -1.0 <= estimate.low <= estimate.value <= estimate.high <= 1.0
    assert estimate.clusters == 2


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
