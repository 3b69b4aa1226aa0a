"""A cluster of two nodes on this machine: what has to be on the head is there, and a folder that a node does not see is found at once."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster

from actors.cluster import ON_HEAD, require_shared
from actors.weights import WeightStore
from auricle.errors import EnvironmentSetupError


@pytest.fixture
def two_nodes() -> Iterator[Cluster]:
    ray.shutdown()
    small = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=small)
    cluster.add_node(num_cpus=4, object_store_memory=80 << 20)
    ray.init(address=cluster.address, log_to_driver=False)
    try:
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.mark.slow
def test_a_cluster_of_two_nodes(two_nodes: Cluster, tmp_path: Path) -> None:
    store = ray.remote(num_cpus=0, resources=ON_HEAD)(WeightStore).remote(2)
    assert ray.get(store.latest.remote(), timeout=60) == -1
    [node] = [actor["NodeID"] for actor in ray._private.state.actors().values() if "WeightStore" in actor["ActorClassName"]]
    assert node == two_nodes.head_node.node_id

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
