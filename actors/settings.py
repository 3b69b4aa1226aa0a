"""Configuration of the pools between scenes and learners. Imports no Ray, so that `--help` and `--dry-run` stay quick."""

from pydantic import PositiveFloat, PositiveInt

from auricle.config import Config


class ClusterSettings(Config):
    """The Ray cluster a verb runs on."""

    address: str = ""
    """Address of a running cluster (`auto` inside `ray job submit`). Empty: $RAY_ADDRESS if set, else one of its own on this machine."""
    logical_cpus: int = 8
    """CPUs that a cluster of its own announces. Pools ask for fractions; the operating system shares the real cores."""
    object_store_mib: int = 512
    """Shared memory for objects of a cluster of its own, in MiB."""


class RolloutConfig(Config):
    """The rollout pool."""

    actors: PositiveInt = 1
    """Number of rollout actors."""
    num_cpus: float = 0.5
    """Logical CPUs of each."""
    num_gpus: float = 0.0
    """GPUs of each; the enhancer runs on the GPU where this is above zero."""
    resources: dict[str, float] = {}
    """Further Ray resources of each, such as {"rollout": 1} to pin the pool to a kind of node."""
    clip_s: PositiveFloat = 2.5
    """Length of the crop taken from each scene, in seconds; shorter scenes are padded."""
    gate_timeout_s: PositiveFloat = 900.0
    """Longest time without a new policy version, in seconds, while one is waited for."""


class RewardConfig(Config):
    """The clients between the stream and the panel."""

    clients: PositiveInt = 1
    """Number of client actors."""
    blocks_in_flight: PositiveInt = 4
    """Blocks that one client has at the panel at a time."""
    timeout_s: PositiveFloat = 150.0
    """Deadline of judging one block, all calls to the panel and the pauses between them together, in seconds."""
    attempts: PositiveInt = 4
    """Calls made for a block, within that time, before its rows count as failed."""
    pause_s: PositiveFloat = 0.5
    """Pause before the second call, in seconds; doubled each time, with jitter."""
    num_cpus: float = 0.1
    """Logical CPUs of a client actor."""
