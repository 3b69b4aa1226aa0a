"""A run's metrics as Prometheus gauges, and the Grafana dashboard that names them."""

import json
import re
from pathlib import Path

import ray

from pipelines.gauges import PLAIN, Gauges, exported

DASHBOARD = Path(__file__).resolve().parents[1] / "clusters" / "grafana.json"
STEP = {
    **dict.fromkeys(PLAIN, 1.0),
    "pool/reward/busy_share": 0.9,
    "failures/timeout": 2.0,
    "reward/part/listener": 2.5,
    "ledger/issued": 96.0,
    "loss/policy": 0.1,
}


def test_names_become_gauges_and_their_variable_part_a_label() -> None:
    found = {(name, label, which): value for name, label, which, value in exported(STEP)}
    assert found["auricle_pool_busy_share", "pool", "reward"] == 0.9
    assert found["auricle_failures", "reason", "timeout"] == 2.0
    assert found["auricle_reward_part", "part", "listener"] == 2.5
    assert found["auricle_rows_per_second", "", ""] == 1.0
    assert not [name for name, *_ in found if "policy" in name]


def test_every_query_of_the_dashboard_names_a_metric_that_exists() -> None:
    queries = [target["expr"] for panel in json.loads(DASHBOARD.read_text())["panels"] for target in panel["targets"]]
    named = {name for query in queries for name in re.findall(r"ray_(\w+)", query)}
    ours = {name for name, *_ in exported(STEP)}
    assert {name for name in named if name.startswith("auricle_")} <= ours
    sources = [
        path for folder in ("serve/_private", "dashboard/modules/reporter") for path in (Path(ray.__file__).parent / folder).glob("*.py")
    ]
    text = "".join(path.read_text(encoding="utf-8") for path in sources)
    assert [name for name in named - ours if f'"{name.removesuffix("_bucket")}"' not in text] == []


def test_panels_have_places_of_their_own() -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in json.loads(DASHBOARD.read_text())["panels"]]
    assert len(set(places)) == len(places)


def test_gauges_are_set_step_after_step_and_failures_go_back_to_none() -> None:
    gauges = Gauges("one")
    gauges.set(STEP)
    gauges.set({name: value for name, value in STEP.items() if not name.startswith("failures/")})
    assert gauges._failures == {"failures/timeout": 0.0}
