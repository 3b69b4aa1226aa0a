"""What it costs to see a step: CPU time of the sums, the metrics and the gauges' names, for rows as the stream has them.

python -m benchmarks.seen --rows 32 1024 --judges 3 --repeats 20
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np

from actors.coordinator import StepReport
from actors.pool_sums import pool_sums, verdicts_of
from auricle.usage import Usage, UsageMeter, from_texts, usage_column
from pipelines.finetune_metrics import StepMetrics
from pipelines.gauges import exported

WORKERS = {"rollout": 4, "reward": 8, "learner": 1}


def rows_of(count: int, judges: int, per_block: int) -> dict[str, np.ndarray]:
    """A step's rows, as far as they are measured."""
    draw = np.random.default_rng(0)
    verdict = {
        "state": "scored",
        "score": 3.0,
        "rationale": "Clear speech with faint hiss.",
        "dimensions": {"expected": 3.0},
        "attempts": 1,
    }
    answers = [{f"judge{j}": verdict | {"latency_s": float(draw.lognormal())} for j in range(judges)} for _ in range(count)]
    usages = [Usage(pool, f"node:{place}", 100.0, 500.0, 3.0) for place, pool in enumerate(("rollout", "reward", "judge0", "judge1"))]
    return {
        "gate_wait_s": draw.random(count),
        "reward_wait_s": draw.random(count),
        "judged_at_s": np.full(count, 100.0),
        "taken_at_s": np.full(count, 100.5),
        "retries": np.zeros(count),
        "fault": np.full(count, "", dtype=object),
        "verdicts": np.array([json.dumps(answer) for answer in answers], dtype=object),
        "usage": np.concatenate([usage_column(usages, per_block) for _ in range(count // per_block)]),
    }


def milliseconds(what: Callable[[], object], repeats: int) -> str:
    """Median and range of the CPU time of a call."""
    taken = []
    for _ in range(repeats):
        began = time.process_time()
        what()
        taken.append(1e3 * (time.process_time() - began))
    return f"{statistics.median(taken):.2f} ms ({min(taken):.2f} to {max(taken):.2f})"


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, nargs="+", default=[32, 1024])
    parser.add_argument("--judges", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=20)
    arguments = parser.parse_args()
    for count in arguments.rows:
        rows = rows_of(count, arguments.judges, 32)
        sums = {"rows": float(count), "staleness": 1.0 * count, "gate_wait_s": 1.0, "rollout_s": 1.0, "reward_s": 1.0, "learner_s": 1.0}
        sums |= pool_sums(rows, verdicts_of(rows), 32) | {"trained": 1.0 * count}
        usages = tuple(from_texts(rows["usage"]))
        made, steps = StepMetrics(WORKERS, (), 0.0), iter(range(10**6))

        def step(sums: dict = sums, usages: tuple = usages, made: StepMetrics = made, steps: object = steps) -> list:
            place = next(steps)  # type: ignore[call-overload]
            return list(exported(made.add(StepReport(place, 10.0 + place, {}, sums, {}, usages=usages))))

        print(f"{count} rows, {arguments.judges} judges, a step:")
        for about, what in (
            ("verdicts read (the ledger needs them too)", lambda rows=rows: verdicts_of(rows)),
            ("the same, with sums and sketches, a rank", lambda rows=rows: pool_sums(rows, verdicts_of(rows), 32)),
            ("usages, a rank", lambda rows=rows: from_texts(rows["usage"])),
            ("metrics and gauges' names, the driver", step),
        ):
            print(f"  {about:<44}{milliseconds(what, arguments.repeats)}")
    print(f"a process measures itself, every 2 s at most    {milliseconds(UsageMeter('rollout')._measured, arguments.repeats)}")


if __name__ == "__main__":
    main()
