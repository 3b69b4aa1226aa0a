"""The KubeRay variants in clusters/, checked strictly and without a Kubernetes."""

import shlex
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from actors.serve_config import panel_of, read_serve_config
from auricle.bearer import TOKEN_VARIABLE
from auricle.errors import ConfigError
from pipelines.command import load_settings
from tests.kuberay import ClusterSpec, RayJob, RayService, read_resource
from tests.pools import check_fit

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(path.name for path in (ROOT / "clusters").glob("kuberay-*.yaml"))


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / "clusters" / name).read_text(encoding="utf-8"))


def cluster_of(name: str) -> ClusterSpec:
    spec = read_resource(read(name)).spec
    if isinstance(spec, ClusterSpec):
        return spec
    return spec.ray_cluster_spec if hasattr(spec, "ray_cluster_spec") else spec.ray_cluster_config


@pytest.mark.parametrize("name", FILES)
def test_every_key_is_one_that_kuberay_knows(name: str) -> None:
    assert cluster_of(name).ray_version == version("ray")


@pytest.mark.parametrize("name", FILES)
def test_no_value_is_a_tag_or_secret_of_ours(name: str) -> None:
    for group in [cluster_of(name).head_group_spec, *cluster_of(name).worker_group_specs]:
        (container,) = group.template.spec.containers
        assert container.image == "REGISTRY/auricle:0.1.0"
        assert not [variable.name for variable in container.env if "TOKEN" in variable.name and variable.value]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("maxReplicas: 8", "maxReplica: 8"),
        ("mode: token", "mode: disabled"),
        ("ClusterIP", "LoadBalancer"),
        ('num-cpus: "4"', "num-cpus: 4"),
    ],
)
def test_what_would_go_wrong_is_found(old: str, new: str) -> None:
    text = (ROOT / "clusters" / "kuberay-cluster.yaml").read_text(encoding="utf-8")
    assert old in text
    with pytest.raises(ValidationError):
        read_resource(yaml.safe_load(text.replace(old, new, 1)))


def test_the_job_brings_the_cluster_that_stays() -> None:
    assert read("kuberay-job.yaml")["spec"]["rayClusterSpec"] == read("kuberay-cluster.yaml")["spec"]


def test_the_services_pods_are_the_clusters_with_a_token_of_a_secret() -> None:
    def bare(group: Any) -> dict[str, Any]:
        values = group.model_dump()
        for container in values["template"]["spec"]["containers"]:
            container["env"] = []
        return values

    service, cluster = cluster_of("kuberay-service.yaml"), cluster_of("kuberay-cluster.yaml")
    assert bare(service.head_group_spec) == bare(cluster.head_group_spec)
    by_name = {group.group_name: bare(group) for group in cluster.worker_group_specs}
    assert [by_name[group.group_name] for group in service.worker_group_specs] == [bare(group) for group in service.worker_group_specs]
    for group in (service.head_group_spec, *service.worker_group_specs):
        (variable,) = group.template.spec.containers[0].env
        assert (variable.name, variable.value) == (TOKEN_VARIABLE, None)
        assert variable.value_from is not None


def test_the_services_judges_are_those_of_the_serve_config(tmp_path: Path) -> None:
    service = read_resource(read("kuberay-service.yaml"))
    assert isinstance(service, RayService)
    path = tmp_path / "serve.yaml"
    path.write_text(service.spec.serve_config)
    (application,) = read_serve_config(path).applications
    (panel,) = read_serve_config(ROOT / "serve_configs" / "judges-gpu.yaml").applications
    assert application.args["panel"]["judges"] == panel.args["judges"]
    assert panel_of(application, source="service") == panel_of(panel, source="panel")
    path.write_text(service.spec.serve_config.replace("bearer: true", "bearer: false"))
    with pytest.raises(ConfigError, match="would answer the whole network"):
        read_serve_config(path)


def test_the_avsec4_preset_fits_the_cluster() -> None:
    check_fit(
        "avsec4",
        {group.group_name: (group.resources, group.max_replicas) for group in cluster_of("kuberay-cluster.yaml").worker_group_specs},
    )


def test_the_job_runs_a_preset_with_keys_that_exist() -> None:
    job = read_resource(read("kuberay-job.yaml"))
    assert isinstance(job, RayJob)
    words = shlex.split(job.spec.entrypoint)
    assert words[:3] == ["python", "-m", "pipelines.finetune"]
    settings = load_settings("avsec4", [words[place + 1] for place, word in enumerate(words) if word == "--set"])
    assert str(settings.run.folder).startswith("/shared/")
    assert yaml.safe_load(job.spec.runtime_env_yaml) == yaml.safe_load((ROOT / "clusters" / "job.yaml").read_text(encoding="utf-8"))
