"""How a learner rank feeds itself from its share of the stream.

Invariants:
- A rank's n-th share of the stream belongs to step first_step + n; a share of another step is an error, never trained.
- After update s the version s + 1 is published before the step is reported, so that the gate opens as soon as it may.
- All ranks get one directive a step, so that they write checkpoints, and stop, together.

    collect(step) -> update -> publish (rank 0) -> report -> Directive: [checkpoint -> commit (rank 0)] -> [stop] -> next step
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import ray
import torch.distributed as dist
from ray.data import DataIterator
from safetensors.numpy import save_file

from actors.coordinator import Directive, RankReport, partial_folder
from actors.home import passing_folder, pieces_of, sees
from actors.pool_sums import pool_sums, verdicts_of
from actors.stream import StreamPlan
from auricle.errors import PoolError
from auricle.files import on_disk
from auricle.learning.outcome import RowOutcome, UpdateReport
from auricle.ledger import LedgerEntry
from auricle.pulse import during
from auricle.usage import UsageMeter, from_texts


class StreamLearner(Protocol):
    """A policy's learner as the stream feeds it: `actors.learner.PolicyLearner` or `actors.answer_learner.AnswerLearner`."""

    version: int

    def update_rows(self, columns: Mapping[str, Any]) -> UpdateReport: ...

    def weights(self) -> dict[str, np.ndarray]: ...

    def export(self, folder: Path, weights: Mapping[str, np.ndarray]) -> None: ...

    def save(self, folder: str | Path) -> None: ...

    def load(self, folder: str | Path) -> None: ...


@dataclass(frozen=True)
class StreamLinks:
    """What a rank needs besides its rows.

    store, coordinator: the actors it talks to. columns: those that the learner reads. call_timeout_s: deadline of every
    remote call, in seconds. home: the token in the run's folder (`actors.home.mark`); empty: all ranks see it.
    """

    store: Any
    coordinator: Any
    run_folder: str
    columns: tuple[str, ...]
    part_names: tuple[str, ...]
    call_timeout_s: float
    home: str = ""


def run_stream(learner: StreamLearner, shard: DataIterator, plan: StreamPlan, links: StreamLinks) -> str:
    """Learn from the stream until the plan's end or a directive to stop. Returns why it stopped (`phase` at the plan's end).

    Runs in a rank's process (`LearnerRank.apply`). Raises PoolError where the stream ends early or is out of step.
    """
    rank = dist.get_rank()
    usage = UsageMeter("learner")
    # Ray looks ahead before it hands a block over: with prefetch_batches = 1 a block waits until the next one is judged, too (docs/log.md);
    # and where that may only be made once this one is learned (max_staleness = 0) it waits for ever.
    blocks = iter(shard.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0))
    for step in range(plan.first_step, plan.end_step):
        began = time.monotonic()
        with during(f"step {step}: waiting for {plan.rows_per_rank} rows of the stream"):
            rows = collect(blocks, step, plan.rows_per_rank)
        collected = time.monotonic()
        with during(f"step {step}: learning"):
            report = learner.update_rows({name: rows[name] for name in links.columns})
        learned = time.monotonic()
        with during(f"step {step}: publishing version {step + 1}"):
            weights = learner.weights()
            if rank == 0:
                ray.get(links.store.publish.remote(step + 1, weights), timeout=links.call_timeout_s)
        verdicts = verdicts_of(rows)
        sums = stream_sums(rows, step, links.part_names) | pool_sums(rows, verdicts, plan.rows_per_block)
        sums |= {
            "trained": float(sum(outcome.state == "trained" for outcome in report.rows)),
            "learner_wait_s": collected - began,
            "learner_s": learned - collected,
            "publish_s": time.monotonic() - learned,
        }
        usages = (*from_texts(rows["usage"]), usage.sample())
        entries = ledger_entries(rows, report.rows, verdicts)
        rank_report = RankReport(step, report.metrics, sums | dropped_sums(entries), entries, usages)
        with during(f"step {step}: reporting"):
            directive: Directive = ray.get(links.coordinator.step_done.remote(rank, rank_report), timeout=links.call_timeout_s)
        if directive.checkpoint:
            with during(f"step {step}: writing the checkpoint"):
                write_checkpoint(learner, weights, step + 1, rank, links)
        if directive.stop:
            return directive.reason
    return "phase"


def write_checkpoint(learner: StreamLearner, weights: dict[str, np.ndarray], step: int, rank: int, links: StreamLinks) -> None:
    """Write the checkpoint of `step`; every rank takes part, rank 0 makes it final. Raises DiskFullError: then it never becomes final."""
    with _place(step, links) as folder, on_disk(folder):
        learner.save(folder / "engine")
        if rank == 0:
            learner.export(folder, weights)
            save_versions(folder / "versions", links)
    if dist.get_world_size() > 1:
        dist.barrier()  # every rank's files are on the head
    if rank == 0:
        ray.get(links.coordinator.commit.remote(step), timeout=links.call_timeout_s)


@contextmanager
def _place(step: int, links: StreamLinks) -> Iterator[Path]:
    """The partial checkpoint's folder; where this node does not see it, a passing one, whose files go to the head's."""
    if not links.home or sees(Path(links.run_folder), links.home):
        partial = partial_folder(Path(links.run_folder), step)
        partial.mkdir(parents=True, exist_ok=True)
        yield partial
        return
    with passing_folder() as passing:
        yield passing
        for piece in pieces_of(passing):
            ray.get(links.coordinator.take.remote(step, piece), timeout=links.call_timeout_s)


def save_versions(folder: Path, links: StreamLinks) -> None:
    """The versions that rollouts of the next steps may ask for: with them a resumed run is where it was."""
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
        taken.append(block | {"taken_at_s": np.full(len(block["step"]), time.time())})
        count += len(block["step"])
    return {name: np.concatenate([block[name] for block in taken]) for name in taken[0]}


def stream_sums(rows: dict[str, np.ndarray], step: int, part_names: Sequence[str]) -> dict[str, float]:
    """What a step's rows tell of the pools before the learner; summed over ranks."""
    staleness = step - rows["version"]
    parts = rows["parts"]
    return {
        **{f"part/{name}": float(np.nansum(parts[:, column])) for column, name in enumerate(part_names)},
        **{f"part_rows/{name}": float(np.isfinite(parts[:, column]).sum()) for column, name in enumerate(part_names)},
        "rows": float(len(staleness)),
        "staleness": float(staleness.sum()),
        "rollout_s": float(rows["rollout_s"].sum()),
        "gate_wait_s": float(rows["gate_wait_s"].sum()),
        "reward_s": float(rows["reward_s"].sum()),
        **{f"staleness_{lag}": float((staleness == lag).sum()) for lag in np.unique(staleness).tolist()},
    }


def ledger_entries(rows: dict[str, np.ndarray], outcomes: Sequence[RowOutcome], verdicts: Sequence[Mapping[str, Any]]) -> list[LedgerEntry]:
    """One entry a row, as the learner decided."""
    entries = []
    for row, outcome in enumerate(outcomes):
        trained = outcome.state == "trained"
        entries.append(
            LedgerEntry(
                rollout_id=outcome.rollout_id,
                step=int(rows["step"][row]),
                scene_id=str(rows["scene_id"][row]),
                sample=int(rows["sample"][row]),
                version=int(rows["version"][row]),
                state=outcome.state,
                reason="" if trained else str(rows["fault"][row]) or outcome.reason,
                reward=outcome.reward if trained else None,
                verdicts=verdicts[row],
            )
        )
    return entries


def dropped_sums(entries: Sequence[LedgerEntry]) -> dict[str, float]:
    """`dropped/KIND`: how many rollouts were dropped, by the first word of the ledger's reason; summed over ranks."""
    return {f"dropped/{kind}": float(count) for kind, count in Counter(e.reason.partition(":")[0] for e in entries if e.reason).items()}
