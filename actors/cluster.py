"""Joining a Ray cluster, or starting one inside this machine."""

import logging
import os
import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import ray
from ray._private import ray_constants
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.chatter import chatter_to
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


ON_HEAD = {"node:__internal_head__": 0.001}
"""Resources of actors that a run cannot do without: the head node is the one that no autoscaler takes away."""
LOOK_TIMEOUT_S = 120.0
START_TRIES = 3
"""How often Ray is started on this machine: it gives a node 30 s, has no switch for that, and a machine that is busy may need longer."""

logger = logging.getLogger("auricle.cluster")


@contextmanager
def cluster(settings: ClusterSettings, *, namespace: str, log: Path | None = None) -> Iterator[None]:
    """Connect for the time of the `with` block. Raises EnvironmentSetupError where the named cluster does not answer.

    log: a folder for the frameworks' warnings (`actors.chatter`); None leaves them on the terminal.
    """
    address = settings.address or os.environ.get("RAY_ADDRESS", "")
    quiet()
    try:
        if address:
            ray.init(address=address, namespace=namespace, runtime_env={"env_vars": worker_environment()}, log_to_driver=True)
        else:
            os.environ.update(worker_environment())
            _keep_to_this_machine()
            _start_here(settings, namespace)
    except Exception as error:  # of a node that does not start in time Ray says so in a plain Exception
        if type(error) is not Exception and not isinstance(error, ConnectionError | TimeoutError | ValueError):
            raise
        where = f"no Ray cluster answers at {address!r}" if address else "Ray did not start on this machine"
        cure = (
            "start one (ray start --head), or unset RAY_ADDRESS"
            if address
            else "is it overloaded, or out of memory? Try again when it is idle"
        )
        raise EnvironmentSetupError(f"{where}: {str(error).rstrip('.')}; {cure}") from error
    try:
        with chatter_to(log):
            yield
            ray.shutdown()  # within: it has its say, too
    finally:
        ray.shutdown()


def _start_here(settings: ClusterSettings, namespace: str) -> None:
    """Ray on this machine. A start that was too slow is tried again, once what it has left is ended."""
    for left in reversed(range(START_TRIES)):
        before = set(psutil.Process().children())
        try:
            ray.init(
                address="local",
                namespace=namespace,
                num_cpus=settings.logical_cpus,
                object_store_memory=settings.object_store_mib << 20,
                include_dashboard=False,
                logging_level=logging.WARNING,
                log_to_driver=bool(os.environ.get("AURICLE_WORKER_LOGS")),
            )
            return
        except Exception as error:
            if type(error) is not Exception:  # of a start that was too slow Ray says so in a plain one
                raise
            ray.shutdown()
            for process in set(psutil.Process().children()) - before:
                _end_rays(process)
            if not left:
                raise
            logger.warning("Ray did not start in time; trying again (%d tries left)", left)


def _end_rays(process: psutil.Process) -> None:
    """End a process of Ray's, and what it has started."""
    with suppress(psutil.Error):
        if not any("/ray/" in part for part in process.cmdline()):
            return
        for one in [*process.children(recursive=True), process]:
            with suppress(psutil.Error):
                one.kill()
        process.wait(10)


def require_shared(folder: Path, others: Sequence[Path] = (), *, timeout_s: float = LOOK_TIMEOUT_S) -> None:
    """The head node must see `folder`, a run's, as this process does; every node must find something at `others`.

    A file with a token is written into `folder`, and a task pinned to the head reads it (learner ranks elsewhere hand their files over,
    `actors.home`); a cluster of one node needs no asking. Raises EnvironmentSetupError naming node and path.
    """
    nodes = [node for node in ray.nodes() if node["Alive"]]
    if len(nodes) < 2:
        return
    token = uuid.uuid4().hex
    mark = folder / f".seen-{token[:8]}"
    mark.write_text(token)
    look = ray.remote(num_cpus=0)(_not_seen)
    faults: list[str] = []
    try:
        asked = []  # several nodes may have one name
        for node in nodes:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            on_head = next(iter(ON_HEAD)) in node["Resources"]
            answer = look.options(scheduling_strategy=there).remote(mark if on_head else None, token, list(others))
            asked.append((node["NodeName"], answer))
        for name, answer in asked:
            try:
                faults += [f"node {name} does not see {path}" for path in ray.get(answer, timeout=timeout_s)]
            except RayError as error:
                faults.append(f"node {name} did not answer within {timeout_s:g} s ({type(error).__name__})")
    finally:
        mark.unlink(missing_ok=True)
    if faults:
        raise EnvironmentSetupError(
            f"{'; '.join(faults)}. Scenes and enhancers have to lie where every node of the cluster finds them under one path, on a shared "
            "file system or as a copy of its own (--set scenes.folder=..., finetune.enhancer=...); a run's folder on the head, where the "
            "driver runs, too (--set run.folder=...)"
        )


def _not_seen(mark: Path | None, token: str, others: list[Path]) -> list[str]:
    """Runs on a node: which of the paths it does not see."""
    try:
        seen = mark is None or mark.read_text() == token
    except OSError:
        seen = False
    return ([] if mark is None or seen else [str(mark.parent)]) + [str(path) for path in others if not path.exists()]


def _keep_to_this_machine() -> None:
    """Ray's ports on the loopback interface alone, as it has them on macOS and Windows by default; on Linux they are open to the network.

    Serve's replicas are the exception: each opens a gRPC port on all interfaces (ray/serve/_private/replica.py, 2.60).
    The variable is for the processes it starts; the constant for this one, in which Ray has read the variable already.
    """
    os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"
    ray_constants.ENABLE_RAY_CLUSTER = False


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
