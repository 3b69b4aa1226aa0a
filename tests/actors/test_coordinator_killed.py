"""The run's books, whatever happens: reports that come twice and out of order, kills at any file operation, resuming, stopping in between.

Real files, the real coordinator and the run folder's own way of resuming; no Ray. Always issued = trained + dropped + in flight; in the end
every id once, in the state that is its own.
"""

import asyncio
import itertools
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from actors.coordinator import RankReport, RunCoordinator, StepReport, partial_folder
from auricle.learning.budget import FailureBudgetConfig
from auricle.learning.quarantine import QuarantineConfig
from auricle.ledger import LedgerEntry, account, read
from pipelines.run_folder import RunFolder

ROWS, END = 2, 6


class Killed(BaseException):
    """The process is gone."""


@contextmanager
def killed_at(operation: int, how: str) -> Iterator[None]:
    """The process dies at its n-th change on disk: before it, after it, or when it is half done."""
    count = itertools.count()

    def dying(real: Any, half: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            if next(count) != operation:
                return real(*arguments, **named)
            if how == "after":
                real(*arguments, **named)
            elif how == "half":
                half(*arguments)
            raise Killed

        return call

    write, nothing = Path.write_text, lambda *arguments: None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", dying(os.replace, nothing))
        patch.setattr(Path, "unlink", dying(Path.unlink, nothing))
        patch.setattr(shutil, "rmtree", dying(shutil.rmtree, lambda folder, *_: [os.remove(path) for path in Path(folder).glob("*/*")][:0]))
        patch.setattr(Path, "write_text", dying(write, lambda path, text: write(path, text[: len(text) // 2])))
        patch.setattr(pq, "write_table", dying(pq.write_table, lambda table, path: Path(path).write_bytes(b"PAR1")))
        yield


def entry(rollout_id: int, ranks: int) -> LedgerEntry:
    """What becomes of an id is a function of it, as in an exact run."""
    dropped = rollout_id % 5 == 3
    reward = None if dropped else rollout_id / 8
    return LedgerEntry(rollout_id, rollout_id // (ROWS * ranks), "S", 0, 0, "dropped" if dropped else "trained", reward=reward)


def report(step: int, rank: int, ranks: int) -> RankReport:
    first = (step * ranks + rank) * ROWS
    return RankReport(step, {}, {}, [entry(first + row, ranks) for row in range(ROWS)])


class Life:
    """From one start of the run to its end or its death: ranks that report in their own order, and write checkpoints together."""

    def __init__(self, folder: Path, ranks: int, every: int, staleness: int) -> None:
        self.folder, self.ranks = folder, ranks
        run = RunFolder(folder)
        checkpoint = run.last_checkpoint()
        first = checkpoint[0] if checkpoint else 0
        if first:
            assert (checkpoint[1] / "engine" / "state").exists()
        run.rewind(first)
        self.coordinator = RunCoordinator(
            str(folder),
            world_size=ranks,
            first_step=first,
            phase_end_step=END,
            end_step=END,
            global_batch=ROWS * ranks,
            max_staleness=staleness,
            checkpoint_every=every,
            budget=FailureBudgetConfig(share=1.0),
            quarantine=QuarantineConfig(),
            scenes=1,
        )
        self.at, self.limit, self.over = [first] * ranks, END, first >= END

    def report(self, rank: int, *, again: bool) -> None:
        """The rank's next report, or its last one once more (Ray executes at least once)."""
        step = self.at[rank] - again
        if not 0 <= step < self.limit:
            return
        directive = asyncio.run(self.coordinator.step_done(rank, report(step, rank, self.ranks)))
        if again:
            return
        self.at[rank] += 1
        if directive.checkpoint:
            self.limit = step + 1
        if min(self.at) == self.limit:
            self.commit(self.limit)
            self.limit, self.over = END, directive.stop

    def commit(self, step: int) -> None:
        engine = partial_folder(self.folder, step) / "engine"
        engine.mkdir(parents=True)
        (engine / "state").touch()
        asyncio.run(self.coordinator.commit(step))

    def check(self) -> None:
        """What holds at every moment, on disk and in what is told."""
        sums = account(self.folder / "ledger")
        assert sums.balanced, sums
        assert sums.issued == sums.trained + sums.dropped + sums.in_flight
        for message in asyncio.run(self.coordinator.messages(0.0)):
            if isinstance(message, StepReport):
                totals = message.totals
                assert totals["issued"] == totals["trained"] + totals["dropped"] + totals["in_flight"]
                assert totals["in_flight"] >= 0


def live(folder: Path, shape: tuple[int, int, int], chance: random.Random, *, stops: bool) -> None:
    """One life; Killed comes out of it where the process dies."""
    life = Life(folder, *shape)
    life.check()
    while not life.over:
        before = life.at.copy()
        ready = [rank for rank in range(life.ranks) if life.at[rank] < life.limit]
        what = chance.choices(["on", "again", "commit", "stop"], [8, 2, 2, stops])[0]
        if what == "commit" and (last := RunFolder(folder).last_checkpoint()) and last[0] == min(life.at) == max(life.at):
            asyncio.run(life.coordinator.commit(last[0]))  # rank 0 asks once more
        elif what == "stop":
            asyncio.run(life.coordinator.request_stop("interrupted"))
        else:
            life.report(chance.choice(ready if what == "on" else range(life.ranks)), again=what == "again")
        if min(before) < min(life.at):
            life.check()
    assert account(folder / "ledger").in_flight == 0


# Killed twice: after the first checkpoint's rename and then in the second's commit; in the first's commit and then while resuming.
@example((1, 1, 0), [(12, "before"), (10, "before")], 1)
@example((1, 1, 0), [(10, "before"), (5, "before")], 1)
@settings(max_examples=40, derandomize=True, database=None, deadline=None)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(0, 3)),
    st.lists(st.tuples(st.integers(0, 45) | st.integers(4, 16), st.sampled_from(["before", "half", "after"])), min_size=1, max_size=5),
    st.integers(0, 1 << 30),
)
def test_every_id_ends_once_whatever_is_killed_and_repeated(shape: tuple[int, int, int], kills: list[tuple[int, str]], seed: int) -> None:
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "checkpoints").mkdir()
        for operation, how in kills:
            with killed_at(operation, how), suppress(Killed):
                live(folder, shape, chance, stops=True)
            assert not (folder / "ledger").exists() or account(folder / "ledger").balanced
        live(folder, shape, chance, stops=False)
        ids = range(END * ROWS * shape[0])
        table = read(folder / "ledger", ["rollout_id", "state", "reward"]).to_pylist()
        assert [(row["rollout_id"], row["state"], row["reward"]) for row in table] == [
            (one.rollout_id, one.state, one.reward) for one in (entry(rollout_id, shape[0]) for rollout_id in ids)
        ]
