"""A run's metrics for Prometheus, through Ray: what metrics.jsonl gets at every step, as gauges on the head's metrics port.

`clusters/grafana.json` shows them beside Ray's own. Names are `ray_auricle_...`; pools, parts, reasons and states are labels.
"""

from collections.abc import Iterator, Mapping

from ray.util.metrics import Gauge

PREFIXES = {
    "pool/": ("pool", "pool"),
    "failures/": ("failures", "reason"),
    "reward/part/": ("reward_part", "part"),
    "ledger/": ("ledger", "state"),
}
"""First part of a metric's name -> the gauge's name, and the label that the next part is the value of."""
PLAIN = {
    "reward/mean": "reward_mean",
    "reward/std": "reward_std",
    "loss/kl": "kl",
    "stream/staleness_mean": "staleness_mean",
    "stream/staleness_max": "staleness_max",
    "stream/rows_per_s": "rows_per_second",
    "stream/step_s": "step_seconds",
    "stream/gate_wait_s": "gate_wait_seconds",
}


def exported(metrics: Mapping[str, float]) -> Iterator[tuple[str, str, str, float]]:
    """(gauge, label, the label's value, value) for each metric that is shown; the label is empty where there is none."""
    for name, value in metrics.items():
        if name in PLAIN:
            yield f"auricle_{PLAIN[name]}", "", "", value
            continue
        for prefix, (gauge, label) in PREFIXES.items():
            if name.startswith(prefix):
                which, _, rest = name.removeprefix(prefix).partition("/")
                yield f"auricle_{gauge}{f'_{rest}' if rest else ''}", label, which, value


class Gauges:
    """One gauge a name, made when it is first set; every one carries the run's name."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._gauges: dict[str, Gauge] = {}
        self._failures: dict[str, float] = {}

    def set(self, metrics: Mapping[str, float]) -> None:
        """Show the metrics of a step. Costs microseconds: Ray's agent collects them every few seconds."""
        # A reason that did not come up in this step has no metric; its gauge would go on showing the last one.
        self._failures |= {name: 0.0 for name in metrics if name.startswith("failures/")}
        for name, label, which, value in exported({**self._failures, **metrics}):
            if name not in self._gauges:
                self._gauges[name] = Gauge(name, tag_keys=("run", label) if label else ("run",))
            self._gauges[name].set(value, tags={"run": self._run} | ({label: which} if label else {}))
