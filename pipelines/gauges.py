"""A run's metrics for Prometheus, through Ray: what metrics.jsonl gets at every step, as gauges on the head's metrics port.

`clusters/grafana.json` shows them beside Ray's own. Names are `ray_auricle_...`; pools, judges, parts, reasons and states are labels.
"""

from collections.abc import Iterator, Mapping

from ray.util.metrics import Gauge

PREFIXES = {
    "pool/": ("pool", "pool"),
    "judge/": ("judge", "judge"),
    "judge_pool/": ("judge_pool", "judge"),
    "failures/": ("failures", "reason"),
    "reward/part/": ("reward_part", "part"),
    "ledger/": ("ledger", "state"),
}
"""First part of a metric's name -> the gauge's name, and the label that the next part is the value of."""
NESTED = {"judge_failures": "reason"}
"""Gauges whose name's last part is a second label's value: `judge/listener/failures/timeout`."""
PLAIN = {
    "reward/mean": "reward_mean",
    "reward/std": "reward_std",
    "loss/kl": "kl",
    "stream/staleness_mean": "staleness_mean",
    "stream/staleness_max": "staleness_max",
    "stream/rows_per_s": "rows_per_second",
    "stream/step_s": "step_seconds",
    "stream/gate_wait_s": "gate_wait_seconds",
    "stream/learner_wait_s": "learner_wait_seconds",
    "scaling/events": "scale_events",
}

Shown = tuple[str, dict[str, str], float]
"""A gauge's name, its labels, its value."""


def exported(metrics: Mapping[str, float]) -> Iterator[Shown]:
    """Each metric that is shown."""
    for name, value in metrics.items():
        if name in PLAIN:
            yield f"auricle_{PLAIN[name]}", {}, value
            continue
        for prefix, (gauge, label) in PREFIXES.items():
            if not name.startswith(prefix):
                continue
            which, _, rest = name.removeprefix(prefix).partition("/")
            what, _, nested = rest.partition("/")
            full = f"{gauge}_{what}" if what else gauge
            yield f"auricle_{full}", {label: which} | ({NESTED[full]: nested} if nested and full in NESTED else {}), value


class Gauges:
    """One gauge a name, made when it is first set; every one carries the run's name."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._gauges: dict[str, Gauge] = {}
        self._silent: dict[str, float] = {}

    def set(self, metrics: Mapping[str, float]) -> None:
        """Show the metrics of a step. Costs microseconds: Ray's agent collects them every few seconds."""
        # What did not come up in this step has no metric; its gauge would go on showing the last one.
        self._silent |= {name: 0.0 for name in metrics if goes_silent(name)}
        for name, labels, value in exported({**self._silent, **metrics}):
            if name not in self._gauges:
                self._gauges[name] = Gauge(name, tag_keys=("run", *labels))
            self._gauges[name].set(value, tags={"run": self._run} | labels)


def goes_silent(name: str) -> bool:
    """Whether a metric is left out of the steps in which it is nought: counts by reason, and what processes use that may all be gone."""
    return "failures/" in name or name.endswith(("/processes", "/rss_mib", "/gpu_mib", "/cpu_cores"))
