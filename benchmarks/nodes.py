"""A cluster of three typed nodes on this machine, as cluster.yaml's are: raylets of their own, which share nothing but a network.

The head offers `reward`, the others `rollout` and `learner`: a pool that asks for its type (RESOURCES) can only live there, and whatever
passes from pool to pool goes from one node's object store to another's.
"""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray._private import ray_constants
from ray.cluster_utils import Cluster

TYPES = ("reward", "rollout", "learner")
RESOURCES = {name: {name: 1.0} for name in TYPES}
"""What a pool asks for, by type of node."""
_NEW_MOUNTS = 0x00020000  # CLONE_NEWNS


@dataclass(frozen=True)
class TypedNodes:
    """address: where drivers connect. node_ids: by type."""

    address: str
    node_ids: dict[str, str]


def can_hide() -> bool:
    """Whether this user may start processes that see other files (a mount namespace of their own)."""
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0


@contextmanager
def typed_nodes(*, cpus: int = 4, object_store_mib: int = 128, hidden: Path | None = None) -> Iterator[TypedNodes]:
    """The cluster for the time of the `with` block, on loopback. cpus and object_store_mib are each node's.

    hidden: a folder that the learner's node does not see, as where nodes share no file system (`can_hide`).
    """
    size = {"num_cpus": cpus, "object_store_memory": object_store_mib << 20}
    with ExitStack() as stack:
        stack.enter_context(_on_loopback())
        head, *others = TYPES
        nodes = Cluster(initialize_head=True, head_node_args={**size, "include_dashboard": False, "resources": {head: 1}})
        stack.callback(nodes.shutdown)
        ids = {head: nodes.head_node.node_id}
        for name in others:
            away = hidden if name == "learner" else None
            ids[name] = _add(nodes, {**size, "resources": {name: 1}}, away).node_id
        yield TypedNodes(nodes.address, ids)


def _add(nodes: Cluster, arguments: dict[str, Any], hidden: Path | None) -> Any:
    if hidden is None:
        return nodes.add_node(**arguments)
    # A thread may have mounts of its own, which the processes that it starts inherit. It sets no signal handlers, and does not stay.
    nodes._shutdown_at_exit = False
    try:
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(_add_without, nodes, arguments, hidden).result()
    finally:
        nodes._shutdown_at_exit = True


def _add_without(nodes: Cluster, arguments: dict[str, Any], hidden: Path) -> Any:
    if ctypes.CDLL(None, use_errno=True).unshare(_NEW_MOUNTS):
        raise OSError(ctypes.get_errno(), "this user may not have mounts of their own")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", str(hidden)], check=True)
    return nodes.add_node(**arguments)


@contextmanager
def _on_loopback() -> Iterator[None]:
    before = os.environ.get(ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR), ray_constants.ENABLE_RAY_CLUSTER
    os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before[1]
        os.environ.pop(ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR)
        if before[0] is not None:
            os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = before[0]
