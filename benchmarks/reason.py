"""Calibrated alone, calibrated further, and calibrated then reasoned: what GRPO adds to a listener, on speakers that training never heard.

    python -m benchmarks.reason --clips LABELLED/train-* --held-out LABELLED/held-out-* --seeds 0,1,2

Every seed is one `auricle reason` from the same calibrated listener, and as many minutes of supervised calibration on the same clips; both
are measured at their last step: no choice is made on the held-out clips. Measures as in arXiv 2603.10175: Pearson per dimension and their
mean, F1 of noise and of distortion, IoU of time spans, correlation of long answers, share of distinct texts. Intervals are paired, over
speakers (bootstrap of whole ones) and seeds at once. What is there already is kept. All figures go to OUTPUT/reason.json.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import stats

from auricle.listeners.assets import default_listener
from auricle.listeners.checkpoint import load_listener
from auricle.listeners.dataset import read_set
from auricle.reasoning.measuring import HeardClips, hear
from benchmarks.arms import minutes_of, verb
from benchmarks.reason_control import continued
from pipelines.reason_recipe import find_clips
from pipelines.run_folder import RunFolder

SHOWN = (
    "span_iou",
    "class_f1",
    "class_accuracy",
    "noise_f1",
    "distortion_f1",
    "pcc/overall",
    "mean_pcc",
    "long_form",
    "words_f1",
    "distinct",
    "unparsable",
)
DRAWS = 400
CHANGES = (("reasoned", "calibrated"), ("supervised", "calibrated"), ("reasoned", "supervised"))
Arm = list[dict[str, float]]
"""The measures of each seed's listener."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; see the module's text."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reason", description=__doc__, formatter_class=formatter)
    parser.add_argument("--clips", type=Path, nargs="+", required=True, help="folders of prepared clips to learn from")
    parser.add_argument("--held-out", type=Path, required=True, help="folder of prepared clips to measure on")
    parser.add_argument("--listener", type=Path, help="the calibrated listener (default: the shipped one)")
    parser.add_argument("--seeds", default="0,1,2", help="default: 0,1,2")
    parser.add_argument("--control-rate", type=float, default=2e-4, help="learning rate of further calibration (default: 2e-4)")
    parser.add_argument("--output", type=Path, default=Path("runs/reason"), help="default: runs/reason")
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--set", dest="assignments", action="append", default=[], metavar="A.B=VALUE", help="for reason")
    arguments = parser.parse_args(argv)
    listener = (arguments.listener or default_listener()).absolute()
    clips = read_set(arguments.held_out)
    heard: dict[str, list[HeardClips]] = {"calibrated": [hear(load_listener(listener), clips)], "supervised": [], "reasoned": []}
    for seed in map(int, arguments.seeds.split(",")):
        run = reasoned(arguments, listener, seed)
        found = RunFolder(run).last_checkpoint()
        assert found is not None, f"{run}: no checkpoint"
        heard["reasoned"].append(hear(load_listener(found[1] / "listener"), clips))
        control = arguments.output / f"control-{seed}"
        rows = find_clips(RunFolder.open(run).settings()).lessons  # what is left out for measuring is left out here too
        continued(listener, arguments.clips, rows, minutes_of(run), arguments.control_rate, seed, control)
        heard["supervised"].append(hear(load_listener(control), clips))
        results = summed_up(heard)
        arguments.output.mkdir(parents=True, exist_ok=True)
        (arguments.output / "reason.json").write_text(json.dumps(results, indent=1))
        show(results)
    return 0


def reasoned(arguments: argparse.Namespace, calibrated: Path, seed: int) -> Path:
    """The run of one seed, done or stopped by its own limits; one that was interrupted is gone on with."""
    run = arguments.output.absolute() / f"seed-{seed}"
    ended = run / "arm.done"  # a report is written after an interruption, too
    if not ended.exists():
        begun = (run / "config.toml").exists()
        folders = json.dumps([str(folder.absolute()) for folder in arguments.clips])
        settings = [f"run.folder={run.parent}", f"run.name={run.name}", f"run.seed={seed}", f"reason.listener={calibrated}"]
        settings += [f"reason.clips={folders}", *arguments.assignments]
        verb("reason", arguments.preset, [] if begun else settings, *(["--resume", str(run)] if begun else []), allowed=(0, 3))
        ended.touch()
    return run


def summed_up(heard: dict[str, list[HeardClips]]) -> dict[str, object]:
    """Each seed's measures by arm, and the changes between arms with their intervals."""
    arms = {name: [one.hearing().flat() for one in ones] for name, ones in heard.items()}
    speakers = np.array(heard["calibrated"][0].speakers)
    own = [np.flatnonzero(speakers == name) for name in dict.fromkeys(speakers)]
    rng = np.random.default_rng(0)
    draws = [
        {name: [one.hearing(np.concatenate([own[k] for k in drawn])).flat() for one in ones] for name, ones in heard.items()}
        for drawn in rng.integers(0, len(own), (DRAWS, len(own)))
    ]
    changes = {
        f"{after} - {before}": {measure: change(arms, draws, len(own), after, before, measure) for measure in arms["calibrated"][0]}
        for after, before in CHANGES
    }
    return {"arms": arms, "speakers": len(own), "changes": changes}


def change(
    arms: dict[str, Arm], draws: Sequence[dict[str, Arm]], speakers: int, after: str, before: str, measure: str
) -> dict[str, object]:
    """The mean change over seeds with its 95 % interval for new speakers and new seeds.

    variance = the bootstrap's over whole speakers, who are the same for all arms and seeds, + that of the seeds' mean; Student's t with
    Satterthwaite's degrees of freedom (as `auricle.metrics.intervals.two_way_interval`, for measures that are no means over clips).
    """
    by_seed = _by_seed(arms, after, before, measure)
    # A bootstrap of k speakers has (k - 1) / k of their variance.
    clips = np.nanvar([_by_seed(draw, after, before, measure).mean() for draw in draws], ddof=1) * speakers / max(1, speakers - 1)
    seeds = by_seed.var(ddof=1) / len(by_seed) if len(by_seed) > 1 else 0.0
    total = float(clips + seeds)
    freedom = total**2 / (seeds**2 / max(1, len(by_seed) - 1) + clips**2 / max(1, speakers - 1)) if total else 1.0
    half = float(stats.t.ppf(0.975, freedom)) * math.sqrt(total)
    mean = float(by_seed.mean())
    return {"mean": mean, "low": mean - half, "high": mean + half, "seeds": by_seed.tolist()}


def _by_seed(arms: dict[str, Arm], after: str, before: str, measure: str) -> np.ndarray:
    # The calibrated listener is one, whatever the seed.
    later, earlier = (np.array([one[measure] for one in arms[arm]]) for arm in (after, before))
    return later - earlier


def show(results: dict[str, object]) -> None:
    """The calibrated listener's measures, and the changes with intervals and seeds."""
    arms: dict[str, Arm] = results["arms"]  # type: ignore[assignment]
    changes: dict[str, dict[str, dict]] = results["changes"]  # type: ignore[assignment]
    before = arms["calibrated"][0]
    title = f"{before['clips']:g} held-out clips of {results['speakers']} speakers, {before['span_clips']:g} with spans, "
    title += f"{len(arms['reasoned'])} seeds"
    table = Table("measure", "calibrated", *changes, title=title)
    for measure in [*SHOWN, *(name for name in before if name.startswith("pcc/") and name not in SHOWN)]:
        cells = []
        for found in changes.values():
            one = found[measure]
            seeds = " ".join(f"{value:+.3f}" for value in one["seeds"])
            cells.append(f"{one['mean']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}] ({seeds})")
        table.add_row(measure, f"{before[measure]:.3f}", *cells)
    Console(width=190).print(table)


if __name__ == "__main__":
    sys.exit(main())
