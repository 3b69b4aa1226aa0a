"""A cluster of typed nodes on this machine, whose nodes can be lost: a head, and two each for rollouts, judges and learner ranks."""

from contextlib import suppress
from typing import Any

import psutil
from ray.cluster_utils import Cluster

KINDS = ("rollout", "reward", "learner")
SETTINGS = (
    "rollout.resources={rollout=1}",
    "learner_pool.resources={learner=1}",
)
JUDGE_RESOURCES = ", resources={reward=1}"
PLACES = 2
"""Of each kind on a node: the other node of a kind can take what a lost one had."""


class Nodes:
    """A context manager; the nodes are processes of this one."""

    def __init__(self) -> None:
        small = {"num_cpus": 4, "object_store_memory": 100 << 20, "include_dashboard": False}
        self._cluster = Cluster(initialize_head=True, head_node_args=small)
        self.address: str = self._cluster.address
        self._nodes: dict[str, list[Any]] = {kind: [] for kind in KINDS}
        for kind in KINDS:
            self.complete(kind)

    def __enter__(self) -> "Nodes":
        return self

    def __exit__(self, *error: object) -> None:
        self._cluster.shutdown()

    def complete(self, kind: str) -> None:
        """Two nodes of a kind, as an autoscaler would see to it. To be called in the main thread: Ray sets signal handlers."""
        while len(self._nodes[kind]) < 2:
            self._nodes[kind].append(self._cluster.add_node(num_cpus=2, resources={kind: PLACES}, object_store_memory=80 << 20))

    def lose(self, kind: str, process: psutil.Process) -> None:
        """The node of this kind on which a process runs is gone at once, with all that runs on it."""
        raylet = process.ppid()
        node = next((node for node in self._nodes[kind] if raylet in _pids(node)), self._nodes[kind][0])
        self._nodes[kind].remove(node)
        with suppress(AssertionError):  # Ray waits a few seconds to see it gone, and says so where that was too short
            self._cluster.remove_node(node, allow_graceful=False)


def _pids(node: Any) -> list[int]:
    return [started.process.pid for processes in node.all_processes.values() for started in processes]
