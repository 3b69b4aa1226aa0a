"""What benchmarks.exploration says of rewards whose gradients are known."""

import numpy as np
import pytest

from benchmarks.exploration import figures_of, sums_of

SCENES, PAIRS, SAMPLES = 4_000, 16, 4


def figures(reward, numbers):
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((SCENES, PAIRS, numbers))
    rows = [sums_of(e, reward(np.concatenate([e, -e])), SAMPLES) for e in noise]
    return figures_of({"reward": np.array(rows)})["reward"]


@pytest.mark.parametrize("numbers", [1, 12])
def test_a_linear_reward_is_all_gradient(numbers):
    found = figures(lambda e: 3.0 * e.sum(axis=1), numbers)
    assert found["linear"] == pytest.approx(1.0, abs=4 * found["linear_error"] + 1e-3)
    assert found["even"] == pytest.approx(0.0, abs=1e-12)
    assert found["share"] == pytest.approx((SAMPLES - 1) / (numbers + SAMPLES), abs=4 * found["share_error"])
    assert found["spread"] == pytest.approx(3.0 * numbers**0.5, rel=0.05)
    assert found["share_error"] < 0.02


def test_a_reward_of_how_far_one_goes_has_no_gradient_and_is_even():
    found = figures(lambda e: np.square(e).sum(axis=1), 12)
    assert found["even"] == pytest.approx(1.0)
    assert abs(found["linear"]) < 4 * found["linear_error"]
    assert abs(found["share"]) < 4 * found["share_error"]


def test_what_is_half_chance_is_half_linear():
    rng = np.random.default_rng(1)
    found = figures(lambda e: e[:, 0] + rng.standard_normal(len(e)), 12)
    assert found["linear"] == pytest.approx(0.5, abs=4 * found["linear_error"] + 1e-3)
    # Half of what is by chance is alike in both of a pair.
    assert found["even"] == pytest.approx(0.25, abs=4 * found["even_error"])
