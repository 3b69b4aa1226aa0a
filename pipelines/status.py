"""`auricle status RUN`: how a run is doing, from the files in its folder; it asks no Ray, so it works from any machine that sees them."""

import argparse
import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from auricle.config import read_toml
from auricle.errors import CheckpointError, ConfigError, LedgerError
from auricle.ledger import Account, account
from pipelines.command import EXIT_OK, run_verb, verb_parser
from pipelines.reporting.bottleneck import Bottleneck, averaged, find_bottleneck
from pipelines.reporting.pools import JudgeState, PoolState, judges_of, pools_of
from pipelines.reporting.status import lines_of
from pipelines.run_folder import RunFolder
from pipelines.run_store import run_at
from pipelines.scaling import ScaleEvent, read_scaling
from pipelines.settings import Settings

LAST_WORDS = "issued "
"""A job that ends in order, however, notes the ledger's sum behind the sentence that says how."""
SILENT_S = 60.0
"""A run that says nothing for longer than this, or than three of its steps, is not called running."""


@dataclass(frozen=True)
class RunStatus:
    """What the files say. state: running, ended, silent (killed, hanging, or in a long step), or not begun."""

    name: str
    state: str
    steps: int
    total_steps: int | None
    last_sign_s: float | None
    """Seconds since the last line of metrics, guard or events."""
    checkpoint_step: int | None
    troubles: tuple[str, ...]
    """What is wrong with the checkpoints and the books; empty: nothing."""
    metrics: Mapping[str, float]
    """Of the last step."""
    pools: tuple[PoolState, ...]
    judges: tuple[JudgeState, ...]
    bottleneck: Bottleneck | None
    """Now, that is, in the last steps."""
    bottleneck_of_run: Bottleneck | None
    ledger: Account | None
    scaled: tuple[ScaleEvent, ...]
    """The last changes of the pools' sizes, oldest first."""
    quarantined: tuple[str, ...]
    """Scenes that are left out, a sentence each."""
    events: tuple[str, ...]
    """The last ones, oldest first."""
    frameworks_log: str
    """Where the warnings of Ray and others are; empty where there are none."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = verb_parser(
        "status",
        "How a run is doing: its step, what each pool and judge is doing and which holds the others up, failures, checkpoint, the ledger.",
        ["auricle status runs/demo", "watch auricle status runs/demo", "auricle status runs/demo --json"],
    )
    parser.add_argument("run", nargs="?", help="the run's folder, such as runs/demo, or its URI in a store")
    parser.add_argument("--json", action="store_true", help="the same as one JSON object")
    return run_verb(parser, story, argv)


def story(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print the status of one run."""
    with run_at(arguments.run or settings.run.folder / settings.run.name) as path:
        status = read_status(RunFolder.open(path), now_s=time.time())
    print(json.dumps(asdict(status), allow_nan=False) if arguments.json else "\n".join(lines_of(status)))
    return EXIT_OK


def read_status(run: RunFolder, *, now_s: float) -> RunStatus:
    """now_s: seconds of the epoch. What cannot be read (a run is writing it, or a crash cut it off) is told as trouble, not raised."""
    steps = [line for line in run.lines("metrics.jsonl") if isinstance(line.get("metrics"), dict) and "step" in line]
    events = [line for line in run.lines("events.jsonl") if "event" in line]
    signs = [time_s for name in ("metrics.jsonl", "guard.jsonl", "events.jsonl") for time_s in _last_time(run, name)]
    last_sign_s = max(0.0, now_s - max(signs)) if signs else None
    of_steps = [_numbers(line["metrics"]) for line in steps]
    metrics = of_steps[-1] if of_steps else {}
    troubles: list[str] = []
    checkpoint, sums = None, None
    try:
        checkpoint = run.last_checkpoint()
    except (CheckpointError, LedgerError) as error:
        troubles.append(str(error))
    try:
        sums = account(run.path / "ledger") if (run.path / "ledger").is_dir() else None
    except LedgerError as error:
        troubles.append(str(error))
    log = run.frameworks_log()
    return RunStatus(
        name=run.path.name,
        state=_state(last_sign_s, metrics.get("stream/step_s", 0.0), [str(record["event"]) for record in _since(events, steps)]),
        steps=int(steps[-1]["step"]) + 1 if steps else 0,
        total_steps=_total_steps(run, metrics),
        last_sign_s=last_sign_s,
        checkpoint_step=checkpoint[0] if checkpoint else None,
        troubles=tuple(dict.fromkeys([*troubles, *(sums.faults if sums else ())])),
        metrics=metrics,
        pools=tuple(pools_of(of_steps)) if of_steps else (),
        judges=tuple(judges_of(of_steps)) if of_steps else (),
        bottleneck=find_bottleneck(metrics),
        bottleneck_of_run=find_bottleneck(averaged(of_steps)),
        ledger=sums,
        scaled=tuple(read_scaling(run.path)[-3:]),
        quarantined=tuple(one.sentence() for one in run.quarantined()),
        events=tuple(str(record["event"]) for record in events[-3:]),
        frameworks_log=str(log) if log else "",
    )


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Those that are numbers: a NaN is no JSON, and says as little as a missing value."""
    return {name: float(value) for name, value in metrics.items() if isinstance(value, int | float) and math.isfinite(value)}


def _total_steps(run: RunFolder, metrics: Mapping[str, float]) -> int | None:
    try:
        config = read_toml(run.path / "config.toml")
        section = "reason" if any(name.startswith("answers/") for name in metrics) else "finetune"
        return int(config[section]["steps"])
    except (ConfigError, KeyError, TypeError, ValueError):
        return None


def _last_time(run: RunFolder, name: str) -> list[float]:
    records = list(run.lines(name))[-1:]
    return [float(record["time_s"]) for record in records if isinstance(record.get("time_s"), int | float)]


def _since(events: Sequence[Mapping[str, Any]], steps: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The events after the last step: a run that was resumed has ended before, and does not end there."""
    last_step_s = steps[-1].get("time_s", 0.0) if steps else 0.0
    return [event for event in events if event.get("time_s", 0.0) >= last_step_s]


def _state(last_sign_s: float | None, step_s: float, events: Sequence[str]) -> str:
    if last_sign_s is None:
        return "not begun"
    ends = [place for place, event in enumerate(events) if event.startswith(LAST_WORDS)]
    if ends and not any(event.startswith("going on") for event in events[ends[-1] :]):
        return "ended"
    return "running" if last_sign_s <= max(SILENT_S, 3 * step_s) else "silent"


if __name__ == "__main__":
    sys.exit(main())
