"""A step's report as the metrics that people read: reward, losses, staleness, each pool's busy share, failures."""

from actors.coordinator import StepReport
from pipelines.settings import Settings

_NAMES = {
    "reward": "reward/mean",
    "reward_std": "reward/std",
    "policy_loss": "loss/policy",
    "kl": "loss/kl",
    "anchor_loss": "loss/anchor",
    "value_loss": "loss/value",
    "grad_norm": "loss/grad_norm",
    "first_clip_fraction": "ppo/first_clip_fraction",
    "first_mean_abs_log_ratio": "ppo/first_mean_abs_log_ratio",
    "first_max_abs_log_ratio": "ppo/first_max_abs_log_ratio",
    "first_effective_share": "ppo/first_effective_share",
    "later_clip_fraction": "ppo/clip_fraction",
    "later_mean_abs_log_ratio": "ppo/mean_abs_log_ratio",
    "later_max_abs_log_ratio": "ppo/max_abs_log_ratio",
    "later_effective_share": "ppo/effective_share",
}


def step_metrics(report: StepReport, wall_s: float, settings: Settings) -> dict[str, float]:
    """Metrics of one step. wall_s: seconds since the step before it ended.

    A pool's busy share is the time its workers spent on this step's rows over the time they had: seconds of work / (workers x wall_s). The
    reward pool's work is the time its blocks were at the panel, over the blocks that may be there at a time.
    """
    sums = report.sums
    rows = max(sums["rows"], 1.0)
    wall_s = max(wall_s, 1e-6)
    metrics = {_NAMES.get(name, f"learner/{name}"): value for name, value in report.metrics.items() if not name.startswith("dropped_")}
    metrics |= {f"failures/{name.removeprefix('dropped_')}": v for name, v in report.metrics.items() if name.startswith("dropped_")}
    metrics |= {
        "stream/staleness_mean": sums["staleness"] / rows,
        "stream/staleness_max": max((float(n.removeprefix("staleness_")) for n in sums if n.startswith("staleness_")), default=0.0),
        "stream/rows_per_s": rows / wall_s,
        "stream/step_s": wall_s,
        "stream/gate_wait_s": sums["gate_wait_s"],
        "pool/rollout/busy_share": sums["rollout_s"] / (settings.rollout.actors * wall_s),
        "pool/reward/busy_share": sums["reward_s"] / (settings.reward.clients * settings.reward.blocks_in_flight * wall_s),
        "pool/learner/busy_share": sums["learner_s"] / (settings.learner_pool.ranks * wall_s),
    }
    metrics |= {f"stream/{name}": value for name, value in sums.items() if name.startswith("staleness_")}
    for name, rows_judged in ((n.removeprefix("part_rows/"), v) for n, v in sums.items() if n.startswith("part_rows/")):
        if rows_judged:
            metrics[f"reward/part/{name}"] = sums[f"part/{name}"] / rows_judged
    return metrics
