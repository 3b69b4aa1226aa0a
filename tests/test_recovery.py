"""What a phase makes of ranks that hang, stop and die, and of a full disk: real pools and stream, with a learner that misbehaves once."""

import json
import os
import signal
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch.distributed as dist

from actors.stream import Stage, first_block_of
from auricle.errors import DiskFullError, PoolError
from auricle.learning.config import LearnerPoolConfig
from auricle.learning.outcome import RowOutcome, UpdateReport
from auricle.learning.schedule import RolloutSchedule
from auricle.ledger import account
from pipelines.finetune import follow_to_the_end
from pipelines.finetune_phase import Phase
from pipelines.recipe import Recipe
from pipelines.run_folder import RunFolder
from pipelines.settings import RunSettings, Settings, StreamSettings

STEPS, RANKS = 8, 2
HANGS_AT, DIES_AT = 3, 5


class Learner:
    """Counts its steps. In step HANGS_AT rank 1 is stopped and rank 0 sleeps for ever; in step DIES_AT rank 1 is killed: each once."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.version = folder, 0

    def update_rows(self, columns):
        if self._first_time(HANGS_AT):
            if dist.get_rank() == 1:
                os.kill(os.getpid(), signal.SIGSTOP)
            sleep_for_ever()
        if self._first_time(DIES_AT) and dist.get_rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        dist.barrier()
        self.version += 1
        return UpdateReport(self.version, {}, [RowOutcome(int(row), "trained", "", 1.0, 0.0) for row in columns["rollout_id"]])

    def _first_time(self, step: int) -> bool:
        mark = self._folder / f"seen-{step}-{dist.get_rank()}"
        if self.version != step or mark.exists():
            return False
        mark.touch()
        return True

    def weights(self):
        return {"w": np.array([self.version], np.float32)}

    def export(self, folder, weights):
        (folder / "enhancer").mkdir(exist_ok=True)

    def save(self, folder):
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / "version.json").write_text(str(self.version))
        dist.barrier()

    def load(self, folder):
        self.version = int((Path(folder) / "version.json").read_text())


def sleep_for_ever():
    time.sleep(10_000)


class Rows:
    """The only stage of this stream."""

    def __init__(self, schedule, *, first_block, rows_per_block):
        self._schedule, self._first_block, self._rows = schedule, first_block, rows_per_block

    def __call__(self, batch):
        [block] = batch["id"] + self._first_block
        ids = block * self._rows + np.arange(self._rows)
        zeros = np.zeros(self._rows)
        steps = np.array([self._schedule.step(row) for row in ids])
        words = {"scene_id": "S", "fault": "", "verdicts": "{}", "usage": ""}
        return {
            **{name: np.array([word] * self._rows, dtype=object) for name, word in words.items()},
            **{"rollout_id": ids, "step": steps, "version": steps, "sample": zeros.astype(int), "parts": np.ones((self._rows, 1))},
            **dict.fromkeys(("rollout_s", "gate_wait_s", "reward_s", "reward_wait_s", "judged_at_s", "retries"), zeros),
        }


class Job:
    """A job as `follow_to_the_end` knows it, without judges, guard and tracker."""

    section = "finetune"

    def __init__(self, folder: Path, **size) -> None:
        self.size = StreamSettings(steps=STEPS, step_timeout_s=30.0, call_timeout_s=20.0, **size)
        pool = LearnerPoolConfig(ranks=RANKS, num_cpus=0.1, call_timeout_s=60.0)
        self.settings = Settings(run=RunSettings(folder=folder, name="run"), learner_pool=pool)
        self.run = RunFolder.create(self.settings) if not (folder / "run").exists() else RunFolder.open(folder / "run")
        schedule = RolloutSchedule(0, 4, 2, 2)
        self.recipe = Recipe(
            schedule=schedule,
            size=self.size,
            checkpoint_every=2,
            learner=partial(Learner, self.run.path),
            first_weights=lambda: {"w": np.zeros(1, np.float32)},
            stages=lambda plan, store, coordinator: [Stage(Rows, (schedule,), first_block_of(plan))],
            columns=("rollout_id",),
            part_names=("part",),
        )

    def checkpoint_step(self) -> int:
        return (self.run.last_checkpoint() or (0,))[0]

    def note(self, sentence: str) -> None:
        self.run.event(sentence, self.checkpoint_step())

    def run_phase(self) -> str:
        self.run.rewind(self.checkpoint_step())
        phase = Phase(self.settings, self.run, self.recipe, self.run.last_checkpoint())
        try:
            while not phase.finished():
                phase.messages(0.2)
            return phase.reason
        finally:
            phase.close()


@pytest.mark.slow
def test_what_hangs_is_written_down_what_dies_is_named_and_a_full_disk_stops_the_run_in_order(ray_local, tmp_path):
    job = Job(tmp_path, restarts=1)
    # The last part of the ledger meets a full disk.
    full = job.run.path / "ledger" / f"steps-{STEPS - 2:06d}-{STEPS:06d}.parquet.tmp"
    full.parent.mkdir()
    full.symlink_to("/dev/full")
    with pytest.raises(DiskFullError, match=r"steps-000006-000008\.parquet could not be written: the disk is full.* MiB free there"):
        follow_to_the_end(job)

    events = [record["event"] for record in job.run.lines("events.jsonl")]
    watchdog, hung, died = events
    [dump] = (job.run.path / "watchdog").glob(f"step-{HANGS_AT:06d}-*.txt")
    assert f"watchdog/{dump.name}" in watchdog
    assert str(dump) in hung
    assert "going back to the checkpoint of step 2, restart 1 of 1" in hung
    page = dump.read_text()
    assert "no learner step has ended for" in page
    assert "coordinator: step 3 is due, and no rank of 2 has reported it" in page
    assert "weight store: newest version 3" in page
    [pid] = [line.split("pid ")[1].split(",")[0] for line in page.splitlines() if "learner rank 1: pid" in line]
    assert f"learner rank 1: pid {pid}, stopped by a signal" in page
    assert "step 3: learning (for" in page
    assert "sleep_for_ever" in page.split("== learner rank 0")[1]
    assert "no stacks: the process is stopped by a signal" in page.split("== learner rank 1")[1]
    assert not Path(f"/proc/{pid}").exists(), "the stopped rank was left behind"
    assert "learner rank 1 (pid" in died
    assert "was lost: its process ended without a word" in died
    assert "going back to the checkpoint of step 4" in died

    assert job.checkpoint_step() == STEPS - 2
    full.unlink(missing_ok=True)
    assert Job(tmp_path).run_phase() == "done"
    sums = account(job.run.path / "ledger")
    assert (sums.issued, sums.trained, sums.in_flight, sums.balanced) == (4 * STEPS, 4 * STEPS, 0, True)
    assert json.loads((job.run.path / "checkpoints" / "last.json").read_text())["step"] == STEPS


def test_when_the_restarts_are_spent_the_error_says_what_broke_and_where_to_go_on(tmp_path):
    job = Job(tmp_path, restarts=0)

    def break_down() -> str:
        raise PoolError("learner rank 1 was lost")

    job.run_phase = break_down
    with pytest.raises(PoolError, match=r"learner rank 1 was lost\), and finetune.restarts = 0 are spent.*--resume .*the beginning"):
        follow_to_the_end(job)
    [record] = job.run.lines("events.jsonl")
    assert "restarts = 0 are spent" in record["event"]
