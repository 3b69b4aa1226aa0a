"""A Ray cluster on this machine whose autoscaler adds and removes nodes: Ray's fake multi-node provider, whose nodes are raylets here.

Ray's own AutoscalingCluster ends every Ray of the machine before it starts, and wants a file that its wheel lacks. Here the provider is
named as an external one, the head listens on loopback at a port of its own, and what was started is ended by its id.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import ray
from ray._private import ray_constants
from ray._private.authentication.authentication_token_setup import enable_token_auth_by_default, ensure_token_if_auth_enabled

HEAD_ID = "fffffffffffffffffffffffffffffffffffffffffffffffffff00000"
"""The provider's own name for its head."""
_NOTHING = (
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
    "cluster_synced_files",
)
"""An external provider has no defaults for these, and the autoscaler wants them."""
START_TIMEOUT_S = 60.0
OBJECT_STORE = 80 << 20


@contextlib.contextmanager
def fake_cluster(kinds: Mapping[str, Mapping[str, float]], *, most: int, idle_s: float, head_cpus: float = 4) -> Iterator[str]:
    """A head, and up to `most` nodes of each of `kinds` (Ray resources by name) as they are asked for; idle ones go after `idle_s`.

    Gives the address to join.
    """
    folder = Path(tempfile.mkdtemp(prefix="auricle-", dir="/tmp"))  # sockets' paths may have 107 characters
    address = f"127.0.0.1:{_free_port()}"
    config = folder / "cluster.json"
    config.write_text(json.dumps(_config(kinds, address, most, idle_s, head_cpus)))
    environment = {
        "RAY_FAKE_CLUSTER": "1",
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_enable_autoscaler_v2": "1",
        "RAY_CLOUD_INSTANCE_ID": HEAD_ID,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID,
        "RAY_AUTH_MODE": "token",
        ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR: "0",  # all nodes on loopback
    }
    # As ray.init does for a Ray of one's own; for an address that it is given it asks for a token only where the process is told to.
    enable_token_auth_by_default()
    ensure_token_if_auth_enabled(create_token_if_missing=True)
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"]
    command += ["--node-ip-address=127.0.0.1", f"--port={address.split(':')[1]}", f"--autoscaling-config={config}", f"--temp-dir={folder}"]
    command += [f"--num-cpus={head_cpus:g}", f"--object-store-memory={OBJECT_STORE}", "--include-dashboard=false"]
    with _on_loopback(), (folder / "head.log").open("w") as log:
        # A session of its own: `ray start --block` ends its whole process group.
        head = subprocess.Popen(command, env=os.environ | environment, stdout=log, stderr=log, start_new_session=True)
        try:
            _wait_for(address, head, folder / "head.log")
            yield address
        finally:
            _end(head)
            shutil.rmtree(folder, ignore_errors=True)


def nodes_alive() -> int:
    """Nodes of the cluster that this process has joined."""
    return sum(node["Alive"] for node in ray.nodes())


def _config(kinds: Mapping[str, Mapping[str, float]], address: str, most: int, idle_s: float, head_cpus: float) -> dict[str, Any]:
    provider = {
        "type": "external",
        "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
        "head_node_id": HEAD_ID,
        "gcs_address": address,
        "launch_multiple": True,
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
    }
    workers = {
        kind: {
            "resources": dict(resources) | {"object_store_memory": OBJECT_STORE},
            "node_config": {},
            "min_workers": 0,
            "max_workers": most,
        }
        for kind, resources in kinds.items()
    }
    head = {"resources": {"CPU": head_cpus}, "node_config": {}, "max_workers": 0}
    return {
        "cluster_name": "auricle-fake",
        "max_workers": most * len(kinds),
        "idle_timeout_minutes": idle_s / 60,
        "provider": provider,
        "available_node_types": workers | {"ray.head.default": head},
        "head_node_type": "ray.head.default",
        "auth": {},
        "file_mounts": {},
        **{key: [] for key in _NOTHING},
    }


def _wait_for(address: str, head: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while "Ray runtime started" not in log.read_text():
        if head.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"no head at {address}: {log.read_text()[-2000:]}")
        time.sleep(0.2)


def _end(head: subprocess.Popen[bytes]) -> None:
    """The head, and the nodes that its autoscaler started."""
    family = psutil.Process(head.pid).children(recursive=True) if head.poll() is None else []
    head.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        head.wait(15)
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                end(process)
        _, family = psutil.wait_procs(family, timeout=5)
    if head.poll() is None:
        head.kill()
        head.wait()


@contextlib.contextmanager
def _on_loopback() -> Iterator[None]:
    """For this process, in which Ray has read the variable already."""
    before, ray_constants.ENABLE_RAY_CLUSTER = ray_constants.ENABLE_RAY_CLUSTER, False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
