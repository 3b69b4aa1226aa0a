"""How much of the bottleneck pool's rate does the stream keep?  python -m benchmarks.pipeline

The real stream (Ray Data, gate, weight store, Serve panel, coordinator, ledger, learner ranks in a group) with stand-in work, so that the
figure is the stream's and not this machine's: the judge and the learner sleep, the rollout pool runs the small enhancer on short clips.
In one run, `--repeats` times each and in turn: the bottleneck pool alone (the panel, kept full), the stream, and a loop that makes one
Dataset a step from the same stages. Prints rates, staleness by version, and as its last line `share of bottleneck: X` (median).

`--nodes 3`: the same on three typed nodes (`benchmarks.nodes`), a pool a node, so that every block crosses the network twice.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import ray
import soundfile
import torch
from rich.console import Console
from rich.table import Table

from actors.cluster import ON_HEAD, cluster
from actors.coordinator import RunCoordinator, StepReport
from actors.engine import join_alone
from actors.learner_pool import LearnerPool, LearnerPoolConfig
from actors.panel import PANEL_APP, start_panel
from actors.settings import ClusterSettings, RewardConfig, RolloutConfig
from actors.stream import StreamPlan, enhancement_stages, plan_stream, start_stages
from actors.stream_learner import StreamLinks, run_stream
from actors.weights import WeightStore
from auricle.config import Config
from auricle.enhancers.checkpoint import load_enhancer, save_enhancer
from auricle.enhancers.exploration import ExplorationConfig
from auricle.enhancers.registry import build_enhancer
from auricle.judging.judge import Judge, JudgeClip
from auricle.judging.panel import JudgeConfig, PanelConfig, part_names
from auricle.judging.verdict import Scored, Verdict
from auricle.learning.budget import FailureBudgetConfig
from auricle.learning.outcome import RowOutcome, UpdateReport
from auricle.learning.quarantine import QuarantineConfig
from auricle.learning.schedule import RolloutSchedule
from auricle.learning.staleness import StalenessConfig
from auricle.scenes.scene import Scene
from benchmarks.nodes import RESOURCES, TYPES, typed_nodes

CLIP_S = 0.5
RATE_HZ = 16000
SCENES_PER_STEP, SAMPLES = 4, 4
BLOCKS_TOGETHER = SCENES_PER_STEP * SAMPLES  # a piece is a step's block, so that the judge's rate does not depend on how pieces meet


class SleepOptions(Config):
    """The stand-in judge."""

    block_s: float = 0.4
    """Seconds of work for a block."""


class SleepJudge(Judge):
    """A judge that takes its time and gives every clip a 3."""

    options: SleepOptions

    def judge(self, clips: Sequence[JudgeClip]) -> list[Verdict]:
        """Sleeps `block_s` a block of SCENES_PER_STEP x SAMPLES clips."""
        time.sleep(self.options.block_s * len(clips) / (SCENES_PER_STEP * SAMPLES))
        return [Scored(3.0)] * len(clips)


class SleepLearner:
    """A learner that takes its time and learns nothing; its weights are the enhancer's."""

    def __init__(self, step_s: float, enhancer_folder: str) -> None:
        join_alone()
        self.version, self._step_s = 0, step_s
        self._weights = {name: value.numpy() for name, value in load_enhancer(enhancer_folder).state_dict().items()}

    def update_rows(self, rows: Mapping[str, np.ndarray]) -> UpdateReport:
        """One step."""
        time.sleep(self._step_s)
        self.version += 1
        outcomes = [RowOutcome(int(i), "trained", "", 3.0, 0.0) for i in rows["rollout_id"]]
        return UpdateReport(self.version, {"reward": 3.0}, outcomes)

    def weights(self) -> dict[str, np.ndarray]:
        """The enhancer's weights."""
        return self._weights

    def export(self, folder: Path, weights: Mapping[str, np.ndarray]) -> None:
        """The enhancer is as it was: nothing to write."""

    def save(self, folder: str | Path) -> None:
        """Nothing to save."""

    def load(self, folder: str | Path) -> None:
        """Nothing to load."""


class Bench:
    """The stages of one run, and the ways to drive them."""

    def __init__(self, folder: Path, arguments: argparse.Namespace) -> None:
        self.folder, self.arguments = folder, arguments
        self.resources = RESOURCES if arguments.nodes > 1 else {name: {} for name in TYPES}
        self.enhancer = str(folder / "enhancer")
        torch.manual_seed(0)
        save_enhancer(build_enhancer("tf_fusion", {"use_video": False}), self.enhancer)
        self.scenes = [self._scene(index) for index in range(32)]
        self.panel = PanelConfig(
            judges=(
                JudgeConfig(
                    name="sleeper",
                    kind="benchmarks.pipeline:SleepJudge",
                    options={"block_s": arguments.judge_s},
                    batch_size=BLOCKS_TOGETHER,
                    resources=self.resources["reward"],
                ),
            ),
            cache_size=0,
        )
        self.schedule = RolloutSchedule(0, len(self.scenes), SCENES_PER_STEP, SAMPLES)
        self.runs = 0

    def _scene(self, index: int) -> Scene:
        path = self.folder / f"{index}.wav"
        soundfile.write(path, np.random.default_rng(index).normal(0, 0.05, int(CLIP_S * RATE_HZ)).astype(np.float32), RATE_HZ)
        return Scene(f"S{index:05d}", "train", path)

    def bottleneck_rate(self, steps: int) -> float:
        """Rows a second of the panel alone, kept full by direct calls of the same blocks."""
        rows = self.schedule.global_batch
        noise = np.random.default_rng(0).normal(0, 0.05, (steps + 1, rows, int(CLIP_S * RATE_HZ))).astype(np.float32)

        async def call(step: int) -> None:
            # Clips of their own, as rollouts are: equal ones that are under way together are judged once.
            requests = [
                {"clip_id": f"{step}-{row}-{time.monotonic_ns()}", "audio": noise[step][row], "sample_rate_hz": RATE_HZ, "reference": None}
                for row in range(rows)
            ]
            await self.handle.judge.remote(requests)

        async def drive() -> float:
            await call(-1)
            began = time.monotonic()
            gate = asyncio.Semaphore(4)

            async def one(step: int) -> None:
                async with gate:
                    await call(step)

            await asyncio.gather(*[one(step) for step in range(steps)])
            return steps * rows / (time.monotonic() - began)

        return asyncio.run(drive())

    def stream_rate(self, steps: int) -> tuple[float, Counter]:
        """Rows a second of the stream (first steps, while the pipeline fills, left out), and the rows by staleness."""
        plan = plan_stream(self.schedule, 0, steps, 1, 1)
        reports, _ = self._drive(plan)
        lags: Counter = Counter()
        for report in reports:
            lags.update({int(n.removeprefix("staleness_")): v for n, v in report.sums.items() if n.startswith("staleness_")})
        fill = self.arguments.staleness + 1
        seconds = reports[-1].time_s - reports[fill].time_s
        return (len(reports) - 1 - fill) * self.schedule.global_batch / seconds, lags

    def dataset_per_step_rate(self, steps: int) -> float:
        """Rows a second of a loop that makes a Dataset for each step; the learner ranks and the store stay up."""
        store, coordinator, pool, links = self._actors(steps)
        began = time.monotonic()
        for step in range(steps):
            plan = StreamPlan(self.schedule, step, step + 1, 1, SCENES_PER_STEP)
            [shard] = self._start(plan, store, coordinator)
            ray.get(pool.ranks[0].apply.remote(run_stream, shard, plan, links), timeout=300)
            del shard
        seconds = time.monotonic() - began
        self._stop(store, coordinator, pool)
        return steps * self.schedule.global_batch / seconds

    def _drive(self, plan: StreamPlan) -> tuple[list[StepReport], float]:
        store, coordinator, pool, links = self._actors(plan.end_step)
        began = time.monotonic()
        [shard] = self._start(plan, store, coordinator)
        running = pool.ranks[0].apply.remote(run_stream, shard, plan, links)
        reports: list[StepReport] = []
        while len(reports) < plan.end_step:
            messages = ray.get(coordinator.messages.remote(5.0), timeout=60)
            reports += [message for message in messages if isinstance(message, StepReport)]
            if ray.wait([running], timeout=0)[0]:
                ray.get(running)
        ray.get(running, timeout=60)
        del shard
        self._stop(store, coordinator, pool)
        return reports, time.monotonic() - began

    def _start(self, plan: StreamPlan, store: Any, coordinator: Any) -> list[Any]:
        stages = enhancement_stages(
            plan,
            scenes=self.scenes,
            enhancer_folder=self.enhancer,
            exploration=ExplorationConfig(),
            rollout=RolloutConfig(clip_s=CLIP_S, num_cpus=0.1, resources=self.resources["rollout"]),
            reward=RewardConfig(),
            panel=self.panel,
            panel_app=PANEL_APP,
            staleness=StalenessConfig(max_staleness=self.arguments.staleness),
            store=store,
            coordinator=coordinator,
            with_target=False,
            with_reference=False,
        )
        return start_stages(plan, stages)

    def _actors(self, steps: int) -> tuple[Any, Any, LearnerPool, StreamLinks]:
        self.runs += 1
        store = ray.remote(num_cpus=0, max_concurrency=1000, resources=ON_HEAD)(WeightStore).remote(self.arguments.staleness + 2)
        ray.get(store.publish.remote(0, {name: value.numpy() for name, value in load_enhancer(self.enhancer).state_dict().items()}))
        run_folder = str(self.folder / f"run-{self.runs}")
        coordinator = ray.remote(num_cpus=0, max_concurrency=1000, resources=ON_HEAD)(RunCoordinator).remote(
            run_folder,
            world_size=1,
            first_step=0,
            phase_end_step=steps,
            end_step=steps + 1,  # no last checkpoint: this measures the stream
            global_batch=self.schedule.global_batch,
            max_staleness=self.arguments.staleness,
            checkpoint_every=10**9,
            budget=FailureBudgetConfig(),
            quarantine=QuarantineConfig(),
            scenes=self.schedule.scenes,
        )
        config = LearnerPoolConfig(num_cpus=0.1, resources=self.resources["learner"])
        pool = LearnerPool(partial(SleepLearner, self.arguments.learner_s, self.enhancer), config)
        pool.start()
        columns = ("rollout_id", "step", "scene_id", "mix", "frames", "action", "action_mean", "reference_mean", "parts")
        return store, coordinator, pool, StreamLinks(store, coordinator, run_folder, columns, part_names(self.panel), 60.0)

    def _stop(self, store: Any, coordinator: Any, pool: LearnerPool) -> None:
        pool.stop()
        ray.kill(store)
        ray.kill(coordinator)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; see the module's text."""
    formatter = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipeline", description=__doc__, formatter_class=formatter)
    parser.add_argument("--repeats", type=int, default=3, help="runs of each (default 3)")
    parser.add_argument("--steps", type=int, default=40, help="steps of a run of the stream (default 40)")
    parser.add_argument("--staleness", type=int, default=StalenessConfig().max_staleness, help="K (default: the configuration's)")
    parser.add_argument("--judge-s", type=float, default=0.4, help="seconds of judging a step (default 0.4)")
    parser.add_argument("--learner-s", type=float, default=0.2, help="seconds of learning a step (default 0.2)")
    parser.add_argument("--nodes", type=int, choices=(1, len(TYPES)), default=1, help="3: a node for each pool (default 1)")
    arguments = parser.parse_args(argv)
    root = str(Path(__file__).resolve().parent.parent)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    console = Console()
    rates: dict[str, list[float]] = {"the panel alone, kept full": [], "the stream": [], "a Dataset per step": []}
    lags: Counter = Counter()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        address = stack.enter_context(typed_nodes()).address if arguments.nodes > 1 else ""
        stack.enter_context(cluster(ClusterSettings(address=address), namespace="benchmark"))
        bench = Bench(Path(folder), arguments)
        bench.handle = start_panel(bench.panel)
        for repeat in range(arguments.repeats):
            rates["the panel alone, kept full"].append(bench.bottleneck_rate(max(10, arguments.steps // 2)))
            rate, found = bench.stream_rate(arguments.steps)
            rates["the stream"].append(rate)
            lags += found
            rates["a Dataset per step"].append(bench.dataset_per_step_rate(max(4, arguments.steps // 10)))
            latest = ", ".join(f"{name} {values[-1]:.1f}" for name, values in rates.items())
            console.print(f"repeat {repeat + 1} of {arguments.repeats}: {latest} rows/s")
    print_results(console, arguments, rates, lags)
    return 0


def print_results(console: Console, arguments: argparse.Namespace, rates: Mapping[str, list[float]], lags: Counter) -> None:
    """The table, the staleness, and the closing line."""
    [alone, stream, _] = rates.values()
    table = Table(
        "design",
        "rows/s: median (min-max)",
        "share of the bottleneck: median (min-max)",
        title=f"K = {arguments.staleness}, nodes: {arguments.nodes}",
    )
    for name, values in rates.items():
        shares = [value / own for value, own in zip(values, alone, strict=True)]
        table.add_row(name, _spread(values, 1), _spread(shares, 3))
    console.print(table)
    total = sum(lags.values())
    console.print("rows by staleness: " + ", ".join(f"{lag}: {count / total:.0%}" for lag, count in sorted(lags.items())))
    console.print(f"largest staleness: {max(lags)} (bound: {arguments.staleness})")
    print(f"share of bottleneck: {statistics.median(s / a for s, a in zip(stream, alone, strict=True)):.3f}")


def _spread(values: Sequence[float], digits: int) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


if __name__ == "__main__":
    sys.exit(main())
