"""What reward learning adds, and what it costs: the main job against the pretrained enhancer and against supervision for the same time.

    python -m benchmarks.gain labelled   --corpus corpus/A --seeds 0,1,2
    python -m benchmarks.gain adaptation --corpus corpus/B --labelled-corpus corpus/A --seeds 0,1,2

labelled: fine-tune on the corpus the enhancer was pretrained on. adaptation: fine-tune on UNLABELLED scenes of a new condition; its clean
targets are seen by the evaluation alone. With --labelled-corpus the old condition's labelled scenes are learned from beside them, for the
anchor; without it there is none. The control arm, `supervised`, goes on with supervised training (on the labelled corpus) from the
same pretrained enhancer, for the wall-clock time that the reward learning took, start-up left out. Everything runs through the verbs a user
would type; held-out `eval` scenes are scored once, at the end. Prints a table: mean change to the pretrained enhancer with a 95 % interval
for other seeds AND other speakers (variance over seeds + variance over speakers, Student's t: `two_way_interval`; with one seed over
speakers alone), and each seed's own mean. All figures go to OUTPUT/gain.json.
"""

import argparse
import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from auricle.metrics.intervals import two_way_interval
from pipelines.run_folder import RunFolder

ARMS = ("reward", "supervised")
DESCRIPTIVE = ("scene_id", "speaker", "snr_db", "snr_band", "interferer", "condition", "system", "failures", "words", "seed")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; see the module's text."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gain", description=__doc__, formatter_class=formatter)
    parser.add_argument("setting", choices=("labelled", "adaptation"))
    parser.add_argument("--corpus", type=Path, required=True, help="the corpus fine-tuned on and evaluated on")
    parser.add_argument("--labelled-corpus", type=Path, help="the corpus the control arm trains on (default: --corpus)")
    parser.add_argument("--enhancer", type=Path, help="the pretrained enhancer (default: the shipped one)")
    parser.add_argument("--seeds", default="0,1,2", help="default: 0,1,2")
    parser.add_argument("--output", type=Path, default=Path("runs/gain"), help="default: runs/gain")
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--set", dest="assignments", action="append", default=[], metavar="A.B=VALUE", help="for finetune and evaluate")
    arguments = parser.parse_args(argv)
    from auricle.enhancers.assets import default_enhancer

    pretrained = arguments.enhancer or default_enhancer()
    folder = arguments.output / arguments.setting
    for seed in map(int, arguments.seeds.split(",")):
        one_seed(arguments, pretrained, folder / f"seed-{seed}", seed)
    rows = [row for seed in arguments.seeds.split(",") for row in read_rows(folder / f"seed-{int(seed)}" / "evaluation" / "scenes.csv")]
    results = summarise(rows)
    (folder / "gain.json").write_text(json.dumps(results, indent=1))
    show(results, arguments.setting)
    return 0


def one_seed(arguments: argparse.Namespace, pretrained: Path, folder: Path, seed: int) -> None:
    """Both arms and their evaluation; what is there already is kept."""
    settings = [f"run.folder={folder}", f"run.seed={seed}", *arguments.assignments]
    run = folder / "reward"
    if not (run / "report.html").exists():
        targets = "true" if arguments.setting == "labelled" else "false"
        anchor = [] if arguments.setting == "labelled" else ["learner.anchor_gamma=0"]
        if arguments.setting == "adaptation" and arguments.labelled_corpus:
            anchor = [f"scenes.labelled={arguments.labelled_corpus}"]
        own = [
            *anchor,
            "run.name=reward",
            f"scenes.folder={arguments.corpus}",
            f"finetune.enhancer={pretrained}",
            f"scenes.train_targets={targets}",
        ]
        # The dev split's targets are not for learning either: without them the guard watches what a user without labels could watch.
        more = ["--resume", str(run)] if (run / "config.toml").exists() else []
        verb("finetune", arguments.preset, [] if more else [*settings, *own, f"scenes.dev_targets={targets}"], *more, allowed=(0, 3))
    control = folder / "supervised"
    if not (control / "evaluation.json").exists():
        own = ["run.name=supervised", f"scenes.folder={arguments.labelled_corpus or arguments.corpus}", f"pretrain.start={pretrained}"]
        # Time alone ends it: neither patience nor the number of steps.
        endless = ["pretrain.engine.lr=2e-4", "pretrain.patience=1000000", "pretrain.steps=1000000"]
        verb("pretrain", arguments.preset, [*own, *settings[:2], *endless], "--minutes", f"{minutes(run):.2f}")
    if not (folder / "evaluation" / "scenes.csv").exists():
        steps = RunFolder(run).last_checkpoint()
        best = RunFolder(run).best_checkpoint() or steps
        assert best is not None, f"{run}: no checkpoint"
        enhancers = {"pretrained": pretrained, "reward": best[1] / "enhancer", "supervised": control / "best"}
        named = [part for name, path in enhancers.items() for part in ("--enhancer", f"{name}={path}")]
        more = ["--scenes", str(arguments.corpus), "--split", "eval", "--output", str(folder / "evaluation"), *named]
        verb("evaluate", arguments.preset, arguments.assignments, *more)


def verb(name: str, preset: str, settings: Sequence[str], *more: str, allowed: tuple[int, ...] = (0,)) -> None:
    """Run `auricle NAME` as a user would."""
    command = [sys.executable, "-m", f"pipelines.{name}", "--preset", preset, *more]
    command += [part for setting in settings for part in ("--set", setting)]
    status = subprocess.run(command, stdin=subprocess.DEVNULL).returncode
    if status not in allowed:
        raise SystemExit(f"auricle {name} ended with status {status}")


def minutes(run: Path) -> float:
    """Wall-clock minutes from the first learner step of a run to its last."""
    times = [record["time_s"] for record in RunFolder(run).lines("metrics.jsonl")]
    return max(0.1, (max(times) - min(times)) / 60)


def read_rows(path: Path) -> list[dict[str, str]]:
    """The scenes of one seed's evaluation, with the seed."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{**row, "seed": path.parent.parent.name} for row in csv.DictReader(file)]


def summarise(rows: Sequence[dict[str, str]]) -> dict[str, dict[str, dict[str, object]]]:
    """arm -> metric -> mean change to the pretrained enhancer, its interval, each seed's mean."""
    speakers = {(row["seed"], row["scene_id"]): row["speaker"] for row in rows}
    by_system = {(row["seed"], row["scene_id"], row["system"]): row for row in rows}
    metrics = [name for name in rows[0] if name not in DESCRIPTIVE]
    results: dict[str, dict[str, dict[str, object]]] = {arm: {} for arm in ARMS}
    for arm in ARMS:
        for metric in metrics:
            changes = {}
            for key in speakers:
                after, before = by_system[*key, arm][metric], by_system[*key, "pretrained"][metric]
                if after and before:  # empty where the metric failed: left out, as in the table of `auricle evaluate`
                    changes[key] = float(after) - float(before)
            if changes:
                results[arm][metric] = change_of(changes, speakers)
    return results


def change_of(changes: dict[tuple[str, str], float], speakers: dict[tuple[str, str], str]) -> dict[str, object]:
    """Mean and 95 % interval of the changes by (seed, scene). Every seed is evaluated on the same speakers: the two are crossed."""
    seeds = [seed for seed, _ in changes]
    found = two_way_interval(list(changes.values()), seeds, [speakers[key] or key[1] for key in changes])
    by_seed = {name: float(np.mean([value for (seed, _), value in changes.items() if seed == name])) for name in sorted(set(seeds))}
    return {"mean": found.value, "low": found.low, "high": found.high, "seeds": by_seed, "clips": len(changes)}


def show(results: dict[str, dict[str, dict[str, object]]], setting: str) -> None:
    """The table."""
    table = Table("arm", "metric", "change to pretrained [95 %]", "each seed", title=f"{setting}: held-out eval scenes")
    for arm, metrics in results.items():
        for metric, found in metrics.items():
            seeds = "  ".join(f"{value:+.3f}" for value in found["seeds"].values())  # type: ignore[attr-defined]
            table.add_row(arm, metric, f"{found['mean']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}]", seeds)
    Console(width=140).print(table)


if __name__ == "__main__":
    sys.exit(main())
