"""Step reports as a coordinator makes them, and all the metrics that they can come to."""

from typing import Any

from actors.coordinator import StepReport
from auricle.sketch import sketch
from auricle.usage import Usage
from pipelines.finetune_metrics import StepMetrics
from pipelines.scaling import ScaleEvent

WORKERS = {"rollout": 2, "reward": 4, "learner": 1}


def sums_of(latencies: Any = (0.5,), **more: float) -> dict[str, float]:
    """A step of two blocks of four rows."""
    sums = {
        "rows": 8.0,
        "staleness": 8.0,
        "staleness_1": 8.0,
        "rollout_s": 2.0,
        "gate_wait_s": 1.0,
        "reward_s": 8.0,
        "learner_s": 0.5,
        "learner_wait_s": 3.5,
        "blocks": 2.0,
        "faults": 1.0,
        "judged": 7.0,
        "trained": 6.0,
        "retries": 1.0,
        "dropped/timeout": 2.0,
        "judge/ear/verdicts": 8.0,
        "judge/ear/retries": 2.0,
        "part/ear": 21.0,
        "part_rows/ear": 7.0,
    }
    for pool, ages in (("rollout", (0.5, 0.5)), ("reward", (2.0, 6.0)), ("learner", (0.0, 0.1))):
        sums[f"age/{pool}"] = sum(ages)
        sums |= {f"ages/{pool}/{bucket}": float(count) for bucket, count in sketch(ages).items()}
    sums |= {f"judge/ear/latency/{bucket}": float(count) for bucket, count in sketch(latencies).items()}
    return sums | more


def report(step: int, time_s: float, usages: Any = (), metrics: Any = None, **sums: Any) -> StepReport:
    """A step's report."""
    return StepReport(step, time_s, {"reward": 3.0} | (metrics or {}), sums_of(**sums), {"issued": 40}, usages=tuple(usages))


def usage(pool: str, key: str, time_s: float, **more: Any) -> Usage:
    """What a process said of itself."""
    return Usage(pool, key, time_s, **({"rss_mib": 100.0, "cpu_s": 0.0} | more))


def every_metric() -> dict[str, float]:
    """The metrics of a step in which everything is known: pools, judges, GPUs, failures, a change of size."""
    made = StepMetrics(WORKERS, ("ear",), 100.0)
    for step in range(2):
        known = {"time_s": 104.0 + 4 * step, "gpu_mib": 512.0, "cpu_s": 2.0 * step}
        usages = [usage(pool, f"a:{place}", **known) for place, pool in enumerate(WORKERS)]
        usages.append(usage("ear", "a:9", busy_s=2.0 * step, calls=3 * step, waited_s=1.0 * step, **known))
        scaled = [ScaleEvent(105.0, "rollout", 1, 2, "")] * step
        rest = {"metrics": {"reward_std": 0.5, "kl": 0.1, "policy_loss": 0.2}, "judge/ear/failed/timeout": 1.0}
        metrics = made.add(report(step, 104.0 + 4 * step, usages, **rest), scaled)
    return metrics
