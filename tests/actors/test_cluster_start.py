"""Ray on a machine that is busy: a start that was too slow is tried again, and leaves no processes behind."""

import psutil
import pytest
import ray
from ray._private import node as ray_node

from actors.cluster import START_TRIES, cluster
from actors.settings import ClusterSettings
from auricle.errors import EnvironmentSetupError

SLOW = "The current node timed out during startup. This could happen because some of the raylet failed to startup"


@pytest.fixture
def slow_starts(monkeypatch):
    """Each of the first `count` nodes is up, and then counts as too late: Ray's own words, from the place where it says them."""
    started: list[int] = []

    def late(count):
        real = ray_node.Node.start_ray_processes

        def start(self):
            real(self)
            started.append(len(self.live_processes()))
            if len(started) <= count:
                raise Exception(SLOW)

        monkeypatch.setattr(ray_node.Node, "start_ray_processes", start)
        return started

    return late


def test_a_start_that_is_too_slow_is_tried_again_and_what_it_left_is_ended(slow_starts):
    before, started = set(psutil.Process().children(recursive=True)), slow_starts(1)
    with cluster(ClusterSettings(logical_cpus=1), namespace="test"):
        assert len(started) == 2
        raylets = [process for process in set(psutil.Process().children(recursive=True)) - before if process.name() == "raylet"]
        assert len(raylets) == 1
        assert ray.get(ray.remote(lambda: 7).remote()) == 7


def test_after_the_last_try_it_is_an_error_with_the_cure(slow_starts):
    before, started = set(psutil.Process().children()), slow_starts(START_TRIES)
    with (
        pytest.raises(EnvironmentSetupError, match=r"timed out during startup.*Try again when it is idle"),
        cluster(ClusterSettings(), namespace="test"),
    ):
        pass
    assert len(started) == START_TRIES
    assert set(psutil.Process().children()) <= before
