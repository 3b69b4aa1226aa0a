"""A panel that `serve deploy` has put up on a cluster: runs join it, find out what differs, and leave it running."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import ray
import yaml
from ray import serve
from ray._private import ray_constants
from ray.cluster_utils import Cluster

from actors.panel import join_panel
from auricle.errors import ConfigError
from auricle.judging.panel import JudgeConfig, PanelConfig

ROOT = Path(__file__).resolve().parents[2]
ODD = "tests.judging.odd_judges:LevelJudge"
PANEL = PanelConfig(app="judges", judges=(JudgeConfig(name="level", kind=ODD, min_replicas=0, max_replicas=2, num_cpus=0.05),))
REQUEST = {
    "clip_id": "a",
    "audio": np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32),
    "sample_rate_hz": 16_000,
    "reference": None,
}


@pytest.fixture
def dashboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A cluster with Serve's REST interface, on loopback."""
    ray.shutdown()
    monkeypatch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", False)
    monkeypatch.setenv(ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, "0")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    head = {
        "num_cpus": 8,
        "object_store_memory": 80 << 20,
        "include_dashboard": True,
        "dashboard_port": port,
        "dashboard_host": "127.0.0.1",
    }
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        ray.init(address=cluster.address, log_to_driver=False)
        yield f"http://127.0.0.1:{port}"
    finally:
        serve.shutdown()
        ray.shutdown()
        cluster.shutdown()


def _deploy(dashboard: str, folder: Path) -> None:
    application = {
        "name": "judges",
        "import_path": "actors.panel:build_panel",
        "route_prefix": None,
        "runtime_env": {"env_vars": {"PYTHONPATH": str(ROOT)}},
        "args": {"num_cpus": 0.05, "judges": [judge.model_dump(mode="json", exclude_defaults=True) for judge in PANEL.judges]},
    }
    path = folder / "judges.yaml"
    path.write_text(yaml.safe_dump({"proxy_location": "Disabled", "applications": [application]}))
    command = [sys.executable, "-m", "ray.serve.scripts", "deploy", str(path), "--address", dashboard]
    subprocess.run(command, check=True, timeout=120, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True)
    deadline = time.monotonic() + 180
    while (state := serve.status().applications["judges"].status.value) != "RUNNING":
        assert state not in ("DEPLOY_FAILED", "UNHEALTHY"), serve.status().applications["judges"].message
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.slow
def test_two_runs_share_a_panel_that_was_deployed_and_leave_it_running(dashboard: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"panel\.app = 'judges': no such application of Serve is up .*serve deploy"):
        join_panel(PANEL, app_name="judges")
    _deploy(dashboard, tmp_path)
    for _ in range(2):
        handle = join_panel(PANEL, app_name="judges")
        [answer] = handle.judge.remote([REQUEST | {"fresh": True}]).result(timeout_s=120)
        assert answer["level"]["state"] == "scored"
    [event] = handle.pools.remote().result(timeout_s=60)["events"]  # it slept before the first one asked
    assert (event["pool"], event["from_replicas"], event["to_replicas"]) == ("level", 0, 1)
    other = PANEL.model_copy(update={"judges": (PANEL.judges[0].model_copy(update={"options": {"sleep_s": 1.0}}),)})
    with pytest.raises(ConfigError, match=r"level\.options\.sleep_s is 0\.0 there and 1\.0 here"):
        join_panel(other, app_name="judges")
    assert serve.status().applications["judges"].status.value == "RUNNING"
