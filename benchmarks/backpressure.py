"""Does a slow judge slow the rollouts, with memory flat and nothing lost?  python -m benchmarks.backpressure

The real stream (Ray Data, gate, weight store, reward clients, Serve panel, streaming_split, coordinator, ledger, a learner rank) with
stand-in work: a rollout stage that makes rows of a quarter of a second of noise far faster than the judge, which sleeps, takes them.
Samples the private memory of all processes and the object store's bytes over the whole run. Prints medians by tenths of the run, the slope,
how far rollouts ran ahead of the learner, and the sums of rows: in, trained, dropped.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import ray
from ray._private.internal_api import get_memory_info_reply, get_state_from_address
from rich.console import Console
from rich.table import Table

from actors.cluster import cluster, worker_environment
from actors.coordinator import RunCoordinator, StepReport
from actors.engine import join_alone
from actors.gate import Gate
from actors.learner_pool import LearnerPool, LearnerPoolConfig
from actors.panel import PANEL_APP, start_panel
from actors.reward_client import RewardStage
from actors.settings import ClusterSettings, RewardConfig
from actors.stream import Stage, first_block_of, plan_stream, start_stages
from actors.stream_learner import StreamLinks, run_stream
from actors.weights import WeightStore
from auricle.judging.panel import JudgeConfig, PanelConfig, part_names
from auricle.learning.budget import FailureBudgetConfig
from auricle.learning.outcome import RowOutcome, UpdateReport
from auricle.learning.quarantine import QuarantineConfig
from auricle.learning.schedule import RolloutSchedule
from auricle.learning.staleness import StalenessConfig
from auricle.ledger import Account, account
from auricle.usage import UsageMeter, usage_column

RATE_HZ = 16000
CLIP_SAMPLES = RATE_HZ // 4
SCENES_PER_STEP, SAMPLES, BLOCKS_PER_STEP = 16, 4, 4
SAMPLE_EVERY_S = 2.0
CALL_TIMEOUT_S = 120.0
MIB = 1 << 20


class NoiseRollouts:
    """A stand-in rollout stage: passes the gate as the real one does, and makes noise of its ids."""

    def __init__(self, schedule: RolloutSchedule, store: Any, staleness: int, *, first_block: int, rows_per_block: int) -> None:
        self._schedule, self._gate = schedule, Gate(store, StalenessConfig(max_staleness=staleness), CALL_TIMEOUT_S)
        self._first_block, self._rows = first_block, rows_per_block
        self._usage = UsageMeter("rollout")

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The rows of one block."""
        first = (self._first_block + int(batch["id"][0])) * self._rows
        rollouts = [self._schedule.rollout(rollout_id) for rollout_id in range(first, first + self._rows)]
        passed, began = self._gate.wait(rollouts[0].step), time.monotonic()
        audio = np.random.default_rng(first).normal(0, 0.05, (self._rows, CLIP_SAMPLES)).astype(np.float32)
        return {
            "rollout_id": np.array([rollout.rollout_id for rollout in rollouts], np.int64),
            "step": np.array([rollout.step for rollout in rollouts], np.int64),
            "scene_id": np.array([f"S{rollout.scene_index:05d}" for rollout in rollouts], dtype=object),
            "sample": np.array([rollout.sample for rollout in rollouts], np.int64),
            "version": np.full(self._rows, passed.version, np.int64),
            "fault": np.full(self._rows, "", dtype=object),
            "sample_rate_hz": np.full(self._rows, RATE_HZ, np.int64),
            "enhanced": audio,
            "reference_enhanced": np.full(self._rows, b"", dtype=object),
            "knot_times_s": np.tile(np.linspace(0, 0.25, 4), (self._rows, 1)),
            "gate_wait_s": np.full(self._rows, passed.waited_s / self._rows),
            "rollout_s": np.full(self._rows, (time.monotonic() - began) / self._rows),
            "made_at_s": np.full(self._rows, time.time()),
            "usage": usage_column([self._usage.sample()], self._rows),
        }


class CountingLearner:
    """A learner that learns nothing, and drops what was not judged."""

    def __init__(self) -> None:
        join_alone()
        self.version = 0

    def update_rows(self, rows: Mapping[str, np.ndarray]) -> UpdateReport:
        """One step."""
        self.version += 1
        judged = np.isfinite(rows["parts"]).all(axis=1)
        outcomes = [
            RowOutcome(int(row), "trained", "", 3.0, 0.0) if ok else RowOutcome(int(row), "dropped", "unjudged", 0.0, 0.0)
            for row, ok in zip(rows["rollout_id"], judged, strict=True)
        ]
        return UpdateReport(self.version, {"reward": 3.0}, outcomes)

    def weights(self) -> dict[str, np.ndarray]:
        """Some."""
        return {"weight": np.zeros(1000, np.float32)}

    def export(self, folder: Path, weights: Mapping[str, np.ndarray]) -> None:
        """Nothing to write."""

    def save(self, folder: str | Path) -> None:
        """Nothing to save."""

    def load(self, folder: str | Path) -> None:
        """Nothing to load."""


@dataclass
class Sample:
    """One look at the whole run. Memory in MiB; rows: trained or dropped so far."""

    time_s: float
    rows: int
    private_mib: float
    store_mib: float
    spilled_mib: float
    processes: int


class Watch:
    """Looks every SAMPLE_EVERY_S, in a thread."""

    def __init__(self) -> None:
        self.rows = 0
        self.samples: list[Sample] = []
        self._state = get_state_from_address(ray.get_runtime_context().gcs_address)

    @contextmanager
    def looking(self) -> Iterator[None]:
        """For the time of the block."""
        over, began = threading.Event(), time.monotonic()

        def look() -> None:
            while not over.wait(SAMPLE_EVERY_S):
                self.samples.append(self._look(time.monotonic() - began))

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(60)

    def _look(self, time_s: float) -> Sample:
        private, count = 0, 0
        own = psutil.Process()
        for process in [own, *own.children(recursive=True)]:
            try:
                memory = process.memory_info()
            except psutil.Error:
                continue
            private += memory.rss - memory.shared  # the object store is mapped into many of them
            count += 1
        stats = get_memory_info_reply(self._state).store_stats
        store, spilled = stats.object_store_bytes_used, stats.spilled_bytes_total
        return Sample(time_s, self.rows, private / MIB, store / MIB, spilled / MIB, count)


@dataclass
class Outcome:
    """What the run came to. lags: rows by staleness. busy: seconds that the pools spent, or waited."""

    samples: list[Sample]
    lags: Counter
    sums: Account
    rows: int
    seconds: float
    busy: dict[str, float]


def run(rows: int, judge_s: float, staleness: int, folder: Path) -> Outcome:
    """The whole stream, on the Ray that this process has joined."""
    schedule = RolloutSchedule(0, 64, SCENES_PER_STEP, SAMPLES)
    steps = -(-rows // schedule.global_batch)
    plan = plan_stream(schedule, 0, steps, 1, BLOCKS_PER_STEP)
    if plan.end_step < steps:
        raise SystemExit(f"{rows} rows are more than one Dataset takes; at most {plan.end_step * schedule.global_batch}")
    judge = JudgeConfig(
        name="sleeper", kind="benchmarks.pipeline:SleepJudge", options={"block_s": judge_s}, batch_size=plan.rows_per_block, num_cpus=0.1
    )
    panel = PanelConfig(judges=(judge,), cache_size=0)
    start_panel(panel)
    store = ray.remote(num_cpus=0, max_concurrency=1000)(WeightStore).remote(staleness + 2)
    coordinator = ray.remote(num_cpus=0, max_concurrency=1000)(RunCoordinator).remote(
        str(folder),
        world_size=1,
        first_step=0,
        phase_end_step=steps,
        end_step=steps,
        global_batch=schedule.global_batch,
        max_staleness=staleness,
        checkpoint_every=50,
        budget=FailureBudgetConfig(),
        quarantine=QuarantineConfig(),
        scenes=schedule.scenes,
    )
    pool = LearnerPool(partial(CountingLearner), LearnerPoolConfig(num_cpus=0.1))
    pool.start()
    ray.get(store.publish.remote(0, {"weight": np.zeros(1000, np.float32)}), timeout=60)
    stages = [
        Stage(NoiseRollouts, (schedule, store, staleness), first_block_of(plan), gated=True),
        Stage(RewardStage, (RewardConfig(), panel, PANEL_APP), calls_at_once=RewardConfig().blocks_in_flight),
    ]
    watch, began = Watch(), time.monotonic()
    [shard] = start_stages(plan, stages)
    links = StreamLinks(store, coordinator, str(folder), ("rollout_id", "parts"), part_names(panel), CALL_TIMEOUT_S)
    lags: Counter = Counter()
    busy: Counter = Counter()
    with watch.looking():
        running = pool.ranks[0].apply.remote(run_stream, shard, plan, links)
        while watch.rows < steps * schedule.global_batch:
            over = bool(ray.wait([running], timeout=0)[0])
            if over:
                ray.get(running)  # its error, where it has one
            for message in ray.get(coordinator.messages.remote(5.0), timeout=60):
                if isinstance(message, StepReport):
                    watch.rows += int(message.sums["rows"])
                    lags.update(
                        {int(name.removeprefix("staleness_")): v for name, v in message.sums.items() if name.startswith("staleness_")}
                    )
                    busy.update({name: message.sums[name] for name in ("rollout_s", "gate_wait_s", "reward_s", "learner_s")})
            if over:  # after all rows, or before: the sums tell
                break
        seconds = time.monotonic() - began
        ray.get(running, timeout=CALL_TIMEOUT_S)
    return Outcome(watch.samples, lags, account(folder / "ledger"), watch.rows, seconds, dict(busy))


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; 1 where rows were lost."""
    formatter = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m benchmarks.backpressure", description=__doc__, formatter_class=formatter)
    parser.add_argument("--rows", type=int, default=50_000, help="rows (default 50,000)")
    parser.add_argument("--judge-s", type=float, default=0.06, help="seconds of judging 16 rows (default .06)")
    parser.add_argument("--staleness", type=int, default=4, help="K of the gate (default 4)")
    arguments = parser.parse_args(argv)
    os.environ["PYTHONPATH"] = worker_environment()["PYTHONPATH"]
    with tempfile.TemporaryDirectory() as folder, cluster(ClusterSettings(object_store_mib=256), namespace="benchmark"):
        outcome = run(arguments.rows, arguments.judge_s, arguments.staleness, Path(folder))
    show(Console(), outcome)
    sums = outcome.sums
    return 0 if sums.trained == outcome.rows >= arguments.rows and not sums.faults else 1


def show(console: Console, outcome: Outcome) -> None:
    """Tenths of the run, the slope, and the sums."""
    table = Table("rows", "private MiB: median (min-max)", "object store MiB: median (max)", title="memory by tenths of the run")
    tenths = [[s for s in outcome.samples if tenth <= 10 * s.rows / outcome.rows < tenth + 1] for tenth in range(10)]
    for tenth, samples in enumerate(tenths):
        private, store = [s.private_mib for s in samples], [s.store_mib for s in samples]
        if samples:
            upto = (tenth + 1) * outcome.rows // 10
            middle = f"{np.median(private):.0f} ({min(private):.0f}-{max(private):.0f})"
            table.add_row(f"to {upto}", middle, f"{np.median(store):.1f} ({max(store):.1f})")
    console.print(table)
    for name in ("private_mib", "store_mib"):
        first, last = (np.median([getattr(s, name) for s in samples]) for samples in (tenths[0], tenths[-1]))
        after = [s for s in outcome.samples if s.rows >= outcome.rows / 10]  # while the pools fill, memory has to rise
        slope = np.polyfit([s.rows for s in after], [getattr(s, name) for s in after], 1)[0] * 10_000
        console.print(f"{name}: first tenth {first:.1f}, last tenth {last:.1f}, slope from the second on {slope:+.2f} MiB a 10,000 rows")
    console.print(f"spilled: {max(s.spilled_mib for s in outcome.samples):.1f} MiB; processes: {outcome.samples[-1].processes}")
    rows = sum(outcome.lags.values())
    console.print("rows by staleness: " + ", ".join(f"{lag}: {count / rows:.0%}" for lag, count in sorted(outcome.lags.items())))
    spent = ", ".join(f"{name.removesuffix('_s')} {value:.0f} s" for name, value in outcome.busy.items())
    console.print(f"{outcome.rows} rows in {outcome.seconds:.0f} s ({outcome.rows / outcome.seconds:.0f} rows/s); time spent: {spent}")
    faults = f"; FAULTS: {outcome.sums.faults}" if outcome.sums.faults else ""
    print(f"rows in {outcome.rows}, {outcome.sums.sentence()}{faults}")


if __name__ == "__main__":
    sys.exit(main())
