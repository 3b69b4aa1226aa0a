"""The weight store: the gate's promise, exact or at least, and what happens when a version never comes."""

import asyncio
import time

import numpy as np
import pytest
import ray

from actors.weights import WeightStore
from auricle.errors import DeadlineError


def weights(value):
    return {"a": np.full(3, value, np.float32)}


def test_the_gate_opens_when_the_version_is_published(ray_local):
    store = ray.remote(num_cpus=0)(WeightStore).remote(3)
    ray.get(store.publish.remote(0, weights(0)))
    waiting = store.wait.remote(2, False, 30)
    assert ray.wait([waiting], timeout=0.3)[0] == []
    ray.get([store.publish.remote(version, weights(version)) for version in (1, 2)])
    version, [reference] = ray.get(waiting, timeout=10)
    assert version == 2
    assert ray.get(reference)["a"].tolist() == [2.0, 2.0, 2.0]
    ray.kill(store)


def test_exact_gives_the_old_version_and_at_least_the_newest(ray_local):
    store = ray.remote(num_cpus=0)(WeightStore).remote(3)
    ray.get([store.publish.remote(version, weights(version)) for version in range(3)])
    assert ray.get(store.wait.remote(1, True, 1))[0] == 1
    assert ray.get(store.wait.remote(1, False, 1))[0] == 2
    ray.kill(store)


def test_a_version_that_never_comes_is_an_error_within_the_deadline():
    with pytest.raises(DeadlineError, match="version 5 was not published"):
        asyncio.run(WeightStore(2).wait(5, True, 0.05))


def test_the_deadline_begins_anew_with_every_version(ray_local):
    """Version 1 comes after more than the deadline, but neither it nor the one before was so long in coming."""
    store = ray.remote(num_cpus=0)(WeightStore).remote(2)
    ray.get(store.latest.remote())
    waiting = store.wait.remote(1, False, 4.0)
    for version in range(2):
        time.sleep(2.2)
        ray.get(store.publish.remote(version, weights(version)))
    assert ray.get(waiting, timeout=10)[0] == 1
    ray.kill(store)


def test_a_forgotten_version_is_an_error(ray_local):
    store = ray.remote(num_cpus=0)(WeightStore).remote(2)
    ray.get([store.publish.remote(version, weights(version)) for version in range(4)])
    with pytest.raises(DeadlineError, match="no longer kept"):
        ray.get(store.wait.remote(0, True, 1))
    ray.kill(store)
