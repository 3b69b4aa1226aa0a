"""Step reports as metrics: shares, waits, rates and percentiles by hand."""

import pytest

from pipelines.finetune_metrics import WINDOW, StepMetrics, added_up
from pipelines.process_metrics import Processes
from pipelines.scaling import ScaleEvent
from tests.step_reports import WORKERS, report, usage


def test_a_step_says_how_every_pool_and_judge_did():
    metrics = StepMetrics(WORKERS, ("ear",), 100.0).add(report(0, 104.0, **{"judge/ear/failed/timeout": 1.0}))
    wanted = {
        "pool/rollout/busy_share": 2.0 / (2 * 4.0),
        "pool/reward/busy_share": 8.0 / (4 * 4.0),
        "pool/learner/busy_share": 0.5 / 4.0,
        "pool/rollout/queue_age_s": 0.5,
        "pool/reward/queue_age_s": 4.0,
        "pool/reward/queue_age_max_s": 6.0,
        "pool/reward/queue_depth": 8.0 / 4.0,
        "pool/rollout/rows_per_s": 7 / 4.0,
        "pool/reward/rows_per_s": 7 / 4.0,
        "pool/learner/rows_per_s": 6 / 4.0,
        "pool/reward/rows_per_s_busy": 8 * 4 / 8.0,
        "pool/learner/rows_per_s_busy": 8 / 0.5,
        "pool/reward/retries": 1.0,
        "stream/learner_wait_s": 3.5,
        "judge/ear/latency_p95_s": 0.5,
        "judge/ear/failed": 1.0,
        "judge/ear/failures/timeout": 1.0,
        "judge/ear/retries": 2.0,
        "failures/timeout": 2.0,
        "reward/part/ear": 3.0,
    }
    assert {name: metrics[name] for name in wanted} == pytest.approx(wanted, rel=0.03)


def test_percentiles_are_those_of_the_last_steps_together_and_counts_of_the_step_alone():
    made = StepMetrics(WORKERS, ("ear",), 100.0)
    made.add(report(0, 102.0, latencies=[0.1] * 95 + [9.0] * 5))
    metrics = made.add(report(1, 104.0, latencies=[0.1] * 95 + [9.0] * 5))
    assert metrics["judge/ear/latency_p50_s"] == pytest.approx(0.1, rel=0.03)
    assert metrics["judge/ear/latency_p99_s"] == pytest.approx(9.0, rel=0.03)
    assert metrics["judge/ear/verdicts"] == 8.0
    for step in range(2, 2 + WINDOW):  # the slow ones are out of the window
        metrics = made.add(report(step, 104.0 + 2 * step, latencies=[0.1] * 100))
    assert metrics["judge/ear/latency_p99_s"] == pytest.approx(0.1, rel=0.03)


def test_the_time_that_the_pools_took_to_start_is_in_the_first_step_alone():
    made = StepMetrics(WORKERS, ("ear",), 100.0)
    assert made.add(report(0, 180.0))["pool/learner/busy_share"] == pytest.approx(0.5 / 80)
    assert made.add(report(1, 181.0))["pool/learner/busy_share"] == pytest.approx(0.5)
    assert made.add(report(2, 182.0))["stream/rows_per_s"] == pytest.approx(8.0)


def test_a_pool_that_was_scaled_has_other_workers_from_then_on():
    made = StepMetrics(WORKERS, ("ear",), 100.0)
    before = made.add(report(0, 102.0))["pool/rollout/busy_share"]
    metrics = made.add(report(1, 104.0), [ScaleEvent(103.0, "rollout", 2, 4, "the queue was empty"), ScaleEvent(103.0, "ear", 1, 2, "")])
    assert metrics["pool/rollout/workers"] == 4.0
    assert metrics["pool/rollout/busy_share"] == pytest.approx(before / 2)
    assert metrics["scaling/events"] == 2.0


def test_processes_are_added_up_by_pool_with_rates_of_their_own():
    made = Processes(window=4)
    made.add([usage("rollout", "a:1", 10.0), usage("rollout", "a:2", 10.0, cpu_s=50.0), usage("ear", "a:3", 10.0)])
    later = [
        usage("rollout", "a:1", 20.0, cpu_s=5.0),
        usage("rollout", "a:2", 20.0, cpu_s=60.0, gpu_mib=512.0),
        usage("ear", "a:3", 20.0, busy_s=8.0, calls=4, waited_s=6.0),
    ]
    metrics = made.add(later)
    assert metrics == pytest.approx(
        {
            "pool/rollout/processes": 2.0,
            "pool/rollout/rss_mib": 200.0,
            "pool/rollout/gpu_mib": 512.0,
            "pool/rollout/cpu_cores": 1.5,
            "judge/ear/processes": 1.0,
            "judge/ear/rss_mib": 100.0,
            "judge/ear/cpu_cores": 0.0,
            "judge/ear/busy_share": 0.8,
            "judge/ear/queue_age_s": 1.5,
            "judge/ear/queue_depth": 0.6,
        }
    )
    for step in range(4):  # a:2 and the judge are not heard of any more
        metrics = made.add([usage("rollout", "a:1", 30.0 + step, cpu_s=5.0)])
    assert metrics["pool/rollout/processes"] == 1.0
    assert not [name for name in metrics if name.startswith("judge/")]


def test_sums_of_ranks_and_steps_are_one_addition():
    assert added_up([{"a": 1.0}, {"a": 2.0, "b": 3.0}]) == {"a": 3.0, "b": 3.0}
