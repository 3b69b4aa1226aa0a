"""Sketches: quantiles of the whole from the sum of the parts, within the error that is promised."""

import math

import numpy as np
import pytest

from auricle.sketch import GROWTH, LEAST, bucket_of, quantile, sketch, value_of


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
def test_the_sum_of_two_sketches_has_the_quantiles_of_all_values_where_their_mean_has_not(share: float) -> None:
    draw = np.random.default_rng(0)
    quick, slow = draw.lognormal(-2, 0.5, 3000), draw.lognormal(2, 0.5, 1000)
    found = quantile(sketch(quick) + sketch(slow), share)
    true = np.quantile(np.concatenate([quick, slow]), share, method="inverted_cdf")
    assert found == pytest.approx(true, rel=(GROWTH - 1) / 2 + 1e-9)
    averaged = (quantile(sketch(quick), share) + quantile(sketch(slow), share)) / 2
    assert averaged != pytest.approx(true, rel=0.2)


def test_every_value_lies_in_its_bucket() -> None:
    for value in np.geomspace(LEAST, 1e4, 997):
        assert value_of(bucket_of(value)) == pytest.approx(value, rel=(GROWTH - 1) / 2 + 1e-9)
    assert bucket_of(0.0) == bucket_of(-1.0) == 0


def test_nothing_counted_has_no_quantile_and_what_is_not_finite_is_left_out() -> None:
    assert math.isnan(quantile({}, 0.5))
    assert sum(sketch([1.0, math.nan, math.inf]).values()) == 1
