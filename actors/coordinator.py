"""The run's coordinator: where learner ranks report each step, and learn what to do next.

Invariants:
- Every rank gets the same directive for a step: it is decided once, when the first rank arrives, and never changed.
- A rollout enters the ledger exactly once; a second report of the same (step, rank) is a repetition and is ignored.
- What depends on earlier steps (failure budget, quarantine) is folded from the ledger where a phase begins: it goes on as if nothing had
  happened.
- A checkpoint appears under its final name only when the engine's files, the policy versions and the ledger's part are all on disk.
- Once a checkpoint that ends the run is committed nothing is in flight: ids beyond it are withdrawn, and issued again on resuming.

    rank r: update(step) --step_done--> coordinator --Directive--> rank r
                                             |
    driver <--reports-- merged step report --+--> ledger part + rename on `commit`
"""

import asyncio
import json
import os
import shutil
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from actors.home import Piece, put_piece
from actors.pulse import own_pulse
from auricle import ledger
from auricle.errors import LedgerError
from auricle.files import on_disk
from auricle.learning.budget import FailureBudget, FailureBudgetConfig, step_counts
from auricle.learning.quarantine import Quarantine, QuarantineConfig, Quarantined
from auricle.ledger import LedgerEntry
from auricle.usage import Usage, newest


@dataclass(frozen=True)
class Directive:
    """What all ranks do after a step: go on, write a checkpoint, stop. reason says why they stop (`done` when all steps are made)."""

    checkpoint: bool
    stop: bool
    reason: str = ""


@dataclass(frozen=True)
class RankReport:
    """What one rank tells of one step. metrics are equal on all ranks (reduced); sums are added up over ranks; usages: of the processes
    that worked on its rows, and its own."""

    step: int
    metrics: dict[str, float]
    sums: dict[str, float]
    entries: list[LedgerEntry] = field(default_factory=list)
    usages: tuple[Usage, ...] = ()


@dataclass(frozen=True)
class StepReport:
    """One finished step, all ranks merged. totals: issued, trained, dropped and in_flight since the run began."""

    step: int
    time_s: float
    metrics: dict[str, float]
    sums: dict[str, float]
    totals: dict[str, int] = field(default_factory=dict)
    words: str = ""
    usages: tuple[Usage, ...] = ()


@dataclass(frozen=True)
class Committed:
    """A checkpoint that is complete, under its final name."""

    step: int
    folder: str


Message = StepReport | Quarantined | Committed
_BUDGET = "failure budget"


def checkpoint_folder(run_folder: Path, step: int) -> Path:
    """Where the checkpoint after `step` steps lives."""
    return run_folder / "checkpoints" / f"step-{step:06d}"


def partial_folder(run_folder: Path, step: int) -> Path:
    """Where it is written before it is complete."""
    return run_folder / "checkpoints" / f".partial-step-{step:06d}"


class RunCoordinator:
    """An async Ray actor, one a run; `ray.remote(num_cpus=0)(RunCoordinator)`."""

    def __init__(
        self,
        run_folder: str,
        *,
        world_size: int,
        first_step: int,
        phase_end_step: int,
        end_step: int,
        global_batch: int,
        max_staleness: int,
        checkpoint_every: int,
        budget: FailureBudgetConfig,
        quarantine: QuarantineConfig,
        scenes: int,
    ) -> None:
        """scenes: how many there are to learn from."""
        self._folder = Path(run_folder)
        self._world_size = world_size
        self._phase_end_step, self._end_step = phase_end_step, end_step
        self._global_batch, self._max_staleness = global_batch, max_staleness
        self._checkpoint_every = checkpoint_every
        self._budget, self._scenes = FailureBudget(budget, global_batch), scenes
        self._directives: dict[int, Directive] = {}
        self._arrived: dict[int, dict[int, RankReport]] = {}
        self._next_step = first_step
        self._pending: list[LedgerEntry] = []
        self._part_begins = first_step
        self._stop_reason = ""
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._heartbeat = time.monotonic()
        ledger.truncate(self._folder / "ledger", first_step)
        self._issued = self._note_issued(first_step)
        before = ledger.account(self._folder / "ledger")
        self._ended = {"trained": before.trained, "dropped": before.dropped}
        self._look_back_from = _look_back_from(self._folder, first_step)
        self._counts: list[tuple[int, int]] = []
        self._quarantine = Quarantine(quarantine)
        for step, entries in ledger.finished_steps(self._folder / "ledger"):
            self._fold(step, entries)
        self._write_quarantine()
        own_pulse("coordinator")

    async def step_done(self, rank: int, report: RankReport) -> Directive:
        """Take a rank's report of a step; answer what all ranks do next."""
        self._heartbeat = time.monotonic()
        if report.step >= self._next_step and rank not in self._arrived.setdefault(report.step, {}):
            self._arrived[report.step][rank] = report
            self._pending += report.entries
            if len(self._arrived[report.step]) == self._world_size:
                self._finish(report.step)
        if report.step not in self._directives:
            self._directives[report.step] = self._decide(report.step)
        return self._directives[report.step]

    async def commit(self, step: int) -> None:
        """Make the partial checkpoint of `step` final: ledger part first, then the rename, then `last.json`. Idempotent."""
        final, partial = checkpoint_folder(self._folder, step), partial_folder(self._folder, step)
        if self._part_begins < step:
            entries = [entry for entry in self._pending if entry.step < step]
            ledger.write_part(self._folder / "ledger", self._part_begins, step, entries)
            self._pending = [entry for entry in self._pending if entry.step >= step]
            self._part_begins = step
        if partial.exists():
            shutil.rmtree(final, ignore_errors=True)
            os.replace(partial, final)
        directive = self._directives.get(step - 1)
        if directive and directive.reason.startswith(_BUDGET):
            self._look_back_from = step
        looked_at = {"budget_from": self._look_back_from} if self._look_back_from else {}
        write_json(final.parent / "last.json", {"step": step, "folder": final.name} | looked_at)
        if directive and directive.stop:
            ended = step * self._global_batch
            ledger.record_issued(self._folder / "ledger", ended, withdrawn=self._issued - ended)
        self._messages.put_nowait(Committed(step, str(final)))

    async def take(self, step: int, piece: Piece) -> None:
        """A piece of the partial checkpoint of `step`, from a rank that does not see the run's folder (`actors.home`)."""
        self._heartbeat = time.monotonic()  # handing over is no silence
        folder = partial_folder(self._folder, step)
        with on_disk(folder):
            put_piece(folder, piece)

    async def request_stop(self, reason: str) -> None:
        """Stop, with a checkpoint, at the next step that is not decided yet."""
        self._stop_reason = self._stop_reason or reason

    async def quarantined(self, version: int) -> tuple[str, ...]:
        """The scenes that rollouts made with this version of the policy leave out (`Quarantine.at`)."""
        if version > self._next_step + 1:
            raise LedgerError(f"version {version} is published, but step {version - 2} is not reported yet; what it decided is not known")
        return self._quarantine.at(version)

    async def messages(self, timeout_s: float) -> list[Message]:
        """What happened since the last call, in order; waits for the first message, up to timeout_s."""
        try:
            found = [await asyncio.wait_for(self._messages.get(), timeout_s)]
        except TimeoutError:
            return []
        while not self._messages.empty():
            found.append(self._messages.get_nowait())
        return found

    async def silent_s(self) -> float:
        """Seconds since a rank last reported."""
        return time.monotonic() - self._heartbeat

    async def state(self) -> str:
        """Where the run stands, in a sentence."""
        arrived = ", ".join(f"rank {rank}" for rank in sorted(self._arrived.get(self._next_step, {}))) or "no rank"
        return (
            f"step {self._next_step} is due, and {arrived} of {self._world_size} has reported it; the last report came "
            f"{time.monotonic() - self._heartbeat:.0f} s ago; {len(self._pending)} rollouts ended since the last checkpoint, "
            f"{self._issued - sum(self._ended.values())} are in flight"
        )

    def _decide(self, step: int) -> Directive:
        done = step + 1 >= self._end_step
        spent = self._budget.verdict(self._counts, last=done) or self._budget.scenes_verdict(len(self._quarantine.scenes), self._scenes)
        # A short run that dropped nearly everything has reached its last step, but it is not done.
        reason = f"{_BUDGET}: {spent}" if spent else ("done" if done else self._stop_reason)
        checkpoint = bool(reason) or (step + 1) % self._checkpoint_every == 0 or step + 1 == self._phase_end_step
        return Directive(checkpoint=checkpoint, stop=bool(reason), reason=reason)

    def _finish(self, step: int) -> None:
        by_rank = self._arrived.pop(step)
        self._next_step = step + 1
        reports = [by_rank[rank] for rank in sorted(by_rank)]
        sums: dict[str, float] = {}
        for report in reports:
            for name, value in report.sums.items():
                sums[name] = sums.get(name, 0.0) + value
        entries = [entry for report in reports for entry in report.entries]
        dropped = sum(entry.state == "dropped" for entry in entries)
        new = self._fold(step, entries)
        self._ended["dropped"] += dropped
        self._ended["trained"] += len(entries) - dropped
        self._issued = self._note_issued(step + 1)
        totals = {"issued": self._issued, **self._ended, "in_flight": self._issued - sum(self._ended.values())}
        usages = tuple(newest(usage for report in reports for usage in report.usages))
        self._messages.put_nowait(StepReport(step, time.time(), reports[0].metrics, sums, totals, _words(entries), usages))
        for one in new:
            self._messages.put_nowait(one)
        if new:
            self._write_quarantine()

    def _fold(self, step: int, entries: list[LedgerEntry]) -> list[Quarantined]:
        """What later decisions hang on."""
        if step >= self._look_back_from:
            self._counts.append(step_counts(entries))
        return self._quarantine.add(step, entries)

    def _write_quarantine(self) -> None:
        path, scenes = self._folder / "quarantine.json", [asdict(one) for one in self._quarantine.scenes]
        if scenes or path.exists():
            write_json(path, {"scenes": scenes})

    def _note_issued(self, finished_steps: int) -> int:
        steps = min(self._end_step, finished_steps + self._max_staleness + 1)
        ledger.record_issued(self._folder / "ledger", steps * self._global_batch)
        return steps * self._global_batch


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically. Raises DiskFullError."""
    temporary = path.with_name(path.name + ".tmp")
    with on_disk(path):
        temporary.write_text(json.dumps(value, indent=1))
        os.replace(temporary, path)


def _look_back_from(run_folder: Path, first_step: int) -> int:
    """The first step that the failure budget looks at: a run that it had stopped, and that was resumed, is not stopped for it again."""
    last = run_folder / "checkpoints" / "last.json"
    found = int(json.loads(last.read_text()).get("budget_from", 0)) if last.exists() else 0
    return min(found, first_step)


def _words(entries: list[LedgerEntry]) -> str:
    for entry in entries:
        for answer in entry.verdicts.values():
            if answer.get("rationale"):
                return f"{entry.scene_id}: {answer['rationale']}"
    return ""
