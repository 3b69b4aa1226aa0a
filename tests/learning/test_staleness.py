"""The gate: at most K versions stale, or exactly K."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auricle.errors import ConfigError
from auricle.learning.staleness import may_use, required_version, suggested_max_staleness


@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 20))
def test_what_the_gate_lets_through_is_never_too_stale_nor_from_the_future(version, step, max_staleness):
    if may_use(version, step, max_staleness):
        assert 0 <= step - version <= max_staleness
    if may_use(version, step, max_staleness, exact=True):
        assert version == required_version(step, max_staleness)
        assert may_use(version, step, max_staleness)


@given(st.integers(0, 100), st.integers(0, 20))
def test_the_required_version_is_always_one_that_can_exist_when_it_is_needed(step, max_staleness):
    required = required_version(step, max_staleness)
    assert 0 <= required <= step
    assert may_use(required, step, max_staleness, exact=True)


def test_negative_numbers_are_refused_and_the_suggestion_follows_the_measured_rule():
    with pytest.raises(ConfigError, match="negative"):
        required_version(3, -1)
    assert suggested_max_staleness(rollout_s=0.2, reward_s=0.8, learner_s=0.4) == 6
    with pytest.raises(ConfigError, match="positive"):
        suggested_max_staleness(0.1, 0.1, 0.0)
