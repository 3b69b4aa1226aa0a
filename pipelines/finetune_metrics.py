"""A step's report as the metrics that people read: reward, losses, staleness, failures, and how each pool and each judge is doing."""

from collections import deque
from collections.abc import Mapping, Sequence

from actors.coordinator import StepReport
from actors.pool_sums import POOLS
from auricle.sketch import quantile, value_of
from pipelines.process_metrics import Processes
from pipelines.scaling import ScaleEvent

WINDOW = 8
"""Steps over which busy shares, rates, waits and percentiles are taken."""
QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}

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

Sums = Mapping[str, float]


class StepMetrics:
    """Turns step reports into metrics; remembers the last steps, since pools work on several steps at a time."""

    def __init__(self, workers: Mapping[str, int], parts: Sequence[str], started_s: float) -> None:
        """workers: of each pool (rollout, reward, learner). parts: of the reward. started_s: the phase's begin, seconds of the epoch."""
        self._workers, self._parts = dict(workers), tuple(parts)
        self._started_s = started_s
        self._times: deque[float] = deque([started_s], maxlen=WINDOW + 1)
        self._sums: deque[Sums] = deque(maxlen=WINDOW)
        self._processes = Processes(WINDOW)

    def add(self, report: StepReport, scaled: Sequence[ScaleEvent] = ()) -> dict[str, float]:
        """Metrics of one step. scaled: what happened to the pools' sizes since the last one.

        A pool's busy share is the time its workers spent on the rows of the last WINDOW steps over the time they had: seconds of work /
        (workers x seconds passed). Once there are two steps the first one is left out: it is as long as the pools took to start. The
        reward pool's work is the time its blocks were at the panel, its workers the blocks that may be there at once.
        """
        step_s = max(report.time_s - self._times[-1], 1e-6)
        self._times.append(report.time_s)
        self._sums.append(report.sums)
        times, window = list(self._times), list(self._sums)
        if len(window) > 1 and times[0] == self._started_s:
            times, window = times[1:], window[1:]
        window_s = max(times[-1] - times[0], 1e-6)
        sums, rows = report.sums, max(report.sums["rows"], 1.0)
        metrics = {self._name(name): value for name, value in report.metrics.items() if not name.startswith("dropped_")}
        metrics |= {f"failures/{n.removeprefix('dropped/')}": value for n, value in sums.items() if n.startswith("dropped/")}
        metrics |= {
            "stream/staleness_mean": sums["staleness"] / rows,
            "stream/staleness_max": max((float(n.removeprefix("staleness_")) for n in sums if n.startswith("staleness_")), default=0.0),
            "stream/rows_per_s": sum(past["rows"] for past in window) / window_s,
            "stream/step_s": step_s,
            "stream/gate_wait_s": sums["gate_wait_s"],
            "stream/learner_wait_s": sums.get("learner_wait_s", 0.0) / self._workers.get("learner", 1),
            "scaling/events": float(len(scaled)),
        }
        metrics |= {f"ledger/{state}": float(count) for state, count in report.totals.items()}
        metrics |= self._sizes(scaled)
        past = added_up(window)
        for pool, count in self._workers.items():
            metrics |= pool_metrics(pool, count, past, window_s)
        metrics["pool/reward/retries"] = sums.get("retries", 0.0)
        metrics |= judge_metrics(sums, past)
        metrics |= self._processes.add(report.usages)
        for name, judged in ((n.removeprefix("part_rows/"), value) for n, value in sums.items() if n.startswith("part_rows/")):
            if judged:
                metrics[f"reward/part/{name}"] = sums[f"part/{name}"] / judged
        return metrics

    def _sizes(self, scaled: Sequence[ScaleEvent]) -> dict[str, float]:
        """Workers of each pool. A pool that was scaled has another number of them from then on."""
        for event in scaled:
            if event.pool in self._workers and event.pool != "reward":  # whose workers are blocks, not processes
                self._workers[event.pool] = max(1, event.to_size)
        return {f"pool/{pool}/workers": float(count) for pool, count in self._workers.items()}

    def _name(self, name: str) -> str:
        if not name.startswith(_PAIR):
            return _NAMES.get(name, name if "/" in name else f"learner/{name}")
        left, right = (self._parts[int(column)] for column in name.removeprefix(_PAIR).split("~"))
        return f"panel/rank_correlation/{left}-{right}"


def pool_metrics(pool: str, workers: int, past: Sums, window_s: float) -> dict[str, float]:
    """How a pool did in the last `window_s` seconds, from what their steps come to.

    queue_age_s: the mean wait of a block before the pool (rollouts: at the gate), queue_age_max_s the longest; queue_depth: how many
    blocks waited there at a time, on average (Little's law: seconds waited / seconds passed). rows_per_s: rows that it brought to something
    (rollouts without a fault, judged rows, trained ones); rows_per_s_busy: what it would do if it never waited.
    """
    worked_s, rows = past.get(f"{pool}_s", 0.0), past.get("rows", 0.0)
    metrics = {f"pool/{pool}/busy_share": worked_s / (workers * window_s)}
    if pool not in POOLS or not past.get("blocks"):
        return metrics
    waited_s = past[f"age/{pool}"]
    longest = max((bucket for bucket in _buckets(past, f"ages/{pool}/")), default=0)
    useful = {"rollout": rows - past["faults"], "reward": past["judged"], "learner": past["trained"]}[pool]
    metrics |= {
        f"pool/{pool}/queue_age_s": waited_s / past["blocks"],
        f"pool/{pool}/queue_age_max_s": value_of(longest),
        f"pool/{pool}/queue_depth": waited_s / window_s,
        f"pool/{pool}/rows_per_s": useful / window_s,
    }
    if worked_s > 0:
        metrics[f"pool/{pool}/rows_per_s_busy"] = rows * workers / worked_s
    return metrics


def judge_metrics(sums: Sums, past: Sums) -> dict[str, float]:
    """How each judge did. sums: of this step, for counts; past: of the last WINDOW steps, for percentiles of the latency in seconds."""
    metrics: dict[str, float] = {}
    for name in sorted({name.split("/")[1] for name in past if name.startswith("judge/")}):
        prefix = f"judge/{name}/failed/"
        failed = {key.removeprefix(prefix): count for key, count in sums.items() if key.startswith(prefix)}
        metrics[f"judge/{name}/verdicts"] = sums.get(f"judge/{name}/verdicts", 0.0)
        metrics[f"judge/{name}/failed"] = sum(failed.values())
        metrics[f"judge/{name}/retries"] = sums.get(f"judge/{name}/retries", 0.0)
        metrics |= {f"judge/{name}/failures/{reason}": count for reason, count in failed.items()}
        if latencies := _buckets(past, f"judge/{name}/latency/"):
            metrics |= {f"judge/{name}/latency_{which}_s": quantile(latencies, share) for which, share in QUANTILES.items()}
    return metrics


def added_up(steps: Sequence[Sums]) -> dict[str, float]:
    """The sums of several steps."""
    total: dict[str, float] = {}
    for sums in steps:
        for name, value in sums.items():
            total[name] = total.get(name, 0.0) + value
    return total


def _buckets(sums: Sums, prefix: str) -> dict[int, float]:
    return {int(name.removeprefix(prefix)): count for name, count in sums.items() if name.startswith(prefix)}
