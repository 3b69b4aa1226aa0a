"""Joining a Ray cluster, or starting one inside this machine."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray

from actors.settings import ClusterSettings
from auricle.errors import EnvironmentSetupError

WORKER_ENVIRONMENT = {
    # One thread a process: pools share the cores as processes; two busy threads on two cores were ten times slower (docs/log.md).
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "TOKENIZERS_PARALLELISM": "false",
    "DS_ACCELERATOR": "cpu",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    # vLLM and the learner free and ask for the same large blocks all the time; without these the kernel does most of the work.
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "1073741824",
}


@contextmanager
def cluster(settings: ClusterSettings, *, namespace: str) -> Iterator[None]:
    """Connect for the time of the `with` block. Raises EnvironmentSetupError where the named cluster does not answer."""
    address = settings.address or os.environ.get("RAY_ADDRESS", "")
    quiet()
    try:
        if address:
            ray.init(address=address, namespace=namespace, runtime_env={"env_vars": worker_environment()}, log_to_driver=True)
        else:
            os.environ.update(worker_environment())
            ray.init(
                address="local",
                namespace=namespace,
                num_cpus=settings.logical_cpus,
                object_store_memory=settings.object_store_mib << 20,
                include_dashboard=False,
                logging_level=logging.WARNING,
                log_to_driver=bool(os.environ.get("AURICLE_WORKER_LOGS")),
            )
    except (ConnectionError, TimeoutError, ValueError) as error:
        where = f"no Ray cluster answers at {address!r}" if address else "Ray did not start on this machine"
        cure = (
            "start one (ray start --head), or unset RAY_ADDRESS"
            if address
            else "is it overloaded, or out of memory? Try again when it is idle"
        )
        raise EnvironmentSetupError(f"{where}: {error}; {cure}") from error
    try:
        yield
    finally:
        ray.shutdown()


def worker_environment() -> dict[str, str]:
    """Environment of all worker processes; what the user has set wins. Workers find the checkout's packages whatever their folder."""
    root = str(Path(__file__).resolve().parent.parent)
    path = os.pathsep.join(dict.fromkeys([root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]))
    return {name: os.environ.get(name, value) for name, value in WORKER_ENVIRONMENT.items()} | {"PYTHONPATH": path}


def quiet() -> None:
    """Silence the frameworks' start-up chatter; warnings and errors stay."""
    for name in ("ray", "ray.data", "ray.serve", "deepspeed", "DeepSpeed", "vllm", "mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # That a private cluster is protected by a token is no reason for a warning.
    logging.getLogger("ray._private.authentication.authentication_token_setup").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning, module="ray")
