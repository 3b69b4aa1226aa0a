"""The parts of KubeRay's and Kubernetes' resources that clusters/ uses, strictly: an unknown or misspelt key is an error.

Names and types are those of KubeRay's API reference, ray.io/v1 (RayCluster, RayJob, RayService), and of Kubernetes' core/v1.
"""

import json
import shlex
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator
from pydantic.alias_generators import to_camel

Quantity = Annotated[str, Field(pattern=r"^\d+(\.\d+)?(m|Ki|Mi|Gi|Ti)?$")]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=47)]


class Strict(BaseModel):
    """Camel-cased keys, all of them known, none of them guessed at: KubeRay wants the strings of rayStartParams as strings."""

    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


class Requirements(Strict):
    limits: dict[Literal["cpu", "memory", "nvidia.com/gpu"], Quantity]
    requests: dict[Literal["cpu", "memory", "nvidia.com/gpu"], Quantity]


class Port(Strict):
    container_port: PositiveInt
    name: Name


class SecretKey(Strict):
    name: Name
    key: str


class ValueFrom(Strict):
    secret_key_ref: SecretKey


class Variable(Strict):
    name: str
    value: str | None = None
    value_from: ValueFrom | None = None


class Mount(Strict):
    name: Name
    mount_path: str
    read_only: bool = False


class Claim(Strict):
    claim_name: Name


class EmptyDir(Strict):
    medium: Literal["Memory", ""] = ""
    size_limit: Quantity


class Volume(Strict):
    name: Name
    persistent_volume_claim: Claim | None = None
    empty_dir: EmptyDir | None = None

    @model_validator(mode="after")
    def _one_source(self) -> "Volume":
        if (self.persistent_volume_claim is None) == (self.empty_dir is None):
            raise ValueError(f"volume {self.name}: expected one source")
        return self


class Container(Strict):
    name: Name
    image: str
    resources: Requirements
    ports: list[Port] = []
    env: list[Variable] = []
    volume_mounts: list[Mount] = []

    def amount(self, resource: str) -> float:
        return float(self.resources.limits.get(resource, "0"))  # type: ignore[call-overload]


class PodSpec(Strict):
    containers: list[Container] = Field(min_length=1, max_length=1)
    volumes: list[Volume] = []
    node_selector: dict[str, str] = {}

    @model_validator(mode="after")
    def _mounts_are_volumes(self) -> "PodSpec":
        mounted = {mount.name for container in self.containers for mount in container.volume_mounts}
        if mounted != {volume.name for volume in self.volumes}:
            raise ValueError(f"mounts {sorted(mounted)} are not the volumes {sorted(volume.name for volume in self.volumes)}")
        return self


class PodTemplate(Strict):
    spec: PodSpec


def custom_resources(parameters: dict[str, str]) -> dict[str, float]:
    """What Ray reads from `resources`, which goes through a shell: a quoted JSON text."""
    (text,) = shlex.split(parameters["resources"])
    return json.loads(text)


def _start_parameters(parameters: dict[str, str]) -> dict[str, str]:
    if unknown := set(parameters) - {"num-cpus", "num-gpus", "resources", "dashboard-host"}:
        raise ValueError(f"unknown parameters of ray start: {sorted(unknown)}")
    if "resources" in parameters and not all(isinstance(amount, int | float) for amount in custom_resources(parameters).values()):
        raise ValueError(f"resources {parameters['resources']}: expected names and amounts")
    return parameters


StartParameters = Annotated[dict[str, str], AfterValidator(_start_parameters)]


class HeadGroup(Strict):
    service_type: Literal["ClusterIP"]
    """NodePort and LoadBalancer would open the dashboard to the network."""
    ray_start_params: StartParameters
    template: PodTemplate


class WorkerGroup(Strict):
    group_name: Name
    replicas: NonNegativeInt
    min_replicas: NonNegativeInt
    max_replicas: PositiveInt
    ray_start_params: StartParameters
    template: PodTemplate

    @model_validator(mode="after")
    def _in_order(self) -> "WorkerGroup":
        if not self.min_replicas <= self.replicas <= self.max_replicas:
            raise ValueError(f"{self.group_name}: {self.min_replicas} <= {self.replicas} <= {self.max_replicas} does not hold")
        return self

    @property
    def resources(self) -> dict[str, float]:
        """What a pod of the group offers to Ray."""
        container = self.template.spec.containers[0]
        return {"CPU": container.amount("cpu"), "GPU": container.amount("nvidia.com/gpu"), **custom_resources(self.ray_start_params)}


class Auth(Strict):
    mode: Literal["token"]


class AutoscalerOptions(Strict):
    version: Literal["v2"]
    idle_timeout_seconds: PositiveInt
    upscaling_mode: Literal["Default", "Conservative"]


class ClusterSpec(Strict):
    ray_version: str
    auth_options: Auth
    enable_in_tree_autoscaling: Literal[True]
    autoscaler_options: AutoscalerOptions
    head_group_spec: HeadGroup
    worker_group_specs: list[WorkerGroup]


class JobSpec(Strict):
    entrypoint: str
    runtime_env_yaml: str = Field(alias="runtimeEnvYAML")
    submission_mode: Literal["K8sJobMode", "HTTPMode"]
    backoff_limit: NonNegativeInt
    shutdown_after_job_finishes: bool
    ttl_seconds_after_finished: PositiveInt
    ray_cluster_spec: ClusterSpec


class ServiceSpec(Strict):
    serve_config: str = Field(alias="serveConfigV2")
    exclude_head_pod_from_serve_svc: bool
    ray_cluster_config: ClusterSpec


class Metadata(Strict):
    name: Name
    labels: dict[str, str] = {}


class Resource(Strict):
    api_version: Literal["ray.io/v1"]
    metadata: Metadata


class RayCluster(Resource):
    kind: Literal["RayCluster"]
    spec: ClusterSpec


class RayJob(Resource):
    kind: Literal["RayJob"]
    spec: JobSpec


class RayService(Resource):
    kind: Literal["RayService"]
    spec: ServiceSpec


def read_resource(text: dict[str, Any]) -> RayCluster | RayJob | RayService:
    """One resource, by its kind."""
    kinds: dict[str, type[RayCluster] | type[RayJob] | type[RayService]] = {
        "RayCluster": RayCluster,
        "RayJob": RayJob,
        "RayService": RayService,
    }
    return kinds[text["kind"]].model_validate(text)
