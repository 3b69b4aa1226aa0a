"""Which pool holds the others up: the rule, case by case."""

import pytest

from pipelines.reporting.bottleneck import averaged, find_bottleneck


def shares(rollout: float, reward: float, learner: float, **more: float) -> dict[str, float]:
    return {f"pool/{pool}/busy_share": share for pool, share in (("rollout", rollout), ("reward", reward), ("learner", learner))} | {
        name.replace("__", "/"): value for name, value in more.items()
    }


EAR = {"judge__ear__latency_p50_s": 8.0, "judge__ear__latency_p95_s": 11.0, "judge__words__latency_p50_s": 0.1}


@pytest.mark.parametrize(
    ("metrics", "pool", "says"),
    [
        (shares(0.1, 0.95, 0.2), "reward", "max_replicas"),
        (shares(0.9, 0.5, 0.2), "rollout", "rollout.actors"),
        (shares(0.1, 0.5, 0.97), "learner", "as it should be"),
        (shares(0.1, 0.2, 0.3, stream__gate_wait_s=40.0, stream__step_s=2.0), "gate", "max_staleness"),
        (shares(0.1, 0.2, 0.3, stream__gate_wait_s=0.1, stream__step_s=2.0), "none", "blocks"),
        # Two are busy: work piles up behind the one that is short, though the other is a little busier.
        (shares(0.85, 0.8, 0.2, pool__reward__queue_age_s=9.0, stream__step_s=2.0), "reward", "blocks wait 9.0 s for it"),
        (shares(0.85, 0.8, 0.2, pool__reward__queue_age_s=1.0, stream__step_s=2.0), "rollout", "rollout.actors"),
        # Staleness keeps few blocks at the panel, so its busy share is low; its judges' queue tells.
        (
            shares(0.1, 0.4, 0.3, judge__ear__queue_age_s=6.0, stream__gate_wait_s=40.0, stream__step_s=2.0, **EAR),
            "reward",
            "wait longer for ear",
        ),
        (shares(0.1, 0.4, 0.3, judge__ear__queue_age_s=1.0, stream__gate_wait_s=40.0, stream__step_s=2.0, **EAR), "gate", "max_staleness"),
        (shares(0.1, 0.4, 0.3, pool__reward__queue_age_s=5.0, stream__step_s=2.0), "reward", "reward.clients"),
        (shares(0.1, 0.9, 0.3, judge__ear__queue_age_s=1.0, stream__step_s=2.0, **EAR), "reward", "ear takes its time"),
        (shares(0.1, 0.9, 0.3, **EAR), "reward", "slowest judge: ear, 95 % within 11.0 s); "),
    ],
)
def test_the_pool_that_holds_the_others_up_is_named_with_a_cure(metrics: dict[str, float], pool: str, says: str) -> None:
    found = find_bottleneck(metrics)
    assert found is not None
    assert found.pool == pool
    assert says in found.sentence()


def test_without_busy_shares_nothing_is_made_up() -> None:
    assert find_bottleneck({"reward/mean": 3.0}) is None


def test_over_the_run_a_long_step_counts_for_more_and_the_verdict_may_be_another_than_now() -> None:
    slow, quick = shares(0.1, 0.95, 0.1, stream__step_s=30.0), shares(0.2, 0.2, 0.9, stream__step_s=1.0)
    run = averaged([slow, slow, quick, quick | {"pool/reward/rss_mib": None, "reward/mean": 2.0}])
    assert run["pool/reward/busy_share"] == pytest.approx((60 * 0.95 + 2 * 0.2) / 62)
    assert "reward/mean" not in run
    first = shares(0.0, 0.01, 0.0, stream__step_s=900.0)  # while the pools start
    assert averaged([first, *[quick] * 9])["pool/learner/busy_share"] == pytest.approx(0.9 * 9 / 14)
    assert [found.pool for found in (find_bottleneck(run), find_bottleneck(quick)) if found] == ["reward", "learner"]
