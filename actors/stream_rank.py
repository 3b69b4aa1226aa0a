"""A learner rank that feeds itself from its share of the stream.

Invariants:
- A rank's n-th share of the stream belongs to step first_step + n; a share of another step is an error, never trained.
- After update s the version s + 1 is published before the step is reported, so that the gate opens as soon as it may.
- All ranks get one directive a step, so that they write checkpoints, and stop, together.

    collect(step) -> update -> publish (rank 0) -> report -> Directive: [checkpoint -> commit (rank 0)] -> [stop] -> next step
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.data import DataIterator
from safetensors.numpy import save_file

from actors.coordinator import Directive, RankReport, partial_folder
from actors.learner_rank import LearnerRank
from actors.stream import StreamPlan
from auricle.errors import PoolError
from auricle.ledger import LedgerEntry


@dataclass(frozen=True)
class StreamLinks:
    """The actors a rank talks to, and its deadlines. call_timeout_s: of every remote call, in seconds."""

    store: Any
    coordinator: Any
    run_folder: str
    call_timeout_s: float


class StreamRank(LearnerRank):
    """`LearnerRank` with the stream's loop; a Ray actor, one a rank."""

    def run_stream(self, shard: DataIterator, plan: StreamPlan, links: StreamLinks) -> str:
        """Learn from the stream until the plan's end or a directive to stop. Returns why it stopped (`phase` at the plan's end)."""
        blocks = iter(shard.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=1))
        for step in range(plan.first_step, plan.end_step):
            began = time.monotonic()
            rows = collect(blocks, step, plan.rows_per_rank)
            collected = time.monotonic()
            report = self.update(rows)
            learned = time.monotonic()
            weights = self.weights()
            if self.rank == 0:
                ray.get(links.store.publish.remote(step + 1, weights), timeout=links.call_timeout_s)
            sums = stream_sums(rows, step) | {
                "learner_wait_s": collected - began,
                "learner_s": learned - collected,
                "publish_s": time.monotonic() - learned,
            }
            entries = ledger_entries(rows, report.states, report.rewards)
            rank_report = RankReport(step, report.metrics, sums, entries)
            directive: Directive = ray.get(links.coordinator.step_done.remote(self.rank, rank_report), timeout=links.call_timeout_s)
            if directive.checkpoint:
                self._checkpoint(step + 1, links)
            if directive.stop:
                return directive.reason
        return "phase"

    def _checkpoint(self, step: int, links: StreamLinks) -> None:
        """Write the checkpoint of `step`; every rank takes part, rank 0 makes it final."""
        partial = partial_folder(Path(links.run_folder), step)
        partial.mkdir(parents=True, exist_ok=True)
        self.save(str(partial / "engine"))
        if self.rank == 0:
            self.save_policy(str(partial / "enhancer"))
            self._save_versions(partial / "versions", links)
            ray.get(links.coordinator.commit.remote(step), timeout=links.call_timeout_s)

    def _save_versions(self, folder: Path, links: StreamLinks) -> None:
        folder.mkdir(exist_ok=True)
        kept = ray.get(links.store.snapshot.remote(), timeout=links.call_timeout_s)
        for version, [reference] in kept.items():
            weights = ray.get(reference, timeout=links.call_timeout_s)
            save_file({name: np.ascontiguousarray(value) for name, value in weights.items()}, folder / f"v{version:06d}.safetensors")


def collect(blocks: Iterator[dict[str, np.ndarray]], step: int, rows: int) -> dict[str, np.ndarray]:
    """A rank's rows of `step`, from as many blocks as it takes. Raises PoolError where the stream ends early or is out of step."""
    taken: list[dict[str, np.ndarray]] = []
    count = 0
    while count < rows:
        block = next(blocks, None)
        if block is None:
            raise PoolError(f"the stream ended at step {step} with {count} of {rows} rows; a stage of it gave up (its error stands above)")
        if not np.all(block["step"] == step):
            raise PoolError(f"the stream is out of step: expected rows of step {step}, got {sorted(set(block['step'].tolist()))}")
        taken.append(block)
        count += len(block["step"])
    return {name: np.concatenate([block[name] for block in taken]) for name in taken[0]}


def stream_sums(rows: dict[str, np.ndarray], step: int) -> dict[str, float]:
    """What a step's rows tell of the pools before the learner; summed over ranks."""
    staleness = step - rows["version"]
    return {
        "rows": float(len(staleness)),
        "staleness": float(staleness.sum()),
        "rollout_s": float(rows["rollout_s"].sum()),
        "gate_wait_s": float(rows["gate_wait_s"].sum()),
        "reward_s": float(rows["reward_s"].sum()),
        **{f"staleness_{lag}": float((staleness == lag).sum()) for lag in np.unique(staleness).tolist()},
    }


def ledger_entries(rows: dict[str, np.ndarray], states: list[tuple[str, str]], rewards: np.ndarray) -> list[LedgerEntry]:
    """One entry a row: `states` are (state, reason) as the learner decided."""
    entries = []
    for row, (state, reason) in enumerate(states):
        fault = str(rows["fault"][row])
        entries.append(
            LedgerEntry(
                rollout_id=int(rows["rollout_id"][row]),
                step=int(rows["step"][row]),
                scene_id=str(rows["scene_id"][row]),
                sample=int(rows["sample"][row]),
                version=int(rows["version"][row]),
                state="trained" if state == "trained" else "dropped",
                reason=(fault or reason) if state != "trained" else "",
                reward=float(rewards[row]) if state == "trained" else None,
                verdicts=json.loads(rows["verdicts"][row]),
            )
        )
    return entries
