"""A run's metrics as Prometheus gauges, and the Grafana dashboard that names them: on the port that Prometheus would ask."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import ray

from pipelines.gauges import PLAIN, Gauges, exported
from tests.step_reports import every_metric

ROOT = Path(__file__).resolve().parents[1]
DASHBOARD = ROOT / "clusters" / "grafana.json"
STEP = {
    **dict.fromkeys(PLAIN, 1.0),
    "pool/reward/busy_share": 0.9,
    "judge/listener/latency_p95_s": 4.5,
    "judge/listener/failures/timeout": 2.0,
    "failures/timeout": 2.0,
    "reward/part/listener": 2.5,
    "ledger/issued": 96.0,
    "loss/policy": 0.1,
}


def dashboard_names() -> set[str]:
    """Metrics that the dashboard's queries name, without Ray's prefix."""
    queries = [target["expr"] for panel in json.loads(DASHBOARD.read_text())["panels"] for target in panel["targets"]]
    return {name for query in queries for name in re.findall(r"ray_(\w+)", query)}


def test_names_become_gauges_and_their_variable_parts_labels() -> None:
    found = {(name, tuple(labels.items())): value for name, labels, value in exported(STEP)}
    assert found["auricle_pool_busy_share", (("pool", "reward"),)] == 0.9
    assert found["auricle_judge_latency_p95_s", (("judge", "listener"),)] == 4.5
    assert found["auricle_judge_failures", (("judge", "listener"), ("reason", "timeout"))] == 2.0
    assert found["auricle_failures", (("reason", "timeout"),)] == 2.0
    assert found["auricle_reward_part", (("part", "listener"),)] == 2.5
    assert found["auricle_rows_per_second", ()] == 1.0
    assert not [name for name, *_ in found if "policy" in name]


def test_every_query_of_the_dashboard_names_a_metric_that_a_run_exports() -> None:
    ours = {name for name, *_ in exported(every_metric())}
    assert {name for name in dashboard_names() if name.startswith("auricle_")} - ours == set()
    # Ray's GPU figures cannot be seen on a machine without one: they stand in its source at least.
    text = "".join(path.read_text(encoding="utf-8") for path in (Path(ray.__file__).parent / "dashboard/modules/reporter").glob("*.py"))
    assert '"node_gpus_utilization"' in text


@pytest.mark.slow
def test_what_prometheus_would_read_has_every_metric_that_the_dashboard_names(tmp_path: Path) -> None:
    """A Ray of its own, with Serve: every metric of a step is set, a judge is asked, and the metrics port says what there is."""
    wanted = dashboard_names() - {"node_gpus_utilization"}
    environment = os.environ | {"PYTHONPATH": str(ROOT), "RAY_metrics_report_interval_ms": "1000"}
    arguments = [sys.executable, "-m", "tests.metrics_port", *sorted(wanted)]
    done = subprocess.run(arguments, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    missing, lines = json.loads(done.stdout.splitlines()[-1])
    assert missing == []
    assert any('judge="ear"' in line and 'reason="timeout"' in line and 'run="one"' in line for line in lines)


def test_panels_have_places_of_their_own() -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in json.loads(DASHBOARD.read_text())["panels"]]
    assert len(set(places)) == len(places)


def test_gauges_are_set_step_after_step_and_failures_go_back_to_none() -> None:
    gauges = Gauges("one")
    gauges.set(STEP)
    gauges.set({name: value for name, value in STEP.items() if "failures/" not in name})
    assert gauges._silent == {"failures/timeout": 0.0, "judge/listener/failures/timeout": 0.0}
