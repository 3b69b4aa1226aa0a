"""The driver's eye on the panel's pools: asks the panel every second, in a thread, so that a panel that hangs holds nobody up.

scaling.jsonl has a line for each change: {number, time_s (of the epoch), pool, from_replicas, to_replicas (asked for), running (processes
that judged when it was decided), reason, queue_age_s, queue_depth, at_work}. `pool` is a judge, or a shared pool. A panel that several runs
share tells each of them.
"""

import threading
import time
from collections.abc import Mapping
from typing import Any, Self

from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

EVERY_S = 1.0
ANSWER_TIMEOUT_S = 10.0
WORST = ("queue_age_s", "queue_depth")
"""Figures of which the largest since the last step counts; of the others the newest."""


class PoolWatch:
    """`start`; then `events` and `figures` from the driver's thread, as often as one likes; `stop`."""

    def __init__(self, handle: DeploymentHandle) -> None:
        self._handle = handle
        self._lock, self._over = threading.Lock(), threading.Event()
        self._began_s = time.time()
        self._panel, self._last = "", -1
        self._fresh: list[dict[str, Any]] = []
        self._pools: dict[str, dict[str, float]] = {}
        self._worst: dict[tuple[str, str], float] = {}
        self._thread = threading.Thread(target=self._run, name="pool-watch", daemon=True)

    def start(self) -> Self:
        """Begin to ask."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Ask no more."""
        self._over.set()
        self._thread.join(ANSWER_TIMEOUT_S + EVERY_S)

    def events(self) -> list[dict[str, Any]]:
        """What was scaled since the last call, oldest first."""
        with self._lock:
            fresh, self._fresh = self._fresh, []
        return fresh

    def figures(self) -> dict[str, float]:
        """`judge_pool/POOL/replicas`, `queue_age_s` and `queue_depth`: processes now, and the worst of the queue since the last call."""
        with self._lock:
            figures = {}
            for pool, seen in self._pools.items():
                figures[f"judge_pool/{pool}/replicas"] = float(seen["replicas"])
                figures |= {f"judge_pool/{pool}/{name}": float(self._worst.pop((pool, name), seen[name])) for name in WORST}
            return figures

    def take(self, seen: Mapping[str, Any]) -> None:
        """One answer of `Panel.pools`."""
        with self._lock:
            if seen["panel"] != self._panel:  # another process of the panel counts anew
                self._panel, self._last = seen["panel"], -1
            for event in seen["events"]:
                if event["number"] > self._last:
                    self._last = event["number"]
                    if event["time_s"] >= self._began_s:  # a shared panel has a past of its own
                        self._fresh.append(event)
            self._pools = dict(seen["pools"])
            for pool, figures in self._pools.items():
                for name in WORST:
                    self._worst[pool, name] = max(self._worst.get((pool, name), 0.0), figures[name])

    def _run(self) -> None:
        while not self._over.wait(EVERY_S):
            try:
                self.take(self._handle.pools.remote().result(timeout_s=ANSWER_TIMEOUT_S))
            except (RayError, RayServeException, TimeoutError):
                continue  # it is dead or busy: the stream's own deadlines are there for that
