"""cluster.yaml is what Ray's cluster launcher accepts, checked without a cloud."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.command import load_settings

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "cluster.yaml").read_text(encoding="utf-8"))


def validate(config: dict[str, Any]) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(config))


def test_ray_accepts_it(cluster: dict[str, Any]) -> None:
    validate(cluster)


def test_ray_would_refuse_a_misspelt_key(cluster: dict[str, Any]) -> None:
    with pytest.raises(Exception, match="max_workrs"):
        validate({**cluster, "max_workrs": 3})


def test_every_pool_scales_apart_from_the_others(cluster: dict[str, Any]) -> None:
    types = cluster["available_node_types"]
    for pool in ("rollout", "reward", "learner"):
        assert [name for name, kind in types.items() if pool in kind["resources"]] == [pool]
    assert types["reward"]["min_workers"] == 0
    assert types["reward"]["resources"]["GPU"] >= 1


def test_the_workers_fit_under_the_clusters_limit(cluster: dict[str, Any]) -> None:
    workers = sum(kind.get("max_workers", 0) for name, kind in cluster["available_node_types"].items() if name != cluster["head_node_type"])
    assert workers <= cluster["max_workers"]


def test_nodes_are_set_up_as_a_laptop_is(cluster: dict[str, Any]) -> None:
    assert any(command.endswith("make -C ~/auricle venv") for command in cluster["setup_commands"])
    assert ".venv" in cluster["rsync_exclude"]


def test_the_avsec4_preset_fits_this_cluster(cluster: dict[str, Any]) -> None:
    types = {name: kind for name, kind in cluster["available_node_types"].items() if name != cluster["head_node_type"]}
    settings = load_settings("avsec4")
    pools = [(settings.rollout, settings.rollout.actors), (settings.learner_pool, settings.learner_pool.ranks)]
    pools += [(judge, judge.max_replicas) for judge in settings.panel.judges if judge.resources]
    for pool, size in pools:
        need = {**pool.resources, "CPU": pool.num_cpus, "GPU": pool.num_gpus}
        places = sum(
            kind["max_workers"] * int(min(kind["resources"].get(name, 0) / amount for name, amount in need.items() if amount))
            for kind in types.values()
        )
        assert places >= size, f"{pool}: {need} has {places} places on this cluster"
