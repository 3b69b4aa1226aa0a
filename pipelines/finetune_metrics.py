"""A step's report as the metrics that people read: reward, losses, staleness, each pool's busy share, failures."""

from collections import deque
from collections.abc import Mapping, Sequence

from actors.coordinator import StepReport

WINDOW = 8
"""Steps over which busy shares and rates are averaged."""

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
    "judges_spread": "panel/spread",
    "judges_correlation": "panel/agreement",
}
_PAIR = "judges_correlation/"


class StepMetrics:
    """Turns step reports into metrics; remembers the last steps, since pools work on several steps at a time."""

    def __init__(self, workers: Mapping[str, int], parts: Sequence[str], started_s: float) -> None:
        """workers: of each pool (rollout, reward, learner). parts: of the reward. started_s: the phase's begin, seconds of the epoch."""
        self._workers, self._parts = workers, tuple(parts)
        self._times: deque[float] = deque([started_s], maxlen=WINDOW + 1)
        self._sums: deque[dict[str, float]] = deque(maxlen=WINDOW)

    def add(self, report: StepReport) -> dict[str, float]:
        """Metrics of one step.

        A pool's busy share is the time its workers spent on the rows of the last WINDOW steps over the time they had: seconds of work /
        (workers x seconds passed). The reward pool's work is the time its blocks were at the panel, its workers the blocks that may be
        there at once.
        """
        step_s = max(report.time_s - self._times[-1], 1e-6)
        self._times.append(report.time_s)
        self._sums.append(report.sums)
        window_s = max(self._times[-1] - self._times[0], 1e-6)
        sums, rows = report.sums, max(report.sums["rows"], 1.0)
        metrics = {self._name(name): value for name, value in report.metrics.items() if not name.startswith("dropped_")}
        metrics |= {f"failures/{n.removeprefix('dropped/')}": value for n, value in sums.items() if n.startswith("dropped/")}
        metrics |= {
            "stream/staleness_mean": sums["staleness"] / rows,
            "stream/staleness_max": max((float(n.removeprefix("staleness_")) for n in sums if n.startswith("staleness_")), default=0.0),
            "stream/rows_per_s": sum(past["rows"] for past in self._sums) / window_s,
            "stream/step_s": step_s,
            "stream/gate_wait_s": sums["gate_wait_s"],
        }
        metrics |= {f"ledger/{state}": float(count) for state, count in report.totals.items()}
        for pool, count in self._workers.items():
            metrics[f"pool/{pool}/busy_share"] = sum(past[f"{pool}_s"] for past in self._sums) / (count * window_s)
        for name, judged in ((n.removeprefix("part_rows/"), value) for n, value in sums.items() if n.startswith("part_rows/")):
            if judged:
                metrics[f"reward/part/{name}"] = sums[f"part/{name}"] / judged
        return metrics

    def _name(self, name: str) -> str:
        if not name.startswith(_PAIR):
            return _NAMES.get(name, name if "/" in name else f"learner/{name}")
        left, right = (self._parts[int(column)] for column in name.removeprefix(_PAIR).split("~"))
        return f"panel/rank_correlation/{left}-{right}"
