"""`auricle status RUN`: how a run is doing, from the files in its folder; it asks no Ray, so it works from any machine that sees them."""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from auricle.errors import CheckpointError, LedgerError
from auricle.ledger import Account, account
from pipelines.command import EXIT_OK, run_verb, verb_parser
from pipelines.reporting.bottleneck import Bottleneck, find_bottleneck
from pipelines.run_folder import RunFolder
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
    last_sign_s: float | None
    """Seconds since the last line of metrics, guard or events."""
    checkpoint_step: int | None
    trouble: str
    """What is wrong with the checkpoints; empty: nothing."""
    metrics: Mapping[str, float]
    """Of the last step."""
    bottleneck: Bottleneck | None
    ledger: Account | None
    quarantined: tuple[str, ...]
    """Scenes that are left out, a sentence each."""
    events: tuple[str, ...]
    """The last ones, oldest first."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = verb_parser(
        "status",
        "How a run is doing: its step, what each pool is doing and which holds the others up, failures, checkpoint, the ledger's sums.",
        ["auricle status runs/demo", "watch auricle status runs/demo", "auricle status runs/demo --json"],
    )
    parser.add_argument("run", type=Path, nargs="?", help="the run's folder, such as runs/demo")
    parser.add_argument("--json", action="store_true", help="the same as one JSON object")
    return run_verb(parser, story, argv)


def story(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print the status of one run."""
    status = read_status(RunFolder.open(arguments.run or settings.run.folder / settings.run.name), now_s=time.time())
    print(json.dumps(asdict(status)) if arguments.json else "\n".join(lines_of(status)))
    return EXIT_OK


def read_status(run: RunFolder, *, now_s: float) -> RunStatus:
    """now_s: seconds of the epoch. Faults of checkpoints and ledger are told, not raised."""
    steps, events = list(run.lines("metrics.jsonl")), list(run.lines("events.jsonl"))
    signs = [record["time_s"] for name in ("metrics.jsonl", "guard.jsonl", "events.jsonl") for record in _last(run, name)]
    last_sign_s = max(0.0, now_s - max(signs)) if signs else None
    metrics = {name: float(value) for name, value in (steps[-1]["metrics"] if steps else {}).items() if value is not None}
    checkpoint, trouble = None, ""
    try:
        checkpoint = run.last_checkpoint()
    except CheckpointError as error:
        trouble = str(error)
    try:
        sums = account(run.path / "ledger")
    except LedgerError:
        sums = None
    return RunStatus(
        name=run.path.name,
        state=_state(last_sign_s, metrics.get("stream/step_s", 0.0), [str(record["event"]) for record in _since(events, steps)]),
        steps=int(steps[-1]["step"]) + 1 if steps else 0,
        last_sign_s=last_sign_s,
        checkpoint_step=checkpoint[0] if checkpoint else None,
        trouble=trouble,
        metrics=metrics,
        bottleneck=find_bottleneck(metrics),
        ledger=sums,
        quarantined=tuple(one.sentence() for one in run.quarantined()),
        events=tuple(str(record["event"]) for record in events[-3:]),
    )


def lines_of(status: RunStatus) -> list[str]:
    """For the terminal."""
    ago = "no sign of life yet" if status.last_sign_s is None else f"last sign {_time(status.last_sign_s)} ago"
    at = "no checkpoint yet" if status.checkpoint_step is None else f"last checkpoint at {status.checkpoint_step}"
    lines = [f"{status.name}: {status.state}, {status.steps} steps, {at}, {ago}"]
    if status.metrics:
        shown = [("reward/mean", "reward {:.3f}"), ("stream/rows_per_s", "{:.1f} rows/s"), ("stream/step_s", "{:.1f} s a step")]
        shown += [("stream/staleness_mean", "staleness {:.1f} on average"), ("stream/staleness_max", "{:.0f} at most")]
        shown += [("stream/gate_wait_s", "{:.1f} s at the gate")]
        lines.append("  stream   " + ", ".join(text.format(status.metrics[name]) for name, text in shown if name in status.metrics))
    if status.bottleneck:
        lines.append(f"  pools    {status.bottleneck.sentence()}")
    if status.ledger:
        lines.append(f"  ledger   {status.ledger.sentence()}" + "".join(f"; FAULT: {fault}" for fault in status.ledger.faults))
        reasons = sorted(status.ledger.reasons.items(), key=lambda item: -item[1])
        lines.append("  dropped  " + (", ".join(f"{reason} {count}" for reason, count in reasons) or "none"))
    lines += [f"  left out {sentence}" for sentence in status.quarantined]
    if status.trouble:
        lines.append(f"  FAULT    {status.trouble}")
    return lines + [f"  event    {event}" for event in status.events]


def _last(run: RunFolder, name: str) -> list[dict[str, Any]]:
    records = list(run.lines(name))
    return [record for record in records[-1:] if "time_s" in record]


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


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


if __name__ == "__main__":
    sys.exit(main())
