"""Which pool holds the others up, and what to change, by the busy shares of a run's last steps; docs/clusters.md has the same in words."""

from collections.abc import Mapping
from dataclasses import dataclass

BUSY = 0.7
"""A pool busier than this, and busier than the others, is the one they wait for."""
CURES = {
    "reward": "more judges (max_replicas, reward nodes), a larger batch_size, fewer tokens or questions (max_tokens, ask)",
    "rollout": "more rollout.actors, more finetune.blocks_per_rank",
    "learner": "as it should be; for more, learner.precision = bf16 or more learner_pool.ranks",
}
_GATE = "a larger staleness.max_staleness: ceil((T_rollout + T_reward + .3 s) / T_learner) + 2"
_ROOM = "more blocks at a time: finetune.blocks_per_rank, reward.blocks_in_flight"


@dataclass(frozen=True)
class Bottleneck:
    """pool: rollout, reward, learner, gate (waits for versions) or none. shares: of each pool, 0 to 1."""

    pool: str
    shares: Mapping[str, float]
    cure: str

    def sentence(self) -> str:
        """For people."""
        said = ", ".join(f"{pool} {share:.0%}" for pool, share in self.shares.items())
        held = {"gate": "rollouts wait for versions", "none": "no pool is busy"}.get(self.pool, f"{self.pool} holds the others up")
        return f"{held} (busy: {said}); {self.cure}"


def find_bottleneck(metrics: Mapping[str, float]) -> Bottleneck | None:
    """From one step's metrics (metrics.jsonl); None where they have no busy shares."""
    shares = {
        name.split("/")[1]: float(value) for name, value in metrics.items() if name.startswith("pool/") and name.endswith("/busy_share")
    }
    if not shares:
        return None
    pool = max(shares, key=lambda name: shares[name])
    if shares[pool] >= BUSY:
        return Bottleneck(pool, shares, CURES.get(pool, "more of it"))
    # `gate_wait_s` is the sum over the step's rows; a step in which they waited longer than it took was held at the gate.
    gated = metrics.get("stream/gate_wait_s", 0.0) > metrics.get("stream/step_s", float("inf"))
    return Bottleneck("gate" if gated else "none", shares, _GATE if gated else _ROOM)
