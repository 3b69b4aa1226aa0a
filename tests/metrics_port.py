"""`python -m tests.metrics_port NAME...`: sets every metric of a step, asks a deployment on Serve, and reads Ray's metrics port until all
names are there (or time is up). Prints, as JSON, the names that are missing and the lines of judges' failures."""

import json
import re
import sys
import time
import urllib.request

import ray
from ray import serve
from ray.serve.config import HTTPOptions, ProxyLocation

from actors.cluster import cluster
from actors.settings import ClusterSettings
from pipelines.gauges import Gauges
from tests.step_reports import every_metric

PATIENCE_S = 200.0


@serve.deployment(autoscaling_config={"min_replicas": 1, "max_replicas": 2}, ray_actor_options={"num_cpus": 0})
class Ear:
    """A judge that is scaled."""

    def __call__(self) -> int:
        """Says something."""
        return 3


def text_of(port: int) -> str:
    """What Prometheus would read. `no_proxy`: the port is this machine's."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return opener.open(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()


def main(wanted: list[str]) -> None:
    """See the module."""
    with cluster(ClusterSettings(logical_cpus=2, object_store_mib=128), namespace="auricle"):
        serve.start(proxy_location=ProxyLocation.Disabled, http_options=HTTPOptions(host="127.0.0.1"))
        handle = serve.run(Ear.bind(), name="panel", route_prefix=None)
        gauges, [node] = Gauges("one"), ray.nodes()
        deadline, text, missing = time.monotonic() + PATIENCE_S, "", wanted
        while missing and time.monotonic() < deadline:
            handle.remote().result(timeout_s=60)
            gauges.set(every_metric())
            time.sleep(0.5)
            text = text_of(node["MetricsExportPort"])
            there = set(re.findall(r"^ray_(\w+)", text, re.MULTILINE))
            missing = [name for name in wanted if name not in there]
        serve.shutdown()
        print(json.dumps([missing, [line for line in text.splitlines() if line.startswith("ray_auricle_judge_failures")]]))


if __name__ == "__main__":
    main(sys.argv[1:])
