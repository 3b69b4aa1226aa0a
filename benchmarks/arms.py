"""Arms of a comparison: fine-tune, supervise, evaluate by the verbs a user would type, and sum up over seeds and speakers.

What is there already is kept, so that a comparison that broke goes on where it was. Folders: OUTPUT/seed-N/ARM/ is a run, and
OUTPUT/seed-N/evaluation/ holds the held-out scenes of all arms and of the pretrained enhancer.
"""

import csv
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from auricle.metrics.intervals import two_way_interval
from pipelines.run_folder import RunFolder

PRETRAINED = "pretrained"
DESCRIPTIVE = ("scene_id", "speaker", "snr_db", "snr_band", "interferer", "condition", "system", "failures", "words", "seed")
STOPPED_BY_GUARD = 3

INTERRUPTION = 20.0
"""A gap between two steps that is as many times the usual one is time in which the run did not run."""

Change = dict[str, object]
"""mean, low, high (95 %), seeds (each one's mean), clips."""


class ArmError(Exception):
    """A verb that did not end well."""


def finetuned(run: Path, preset: str, settings: Sequence[str]) -> Path:
    """The main job in the folder `run` (its parent and name go before `settings`); done, or stopped by its guard. Returns `run`."""
    ended, made_with = run / "arm.done", json.dumps([preset, *settings])  # a report is written after an interruption, too
    if ended.exists() and ended.read_text() not in (made_with, ""):
        raise ArmError(f"{run} was made with other settings ({ended.read_text()}); choose another --output")
    if not ended.exists():
        begun = (run / "config.toml").exists()
        own = [f"run.folder={run.parent}", f"run.name={run.name}", *settings]
        verb("finetune", preset, [] if begun else own, *(["--resume", str(run)] if begun else []), allowed=(0, STOPPED_BY_GUARD))
        ended.write_text(made_with)
    return run


def supervised(run: Path, preset: str, settings: Sequence[str], pretrained: Path, minutes: float) -> Path:
    """The control: supervised training from `pretrained` for so many minutes. Returns its enhancer."""
    if not (run / "evaluation.json").exists():
        own = [f"run.folder={run.parent}", f"run.name={run.name}", f"pretrain.start={pretrained}"]
        # Time alone ends it: neither patience nor the number of steps.
        endless = ["pretrain.engine.lr=2e-4", "pretrain.patience=1000000", "pretrain.steps=1000000"]
        verb("pretrain", preset, [*own, *settings, *endless], "--minutes", f"{minutes:.2f}")
    return run / "best"


def last_enhancer(run: Path) -> Path:
    """The enhancer after the last learner step."""
    found = RunFolder(run).last_checkpoint()
    if found is None:
        raise ArmError(f"{run}: no checkpoint")
    return found[1] / "enhancer"


def best_enhancer(run: Path) -> Path:
    """The best one that passed the guard; the last one where none did."""
    found = RunFolder(run).best_checkpoint()
    return found[1] / "enhancer" if found else last_enhancer(run)


def evaluated(folder: Path, preset: str, settings: Sequence[str], corpus: Path, enhancers: Mapping[str, Path]) -> Path:
    """Every enhancer on the held-out `eval` scenes; returns the table of scenes. One that is there, with all of them in it, is kept."""
    table = folder / "scenes.csv"
    if not table.exists() or not set(enhancers) <= {row["system"] for row in read_rows(table)}:
        named = [part for name, path in enhancers.items() for part in ("--enhancer", f"{name}={path}")]
        verb("evaluate", preset, settings, "--scenes", str(corpus), "--split", "eval", "--output", str(folder), *named)
    return table


def verb(name: str, preset: str, settings: Sequence[str], *more: str, allowed: tuple[int, ...] = (0,)) -> None:
    """Run `auricle NAME` as a user would. Raises ArmError where it ends with another status than `allowed`."""
    command = [sys.executable, "-m", f"pipelines.{name}", "--preset", preset, *more]
    command += [part for setting in settings for part in ("--set", setting)]
    status = subprocess.run(command, stdin=subprocess.DEVNULL).returncode
    if status not in allowed:
        raise ArmError(f"auricle {name} ended with status {status}")


def minutes_of(run: Path) -> float:
    """Wall-clock minutes from the first learner step of a run to its last; an interruption between two steps counts as a usual step."""
    gaps = np.diff(sorted(record["time_s"] for record in RunFolder(run).lines("metrics.jsonl")))
    usual = float(np.median(gaps)) if len(gaps) else 0.0
    return max(0.1, float(np.where(gaps > INTERRUPTION * usual, usual, gaps).sum()) / 60)


def read_rows(path: Path) -> list[dict[str, str]]:
    """The scenes of one seed's evaluation, with the seed."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{**row, "seed": path.parent.parent.name} for row in csv.DictReader(file)]


def summarise(rows: Sequence[dict[str, str]], arms: Sequence[str]) -> dict[str, dict[str, Change]]:
    """arm -> metric -> mean change to the pretrained enhancer, its interval, each seed's mean."""
    speakers = {(row["seed"], row["scene_id"]): row["speaker"] for row in rows}
    by_system = {(row["seed"], row["scene_id"], row["system"]): row for row in rows}
    metrics = [name for name in rows[0] if name not in DESCRIPTIVE]
    results: dict[str, dict[str, Change]] = {arm: {} for arm in arms}
    for arm in arms:
        for metric in metrics:
            changes = {}
            for key in speakers:
                after, before = (by_system.get((*key, system), {}).get(metric) for system in (arm, PRETRAINED))
                if after and before:  # empty where the metric failed: left out, as in the table of `auricle evaluate`
                    changes[key] = float(after) - float(before)
            if changes:
                results[arm][metric] = change_of(changes, speakers)
    return results


def change_of(changes: Mapping[tuple[str, str], float], speakers: Mapping[tuple[str, str], str]) -> Change:
    """Mean and 95 % interval of the changes by (seed, scene). Every seed is evaluated on the same speakers: the two are crossed."""
    seeds = [seed for seed, _ in changes]
    found = two_way_interval(list(changes.values()), seeds, [speakers[key] or key[1] for key in changes])
    by_seed = {name: float(np.mean([value for (seed, _), value in changes.items() if seed == name])) for name in sorted(set(seeds))}
    return {"mean": found.value, "low": found.low, "high": found.high, "seeds": by_seed, "clips": len(changes)}


def show_long(results: Mapping[str, Mapping[str, Change]], title: str) -> None:
    """One line an arm and metric, with each seed."""
    table = Table("arm", "metric", "change to pretrained [95 %]", "each seed", title=title)
    for arm, metrics in results.items():
        for metric, found in metrics.items():
            seeds = "  ".join(f"{value:+.3f}" for value in found["seeds"].values())  # type: ignore[attr-defined]
            table.add_row(arm, metric, interval_text(found), seeds)
    Console(width=140).print(table)


def show_wide(results: Mapping[str, Mapping[str, Change]], metrics: Sequence[str], title: str, mark: Callable[[str, str], bool]) -> None:
    """One line an arm, one column a metric; cells for which `mark(arm, metric)` holds get a star."""
    table = Table("arm", *metrics, title=title)
    for arm, found in results.items():
        cells = [(interval_text(found[m]) + (" *" if mark(arm, m) else "")) if m in found else "-" for m in metrics]
        table.add_row(arm, *cells)
    Console(width=60 + 26 * len(metrics)).print(table)


def interval_text(found: Change) -> str:
    """The mean with its interval."""
    return f"{found['mean']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}]"
