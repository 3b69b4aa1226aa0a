"""Which pool holds the others up, and what to change, by busy shares and queues, of a run's last steps or of all; pure functions.

The rule, in this order (docs/clusters.md has it in words):
1. Pools busier than BUSY: the one behind which work piles up for longer than a step takes, else the busiest.
2. None is, but a judge's calls wait for their turn longer than they are judged: the reward pool. Its busy share counts blocks at the panel
   against those that may be there; staleness may keep that low however long the judges' queue is.
3. None is, but made blocks wait for a reward client for longer than a step takes: the reward pool's clients.
4. Rollouts wait at the gate for longer than a step takes: the staleness bound. Else no pool is short; there are too few blocks at a time.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

BUSY = 0.7
"""A pool busier than this, and busier than the others, is the one they wait for."""
CURES = {
    "reward": "more judges (max_replicas, reward nodes), a larger batch_size, fewer tokens or questions (max_tokens, ask)",
    "rollout": "more rollout.actors, more finetune.blocks_per_rank",
    "learner": "as it should be; for more, learner.precision = bf16 or more learner_pool.ranks",
}
LONGEST = 5.0
"""Median steps that a single one counts for at most."""
_GATE = "a larger staleness.max_staleness: ceil((T_rollout + T_reward + .3 s) / T_learner) + 2"
_ROOM = "more blocks at a time: finetune.blocks_per_rank, reward.blocks_in_flight"
_CLIENTS = "more reward.clients or reward.blocks_in_flight: judges are free, and blocks wait to be brought to them"
_AVERAGED = ("pool/", "judge/", "stream/")


@dataclass(frozen=True)
class Bottleneck:
    """pool: rollout, reward, learner, gate (waits for versions) or none. shares, ages: of each pool, busy 0 to 1, and a block's mean wait
    before it, in seconds. judge: the one that takes longest; with its 95th percentile of latency, and a call's mean wait, in seconds.
    """

    pool: str
    shares: Mapping[str, float]
    cure: str
    ages: Mapping[str, float] = field(default_factory=dict)
    judge: str = ""
    judge_latency_s: float | None = None
    judge_queue_s: float | None = None

    def sentence(self) -> str:
        """For people."""
        return f"{self.headline()} ({self.figures()}); {self.cure}"

    def headline(self) -> str:
        """The first half of the sentence: who it is."""
        return {"gate": "rollouts wait for versions", "none": "no pool is busy"}.get(self.pool, f"{self.pool} holds the others up")

    def figures(self) -> str:
        """What it was told by."""
        said = "busy: " + ", ".join(f"{pool} {share:.0%}" for pool, share in self.shares.items())
        if self.pool in ("rollout", "reward", "learner") and self.ages.get(self.pool, 0.0) >= 0.05:
            said += f"; blocks wait {self.ages[self.pool]:.1f} s for it"
        if self.pool == "reward" and self.judge_latency_s is not None:
            queue = f", calls wait {self.judge_queue_s:.1f} s for it" if self.judge_queue_s is not None else ""
            said += f"; slowest judge: {self.judge}, 95 % within {self.judge_latency_s:.1f} s{queue}"
        return said


def find_bottleneck(metrics: Mapping[str, float]) -> Bottleneck | None:
    """From one step's metrics (metrics.jsonl) or from means over steps; None where they have no busy shares."""
    shares = _of_pools(metrics, "busy_share")
    if not shares:
        return None
    ages, step_s = _of_pools(metrics, "queue_age_s"), metrics.get("stream/step_s", math.inf)
    judge, latency_s, queued_s = _slowest_judge(metrics)
    waits_most = latency_s is not None and queued_s > latency_s / 2
    cures = CURES | ({"reward": _judge_cure(judge, waits_most)} if judge else {})

    def found(pool: str, cure: str) -> Bottleneck:
        told = (metrics.get(f"judge/{judge}/{what}") for what in ("latency_p95_s", "queue_age_s"))
        return Bottleneck(pool, shares, cure, ages, judge, *told)

    busy = [name for name, share in shares.items() if share >= BUSY]
    piled_up = [name for name in busy if name != "rollout" and ages.get(name, 0.0) > step_s]
    if busy:
        pool = max(piled_up, key=lambda name: ages[name]) if piled_up else max(busy, key=lambda name: shares[name])
        return found(pool, cures.get(pool, "more of it"))
    if waits_most and queued_s > min(1.0, step_s):
        return found("reward", cures["reward"])
    if ages.get("reward", 0.0) > step_s:
        return found("reward", _CLIENTS)
    # `gate_wait_s` is the sum over the step's rows; a step in which they waited longer than it took was held at the gate.
    gated = metrics.get("stream/gate_wait_s", 0.0) > step_s
    return found("gate" if gated else "none", _GATE if gated else _ROOM)


def averaged(steps: Sequence[Mapping[str, float | None]]) -> dict[str, float]:
    """Means of what tells of pools, judges and stream over many steps' metrics, each step weighted by the time it took.

    A step that is far longer than most (a phase's first, while the pools start) counts as LONGEST median steps.
    """
    usual_s = median([metrics.get("stream/step_s") or 1.0 for metrics in steps]) if steps else 1.0
    sums: dict[str, float] = {}
    weights: dict[str, float] = {}
    for metrics in steps:
        weight = min(metrics.get("stream/step_s") or 1.0, LONGEST * usual_s)
        for name, value in metrics.items():
            if value is not None and math.isfinite(value) and name.startswith(_AVERAGED):
                sums[name] = sums.get(name, 0.0) + weight * value
                weights[name] = weights.get(name, 0.0) + weight
    return {name: total / weights[name] for name, total in sums.items()}


def _of_pools(metrics: Mapping[str, float], what: str) -> dict[str, float]:
    return {name.split("/")[1]: float(value) for name, value in metrics.items() if name.startswith("pool/") and name.endswith(f"/{what}")}


def _slowest_judge(metrics: Mapping[str, float]) -> tuple[str, float | None, float]:
    """Its name, its median latency, and how much of that its calls wait for their turn, in seconds."""
    latencies = {
        name.split("/")[1]: value for name, value in metrics.items() if name.startswith("judge/") and name.endswith("/latency_p50_s")
    }
    if not latencies:
        return "", None, 0.0
    judge = max(latencies, key=lambda name: latencies[name])
    return judge, latencies[judge], metrics.get(f"judge/{judge}/queue_age_s", 0.0)


def _judge_cure(judge: str, waits_most: bool) -> str:
    if waits_most:
        return f"calls wait longer for {judge} than it judges: more of its max_replicas, more reward nodes, a larger batch_size"
    return (
        f"{judge} takes its time: fewer tokens or questions (max_tokens, ask), a larger batch_size, a smaller model; or more max_replicas"
    )
