"""What a step's rows tell of the pools they came through: how long they waited and where, what each judge said and how long it took.

All of it are sums and counts, which add up over learner ranks and over steps; percentiles come from sketches (`auricle.sketch`). Nothing
of this is among the columns that a learner reads: times never touch an update.

Times of a block: made by the rollout pool (`made_at_s`) --waits--> a reward client begins --judges--> `judged_at_s` --waits--> `taken_at_s`
by the learner. They are seconds of the epoch; where two nodes' clocks differ by more than a wait, it is wrong, but never negative.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from auricle.sketch import sketch

POOLS = ("rollout", "reward", "learner")
"""The pools of a stream, in their order. What waits before them: rollouts at the gate, made blocks, judged blocks."""


def pool_sums(rows: Mapping[str, np.ndarray], verdicts: Sequence[Mapping[str, Any]], rows_per_block: int) -> dict[str, float]:
    """Counts by block: `blocks`, `age/POOL` (seconds waited), `ages/POOL/BUCKET`, `retries` (calls of the panel beyond the first); by row:
    `faults` (no scene), `judged` (somebody's verdict is a score); then those of the judges."""
    per_block = slice(None, None, rows_per_block)  # a block's rows lie side by side, and have its times each
    ages = {
        "rollout": rows["gate_wait_s"][per_block] * rows_per_block,
        "reward": rows["reward_wait_s"][per_block],
        "learner": np.maximum(rows["taken_at_s"] - rows["judged_at_s"], 0.0)[per_block],
    }
    sums = {"blocks": float(len(ages["rollout"])), "retries": float(rows["retries"][per_block].sum())}
    for pool, values in ages.items():
        sums[f"age/{pool}"] = float(values.sum())
        sums |= {f"ages/{pool}/{bucket}": float(count) for bucket, count in sketch(values.tolist()).items()}
    sums["faults"] = float(np.count_nonzero(rows["fault"] != ""))
    sums["judged"] = float(sum(any(one["state"] == "scored" for one in answer.values()) for answer in verdicts))
    return sums | judge_sums(verdicts)


def judge_sums(verdicts: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """For each judge: `judge/NAME/verdicts`, `failed/REASON`, `retries` (tries beyond the first) and a sketch `latency/BUCKET`.

    verdicts: one answer of the panel a row. A verdict that nobody was asked for (a clip without words, say) has no latency.
    """
    sums: Counter[str] = Counter()
    latencies: dict[str, list[float]] = {}
    for answer in verdicts:
        for judge, verdict in answer.items():
            sums[f"judge/{judge}/verdicts"] += 1
            sums[f"judge/{judge}/retries"] += max(0, (verdict.get("attempts") or 0) - 1)
            if verdict["state"] == "failed":
                sums[f"judge/{judge}/failed/{verdict.get('reason') or 'unknown'}"] += 1
            if verdict.get("latency_s"):
                latencies.setdefault(judge, []).append(float(verdict["latency_s"]))
    for judge, values in latencies.items():
        sums.update({f"judge/{judge}/latency/{bucket}": count for bucket, count in sketch(values).items()})
    return {name: float(count) for name, count in sums.items()}


def verdicts_of(rows: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """The rows' answers of the panel."""
    return [json.loads(text) for text in rows["verdicts"]]
