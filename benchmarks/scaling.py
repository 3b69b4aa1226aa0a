"""Do the reward pools grow and shrink with the queue, and nodes with them?  python -m benchmarks.scaling

(a) processes 0 -> N -> 0: a panel whose only judge may sleep; blocks arrive in a wave, wait, and are judged by as many processes as the
    queue's age asks for. The judge sleeps `--judge-s` a block, so that the figures are the scaling's and not this machine's.
(b) nodes 1 -> 1+N -> 1: the same panel on a cluster whose autoscaler adds a node for each judge (Ray's fake provider: the nodes are raylets
    of this machine), and takes it away when it is idle.

Prints, for each, the events in their order with their times and reasons, and what became of every block.
"""

import argparse
import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import ray
from ray import serve
from rich.console import Console
from rich.table import Table

from actors.cluster import cluster, quiet, worker_environment
from actors.panel import start_panel, stop_panel
from actors.settings import ClusterSettings
from auricle.judging.panel import JudgeConfig, PanelConfig
from auricle.judging.scaling import ScalingConfig
from benchmarks.fake_cluster import fake_cluster, nodes_alive

RATE_HZ = 16000
CLIPS = 4
POLL_S = 0.5


@dataclass
class Course:
    """What was seen: (seconds since the begin, what, how many, why), and each block's verdict."""

    began_s: float = field(default_factory=time.time)
    rows: list[tuple[float, str, str, str]] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    latency_s: list[float] = field(default_factory=list)
    most: dict[str, int] = field(default_factory=dict)
    at_end: dict[str, int] = field(default_factory=dict)

    @property
    def went_well(self) -> bool:
        """Whether all was scored and everything went away again."""
        return set(self.states) == {"scored"} and self.at_end.get("processes") == 0 and self.at_end.get("nodes", 1) == 1

    def add(self, time_s: float, what: str, change: str, why: str) -> None:
        """Another event. time_s: of the epoch."""
        self.rows.append((time_s - self.began_s, what, change, why))

    def see(self, what: str, count: int) -> None:
        """The number of something now; noted where it has changed."""
        before = self.at_end.get(what)
        if before != count:
            if before is not None:
                self.add(time.time(), what, f"{before} -> {count}", "")
            self.at_end[what] = count
            self.most[what] = max(count, self.most.get(what, 0))


def panel_of(most: int, judge_s: float, *, on_nodes: bool, scaling: ScalingConfig) -> PanelConfig:
    """A panel of one judge that sleeps at zero; on_nodes: each of its processes wants a node of the kind `reward`."""
    judge = JudgeConfig(
        name="sleeper",
        kind="benchmarks.pipeline:SleepJudge",
        options={"block_s": judge_s * 16 / CLIPS},  # its own blocks have 16 clips
        batch_size=CLIPS,
        batch_calls=1,
        min_replicas=0,
        max_replicas=most,
        scaling=scaling,
        num_cpus=0.05,
        resources={"reward": 1.0} if on_nodes else {},
        deadline_s=600.0,
    )
    return PanelConfig(judges=(judge,), cache_size=0, num_cpus=0.05)


def wave(panel: PanelConfig, blocks: int, timeout_s: float, *, with_nodes: bool) -> Course:
    """Start the panel, send it `blocks` blocks at once, and look on until all processes (and nodes) are gone again."""
    course = Course()
    handle = start_panel(panel)
    try:
        with _following(course, handle, with_nodes):
            asyncio.run(_send(handle, blocks, course))
            course.add(time.time(), "blocks", f"{blocks} judged", "")
            _until(lambda: course.at_end.get("processes") == 0, timeout_s)
            if with_nodes:
                _until(lambda: course.at_end.get("nodes") == 1, timeout_s)
    finally:
        stop_panel()
    return course


async def _send(handle: Any, blocks: int, course: Course) -> None:
    clip = np.random.default_rng(0).normal(0, 0.1, RATE_HZ // 4).astype(np.float32)

    async def one(block: int) -> None:
        requests = [
            {"clip_id": f"{block}-{row}", "audio": clip, "sample_rate_hz": RATE_HZ, "reference": None, "fresh": True}
            for row in range(CLIPS)
        ]
        began_s = time.monotonic()
        answers = await handle.judge.remote(requests)
        course.latency_s.append(time.monotonic() - began_s)
        course.states += [answer["sleeper"]["state"] + answer["sleeper"].get("reason", "") for answer in answers]

    course.add(time.time(), "blocks", f"{blocks} sent", "")
    await asyncio.gather(*(one(block) for block in range(blocks)))


@contextmanager
def _following(course: Course, handle: Any, with_nodes: bool) -> Iterator[None]:
    over = threading.Event()

    def follow() -> None:
        last = -1
        while not over.wait(POLL_S):
            seen = handle.pools.remote().result(timeout_s=60)
            for event in seen["events"]:
                if event["number"] > last:
                    last = event["number"]
                    course.add(event["time_s"], "asked for", f"{event['from_replicas']} -> {event['to_replicas']}", event["reason"])
            course.see("processes", int(seen["pools"]["sleeper"]["replicas"]))
            if with_nodes:
                course.see("nodes", nodes_alive())

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(60)


def _until(true: Callable[[], bool], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not true() and time.monotonic() < deadline:
        time.sleep(POLL_S)


def on_this_machine(most: int, judge_s: float, blocks: int, scaling: ScalingConfig, timeout_s: float = 120.0) -> Course:
    """(a), on the Ray that this process has joined."""
    return wave(panel_of(most, judge_s, on_nodes=False, scaling=scaling), blocks, timeout_s, with_nodes=False)


def on_nodes(most: int, judge_s: float, blocks: int, scaling: ScalingConfig, node_idle_s: float, timeout_s: float = 240.0) -> Course:
    """(b), on a cluster of its own."""
    panel = panel_of(most, judge_s, on_nodes=True, scaling=scaling.model_copy(update={"wake_timeout_s": 300.0}))
    with fake_cluster({"reward": {"CPU": 1, "reward": 1}}, most=most, idle_s=node_idle_s) as address:
        ray.init(address=address, namespace="benchmark", log_to_driver=False, runtime_env={"env_vars": worker_environment()})
        try:
            return wave(panel, blocks, timeout_s, with_nodes=True)
        finally:
            serve.shutdown()
            ray.shutdown()


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; see the module's text. 1 where something was not scored, or is left over."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scaling", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--most", type=int, default=4, help="most processes, and nodes (default 4)")
    parser.add_argument("--blocks", type=int, default=40, help="blocks sent at once (default 40)")
    parser.add_argument("--judge-s", type=float, default=2.0, help="seconds of judging a block (default 2)")
    parser.add_argument("--node-idle-s", type=float, default=10.0, help="seconds after which an idle node goes (default 10)")
    parser.add_argument("--only", choices=("processes", "nodes"), help="one of the two")
    arguments = parser.parse_args(argv)
    os.environ["PYTHONPATH"] = worker_environment()["PYTHONPATH"]
    quiet()
    scaling = ScalingConfig(target_queue_age_s=2.0, upscale_delay_s=3.0, downscale_delay_s=5.0, idle_to_zero_s=8.0)
    size = (arguments.most, arguments.judge_s, arguments.blocks, scaling)
    console, courses = Console(), []
    if arguments.only != "nodes":
        with cluster(ClusterSettings(), namespace="benchmark"):
            courses.append(on_this_machine(*size))
            show(console, "(a) processes on one machine", courses[-1])
    if arguments.only != "processes":
        courses.append(on_nodes(*size, node_idle_s=arguments.node_idle_s))
        show(console, "(b) processes, and the nodes they ask for", courses[-1])
    return 0 if all(course.went_well for course in courses) else 1


def show(console: Console, title: str, course: Course) -> None:
    """The table of one part, and its sums."""
    table = Table("seconds", "what", "change", "reason", title=title)
    for time_s, what, change, why in sorted(course.rows):
        table.add_row(f"{time_s:.1f}", what, change, why)
    console.print(table)
    for what, most in course.most.items():
        console.print(f"{what}: at most {most}, {course.at_end[what]} at the end")
    counts = ", ".join(f"{state} {course.states.count(state)}" for state in sorted(set(course.states)))
    latency_s = np.array(course.latency_s)
    console.print(f"clips: {counts}; a block took {np.median(latency_s):.1f} s (median), {latency_s.max():.1f} s (longest)")


if __name__ == "__main__":
    sys.exit(main())
