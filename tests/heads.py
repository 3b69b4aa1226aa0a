"""A real Ray head of a test's own, as `ray start --head` makes one on a cluster: loopback, free ports, its own folder, a token."""

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ray._private.ray_constants import ENABLE_RAY_CLUSTERS_ENV_VAR

from tests.jobs import kill_tree

RAY = Path(sys.executable).parent / "ray"
START_TIMEOUT_S = 180.0


@dataclass(frozen=True)
class Head:
    """Where the jobs API answers, and with which token."""

    url: str
    token: str

    def environment(self) -> dict[str, str]:
        """Of somebody who has the address and the token, and nothing else of the cluster."""
        return os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token, "RAY_API_SERVER_ADDRESS": self.url}


@contextmanager
def started_head(folder: Path) -> Iterator[Head]:
    """`ray start --head --block` for the time of the `with` block; its log is `folder/head.log`. Ended by its own process ids."""
    token = secrets.token_hex(32)
    # As on a node of a cluster: the environment's programs are on the path, the checkout is not.
    environment = os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token, "PATH": f"{RAY.parent}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    environment[ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"  # without it Ray listens on all interfaces, whatever --node-ip-address says
    agents = ("dashboard-agent-listen", "dashboard-agent-grpc", "runtime-env-agent", "metrics-export", "ray-client-server")
    gcs, dashboard, *ports = free_ports(2 + len(agents))
    command = [str(RAY), "start", "--head", "--block", "--node-ip-address=127.0.0.1", f"--port={gcs}", "--num-cpus=8"]
    command += ["--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}", f"--object-store-memory={256 << 20}"]
    command += [f"--{name}-port={port}" for name, port in zip(agents, ports, strict=True)]
    with ExitStack() as stack:
        # Not pytest's: the path of a socket has 107 bytes at most.
        temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True))
        log = stack.enter_context((folder / "head.log").open("wb"))
        process = subprocess.Popen([*command, f"--temp-dir={temporary}"], cwd=folder, env=environment, stdout=log, stderr=log)
        stack.callback(kill_tree, process)
        wait_for_port(dashboard, process, folder / "head.log")
        yield Head(f"http://127.0.0.1:{dashboard}", token)


def ray_job(head: Head, *arguments: object, timeout_s: float = 240, **environment: str) -> subprocess.CompletedProcess[str]:
    """`ray job ARGUMENTS`, as its user types it; again where a busy machine's dashboard did not take the call in time."""
    command = [str(RAY), "job", *map(str, arguments)]
    for _ in range(5):
        done = subprocess.run(command, env=head.environment() | environment, capture_output=True, text=True, timeout=timeout_s, check=False)
        if "Failed to connect to Ray at address" not in done.stderr:
            break
        time.sleep(5)
    return done


@contextmanager
def ray_job_started(head: Head, *arguments: object) -> Iterator["subprocess.Popen[str]"]:
    """The same in the background, both streams in one."""
    command = [str(RAY), "job", *map(str, arguments)]
    process = subprocess.Popen(command, env=head.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            kill_tree(process)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on now."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def wait_for_port(port: int, process: "subprocess.Popen[bytes]", log: Path, timeout_s: float = START_TIMEOUT_S) -> None:
    """Until somebody listens there."""
    deadline = time.monotonic() + timeout_s
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, f"nobody listens on port {port} after {timeout_s:g} s: {log.read_text()}"
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
