"""Learner ranks as Ray actors: any number of them makes the same update, and a lost or late rank never goes unnoticed."""

import os
import signal
import time
from functools import partial

import numpy as np
import pytest

from actors.learner import PolicyLearner
from actors.learner_pool import LearnerPool
from auricle.errors import DeadlineError, LearningError, PoolError
from auricle.learning.config import LearnerConfig, LearnerPoolConfig
from tests.actors.rows import EXPLORATION, chosen, small_enhancer, stream_rows

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_enhancer(tmp_path_factory.mktemp("enhancer"))


def pool(folder, ranks, *, stage=2, call_timeout_s=120.0):
    build = partial(PolicyLearner, LearnerConfig(lr=1e-3, zero_stage=stage, minibatch_scenes=3), str(folder), EXPLORATION, [1.0])
    return LearnerPool(build, LearnerPoolConfig(ranks=ranks, num_cpus=0.1, call_timeout_s=call_timeout_s))


def update(learners, folder, step, ranks):
    """One step with the rows shared out; the first rank's share is made uneven by a failed verdict."""
    rows = stream_rows(folder, step)
    rows["parts"][2] = np.nan
    share = len(rows["rollout_id"]) // ranks
    return learners.call_each("update_rows", [[chosen(rows, slice(rank * share, (rank + 1) * share))] for rank in range(ranks)])


def test_two_ranks_make_the_update_of_one_and_their_checkpoint_serves_one(ray_local, folder, tmp_path):
    with pool(folder, 2) as two:
        reports = update(two, folder, 0, 2)
        two.call("save", str(tmp_path / "engine"))
        update(two, folder, 1, 2)
        from_two = two.call("weights")
    with pool(folder, 1) as one:
        [report] = update(one, folder, 0, 1)
        update(one, folder, 1, 1)
        [from_one] = one.call("weights")
    assert reports[0].metrics == reports[1].metrics
    assert reports[0].metrics["rows_kept"] == report.metrics["rows_kept"] == 6  # a lone sample falls out with its failed sibling
    for name, value in report.metrics.items():
        assert reports[0].metrics[name] == pytest.approx(value, abs=2e-5), name
    for name, value in from_one.items():
        np.testing.assert_allclose(from_two[0][name], value, atol=3e-6, err_msg=name)
        assert np.array_equal(from_two[0][name], from_two[1][name])
    one = pool(folder, 1)
    try:
        one.start(tmp_path / "engine")
        update(one, folder, 1, 1)
        for name, value in one.call("weights")[0].items():
            np.testing.assert_allclose(value, from_two[0][name], atol=3e-6, err_msg=name)
    finally:
        one.stop()


def test_a_killed_rank_is_a_pool_error_and_the_rebuilt_ranks_go_on_to_the_bit(ray_local, folder, tmp_path):
    with pool(folder, 2, call_timeout_s=60.0) as learners:
        update(learners, folder, 0, 2)
        learners.call("save", str(tmp_path / "engine"))
        update(learners, folder, 1, 2)
        expected = learners.call("weights")[0]
        os.kill(learners.places[1].pid, signal.SIGKILL)
        with pytest.raises(PoolError, match=r"learner rank 1 \(pid \d+ on .*\) was lost in 'update_rows': its process ended"):
            update(learners, folder, 2, 2)
        with pytest.raises(PoolError, match="rebuild"):
            learners.call("weights")
        learners.rebuild(tmp_path / "engine")
        update(learners, folder, 1, 2)
        again = learners.call("weights")[0]
    assert all(np.array_equal(value, again[name]) for name, value in expected.items())


def test_a_rank_that_hangs_ends_in_a_deadline_error_and_rebuilds_are_counted(ray_local, folder):
    build = partial(PolicyLearner, LearnerConfig(), str(folder), EXPLORATION, [1.0])
    learners = LearnerPool(build, LearnerPoolConfig(num_cpus=0.1, max_rebuilds=0))
    learners.start()
    hung = learners.ranks[0].apply.remote(lambda _learner: time.sleep(600))
    with pytest.raises(DeadlineError, match=r"rank\(s\) \[0\] did not finish 'weights' in 2 s"):
        learners.call("weights", timeout_s=2.0)
    assert not learners.ranks
    ready, _ = ray_local.wait([hung], timeout=30)
    assert ready, "the hung rank was not stopped"
    with pytest.raises(PoolError, match="max_rebuilds = 0"):
        learners.rebuild(None)


def test_what_a_learner_says_on_purpose_arrives_as_it_was_said(ray_local, folder):
    with pool(folder, 1, stage=0) as learners, pytest.raises(LearningError, match=r"rows of step \[5\]"):
        update(learners, folder, 5, 1)
