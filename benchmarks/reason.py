"""Calibrated alone against calibrated and reasoned: what GRPO adds to a listener, on speakers and noises that training never heard.

    python -m benchmarks.reason --clips LABELLED/train-* --held-out LABELLED/held-out-* --seeds 0,1,2

Every seed is one `auricle reason` from the same calibrated listener, measured at its last checkpoint: no choice is made on the held-out
clips. Measures as in arXiv 2603.10175: Pearson per dimension and their mean, F1 of noise and of distortion, IoU of time spans, correlation
of long answers, share of distinct texts. Prints each seed and its change, and the mean change with the spread over seeds.
All figures go to OUTPUT/reason.json.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from auricle.listeners.assets import default_listener
from auricle.listeners.checkpoint import load_listener
from auricle.listeners.dataset import read_set
from auricle.reasoning.measuring import measure_hearing
from pipelines.run_folder import RunFolder

SHOWN = (
    "pcc/overall",
    "mean_pcc",
    "noise_f1",
    "distortion_f1",
    "class_f1",
    "class_accuracy",
    "span_iou",
    "long_form",
    "words_f1",
    "distinct",
    "unparsable",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; see the module's text."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reason", description=__doc__, formatter_class=formatter)
    parser.add_argument("--clips", type=Path, nargs="+", required=True, help="folders of prepared clips to learn from")
    parser.add_argument("--held-out", type=Path, required=True, help="folder of prepared clips to measure on")
    parser.add_argument("--listener", type=Path, help="the calibrated listener (default: the shipped one)")
    parser.add_argument("--seeds", default="0,1,2", help="default: 0,1,2")
    parser.add_argument("--output", type=Path, default=Path("runs/reason"), help="default: runs/reason")
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--set", dest="assignments", action="append", default=[], metavar="A.B=VALUE", help="for reason")
    arguments = parser.parse_args(argv)
    calibrated = arguments.listener or default_listener()
    clips = read_set(arguments.held_out)
    results = {"calibrated": measure_hearing(load_listener(calibrated), clips).flat()}
    for seed in arguments.seeds.split(","):
        run = reasoned(arguments, calibrated, int(seed))
        results[f"seed {seed}"] = measure_hearing(load_listener(run), clips).flat()
        arguments.output.mkdir(parents=True, exist_ok=True)
        (arguments.output / "reason.json").write_text(json.dumps(results, indent=1))
    show(results)
    return 0


def reasoned(arguments: argparse.Namespace, calibrated: Path, seed: int) -> Path:
    """The listener of one seed's last checkpoint; a run that is there already is gone on with."""
    name = f"seed-{seed}"
    run = arguments.output / name
    if not (run / "report.html").exists():
        folders = json.dumps([str(folder.absolute()) for folder in arguments.clips])
        settings = [f"run.folder={arguments.output}", f"run.name={name}", f"run.seed={seed}", f"reason.listener={calibrated}"]
        settings += [f"reason.clips={folders}", *arguments.assignments]
        more = ["--resume", str(run)] if (run / "config.toml").exists() else []
        command = [sys.executable, "-m", "pipelines.reason", "--preset", arguments.preset, *more]
        command += [part for setting in ([] if more else settings) for part in ("--set", setting)]
        status = subprocess.run(command, stdin=subprocess.DEVNULL).returncode
        if status not in (0, 3):
            raise SystemExit(f"auricle reason ended with status {status}")
    checkpoint = RunFolder(run).last_checkpoint()
    assert checkpoint is not None, f"{run}: no checkpoint"
    return checkpoint[1] / "listener"


def show(results: dict[str, dict[str, float]]) -> None:
    """The table: the calibrated listener, and each seed's change."""
    before = results["calibrated"]
    seeds = {name: row for name, row in results.items() if name != "calibrated"}
    title = f"{before['clips']:g} held-out clips, {before['span_clips']:g} with spans"
    table = Table("measure", "calibrated", *seeds, "mean change", title=title)
    for measure in [*SHOWN, *(name for name in before if name.startswith("pcc/") and name not in SHOWN)]:
        changes = [row[measure] - before[measure] for row in seeds.values()]
        spread = f" ± {np.std(changes, ddof=1):.3f}" if len(changes) > 1 else ""
        cells = [f"{row[measure]:.3f} ({change:+.3f})" for row, change in zip(seeds.values(), changes, strict=True)]
        table.add_row(measure, f"{before[measure]:.3f}", *cells, f"{np.mean(changes):+.3f}{spread}")
    Console(width=160).print(table)


if __name__ == "__main__":
    sys.exit(main())
