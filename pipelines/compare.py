"""`auricle compare RUN RUN...`: runs side by side, from MLflow: what was set differently, what came out, and how it sounds.

MLflow --> parameters that differ, last values --> two tables
       --> histories, clips and words          --> one page (compare.html) that opens from disk
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

import auricle
from auricle.errors import ConfigError
from auricle.files import replacing
from pipelines.command import EXIT_OK, run_verb, verb_parser
from pipelines.report import SOUND_BUDGET, STAGE_TITLES, page_stage
from pipelines.reporting.names import measure
from pipelines.reporting.page import number_text, render_page
from pipelines.reporting.plot import Chart, Series, line_chart
from pipelines.reporting.tracked import TrackedRun, differing_params, find_runs, labels_of, load_run
from pipelines.settings import Settings

EXAMPLES = (
    "auricle compare runs/demo runs/adapt",
    "auricle compare demo adapt --output compare.html      # by name, from run.tracking_uri (default: the store in run.folder)",
    "auricle compare --experiment auricle",
)
_PRINTED = ("reward/mean", "guard/", "evaluation/", "loss/kl", "stream/staleness_max", "stream/rows_per_s")
_CHARTED = ("reward/", "guard/", "loss/", "ppo/clip_fraction", "stream/staleness", "stream/rows_per_s", "pool/")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = verb_parser("compare", "Runs side by side, from MLflow: tables, curves, and audio with the judges' words.", EXAMPLES)
    parser.add_argument("runs", nargs="*", metavar="RUN", help="a run's folder, its name, or its MLflow id")
    parser.add_argument("--experiment", metavar="NAME", help="all runs of an MLflow experiment")
    parser.add_argument("--output", type=Path, default=Path("compare.html"), metavar="FILE", help="the page (default: compare.html)")
    return run_verb(parser, _story, argv)


def _story(arguments: argparse.Namespace, settings: Settings) -> int:
    found = find_runs(settings.run, arguments.runs, arguments.experiment)
    if not found:
        raise ConfigError("nothing to compare: name runs (folders, names or MLflow ids), or --experiment NAME")
    console = Console()
    labels = labels_of([run for _, run in found])
    with tempfile.TemporaryDirectory() as scratch:
        runs = [load_run(client, run, label, Path(scratch)) for (client, run), label in zip(found, labels, strict=True)]
        print_comparison(runs, console)
        console.print(f"page: {write_page(runs, arguments.output)}", soft_wrap=True)
    return EXIT_OK


def print_comparison(runs: Sequence[TrackedRun], console: Console) -> None:
    """What differs, and what came out, on the terminal."""
    params = differing_params(runs)
    rows = {name: ["" if value is None else value for value in values] for name, values in params.items()}
    console.print(_table("set differently", runs, rows) if rows else "All parameters are the same.")
    values = {name: [_value_text(run, name) for run in runs] for name in metrics_of(runs, _PRINTED)}
    console.print(_table("came out (last value)", runs, {"status": [run.status.lower() for run in runs], **values}))
    for run in runs:
        if "verdict" in run.tags:
            console.print(f"[bold]{run.label}[/bold]: {run.tags['verdict']}")


def write_page(runs: Sequence[TrackedRun], path: Path) -> Path:
    """The comparison as one self-contained page."""
    scenes, left_out = scenes_side_by_side(runs)
    text = render_page(
        "compare.html",
        runs=runs,
        params=differing_params(runs),
        metrics={name: [_value_text(run, name) for run in runs] for name in metrics_of(runs, _PRINTED)},
        charts=charts_of(runs),
        samples=scenes,
        left_out=left_out,
        version=auricle.__version__,
        number=number_text,
    )
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def metrics_of(runs: Sequence[TrackedRun], prefixes: Sequence[str]) -> list[str]:
    """Names of the runs' metrics that begin with one of `prefixes`, in the order of the prefixes."""
    names = sorted({name for run in runs for name in run.metrics})
    return list(dict.fromkeys(name for prefix in prefixes for name in names if name.startswith(prefix)))


def charts_of(runs: Sequence[TrackedRun]) -> list[Chart]:
    """One chart a metric, a line a run."""
    charts = []
    for name in metrics_of(runs, _CHARTED):
        series = [run.history.get(name) or Series(run.label, [], []) for run in runs]
        guard = name.startswith("guard/")
        title = f"held-out {measure(name).label}" if guard else name.replace("/", ": ", 1).replace("/", " ").replace("_", " ")
        charts.append(line_chart(title, series, smooth=not guard))
    return [chart for chart in charts if chart is not None]


def scenes_side_by_side(runs: Sequence[TrackedRun], budget: int = SOUND_BUDGET) -> tuple[list[dict[str, Any]], int]:
    """Scenes for the page: noisy and clean once, then each run's output with what was said of it; and how many scenes were left out."""
    scene_ids = list(dict.fromkeys(sample.scene_id for run in runs for sample in run.samples))
    scenes: list[dict[str, Any]] = []
    for place, scene_id in enumerate(scene_ids):
        stages = _stages(runs, scene_id)
        budget -= sum(stage["sound"].size for stage in stages)
        if budget < 0:
            return scenes, len(scene_ids) - place
        about = next((s.about for run in runs for s in run.samples if s.scene_id == scene_id and s.about), "")
        scenes.append({"scene_id": scene_id, "about": about, "stages": stages})
    return scenes, 0


def _stages(runs: Sequence[TrackedRun], scene_id: str) -> list[dict[str, Any]]:
    samples = [(run, sample) for run in runs for sample in run.samples if sample.scene_id == scene_id]
    _, first = samples[0]
    stages = [page_stage(first, stage, STAGE_TITLES[stage]) for stage in ("noisy", "before") if stage in first.files]
    stages += [page_stage(sample, "after", run.label) for run, sample in samples if "after" in sample.files]
    return stages + ([page_stage(first, "clean", STAGE_TITLES["clean"])] if "clean" in first.files else [])


def _table(title: str, runs: Sequence[TrackedRun], rows: dict[str, list[str]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column(title)
    for run in runs:
        table.add_column(run.label, justify="right", overflow="fold")
    for name, values in rows.items():
        table.add_row(name, *values)
    return table


def _value_text(run: TrackedRun, name: str) -> str:
    return number_text(run.metrics[name]) if name in run.metrics else "\N{EN DASH}"


if __name__ == "__main__":
    sys.exit(main())
