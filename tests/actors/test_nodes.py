"""A cluster of two nodes on this machine: what has to be on the head is there, and a folder that a node does not see is found at once."""

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import ray
from ray._private import ray_constants
from ray.cluster_utils import Cluster

from actors.cluster import ON_HEAD, cluster, require_shared
from actors.settings import ClusterSettings
from auricle.errors import EnvironmentSetupError


@pytest.fixture
def plain_ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No Ray before, and none of its switches after."""
    ray.shutdown()
    monkeypatch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", True)
    monkeypatch.setenv(ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, "1")
    yield
    ray.shutdown()


@pytest.fixture
def two_nodes(plain_ray: None) -> Iterator[Cluster]:
    small = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}
    two = Cluster(initialize_head=True, head_node_args=small)
    two.add_node(num_cpus=4, object_store_memory=80 << 20)
    ray.init(address=two.address, log_to_driver=False)
    try:
        yield two
    finally:
        ray.shutdown()
        two.shutdown()


@pytest.mark.usefixtures("plain_ray")
def test_a_cluster_of_ones_own_listens_on_loopback_alone() -> None:
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    with cluster(ClusterSettings(logical_cpus=2, object_store_mib=80), namespace="test"):
        started = [process for process in psutil.Process().children(recursive=True) if process.pid not in before]
        listening = {
            (connection.laddr.ip, process.name())
            for process in started
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        }
    assert listening
    assert {entry for entry in listening if entry[0] not in ("127.0.0.1", "::1", "::ffff:127.0.0.1")} == set()


@pytest.mark.usefixtures("plain_ray")
def test_a_ray_that_does_not_start_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def times_out(**options: object) -> None:
        raise Exception("The current node timed out during startup.")  # as ray._private.node.Node does

    monkeypatch.setattr(ray, "init", times_out)
    with (
        pytest.raises(EnvironmentSetupError, match="is it overloaded"),
        cluster(ClusterSettings(), namespace="test"),
    ):
        pass


class Here:
    """Says where it is."""

    def node(self) -> str:
        return ray.get_runtime_context().get_node_id()


@pytest.mark.slow
def test_a_cluster_of_two_nodes(two_nodes: Cluster, tmp_path: Path) -> None:
    pinned = ray.remote(num_cpus=0, resources=ON_HEAD)(Here).remote()
    assert ray.get(pinned.node.remote(), timeout=60) == two_nodes.head_node.node_id

    require_shared(tmp_path, [tmp_path])
    assert not list(tmp_path.iterdir())
    with pytest.raises(EnvironmentSetupError, match=r"node \S+ does not see .*elsewhere"):
        require_shared(tmp_path, [tmp_path / "elsewhere"])
    # This process's own name for the folder: the same path is another thing, or nothing, in the nodes' processes.
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(EnvironmentSetupError, match="shared file system"):
            require_shared(Path(f"/proc/self/fd/{descriptor}"))
    finally:
        os.close(descriptor)
    assert not list(tmp_path.iterdir())
