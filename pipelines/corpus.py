"""`auricle corpus synth OUT`: the embedded audio-visual corpus. `auricle corpus mix OUT ...`: scenes from folders of recordings.

Both write AVSEC-4's layout, go on where they stopped, and give the same bytes for the same seed whatever the number of workers.
"""

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from auricle.errors import ConfigError
from auricle.scenes.production import produce
from auricle.scenes.scene import Split
from auricle.scenes.synth.conditions import CONDITIONS, find_condition
from auricle.scenes.synth.staging import FRAME_RATE_HZ, SynthConfig, stage_scene
from auricle.scenes.writer import CorpusWriter, scene_id
from pipelines.command import run_verb, verb_parser
from pipelines.settings import Settings

SPLITS: tuple[Split, ...] = get_args(Split)
USAGE = """usage: auricle corpus {synth,mix} OUT [options]

  synth  a synthetic corpus: no files needed
  mix    a corpus mixed from folders of recordings
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `auricle corpus`; returns the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    kinds = {"synth": synth_main}
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(USAGE + "\n`auricle corpus synth --help` and `auricle corpus mix --help` tell more.\n")
        return 0
    if arguments[0] not in kinds:
        sys.stderr.write(f"auricle corpus: expected synth or mix, not {arguments[0]!r}\n\n{USAGE}")
        return 2
    return kinds[arguments[0]](arguments[1:])


def synth_main(argv: Sequence[str]) -> int:
    """`auricle corpus synth`."""
    parser = verb_parser(
        "corpus synth",
        "Writes talking faces in synthetic noise, in AVSEC-4 layout (mono files unless --binaural). Interrupted, it goes on when run anew.",
        [
            "auricle corpus synth corpus/tiny-A --scenes train=160,dev=40,eval=40 --duration 2.5 --seed 0 --condition A",
            "auricle corpus synth corpus/tiny-B --condition B --seed 1 --set corpus_synth.mix.snr_db_min=-10",
        ],
    )
    _add_output_options(parser)
    about = "; ".join(f"{condition.name}: {condition.about}" for condition in CONDITIONS.values())
    _option(parser, "--seed", "corpus_synth.seed", "N", "every draw comes from it (default: 0)")
    _option(parser, "--duration", "corpus_synth.duration_s", "SECONDS", "length of each scene (default: 3)")
    _option(parser, "--condition", "corpus_synth.condition", "NAME", f"acoustic condition: {about} (default: A)", text=True)
    _option(parser, "--binaural", "corpus_synth.binaural", None, "write AVSEC-4's two-channel files too")
    return run_verb(parser, _synth, argv)


def _synth(arguments: argparse.Namespace, settings: Settings) -> None:
    config = settings.corpus_synth
    find_condition(config.condition)
    counts = parse_counts(arguments.scenes)
    writer = CorpusWriter(arguments.out)
    writer.claim({"made_by": "auricle corpus synth", **config.model_dump(mode="json")})
    tasks = [_SynthTask(arguments.out, config, split, index) for split, count in counts.items() for index in range(count)]
    waiting = [task for task in tasks if not writer.is_complete(scene_id(task.split, task.index))]
    _work("synthesising", produce(_make_synthetic, waiting, arguments.workers), len(tasks), len(tasks) - len(waiting))
    summary = {split: writer.finish(split, [scene_id(split, index) for index in range(count)]) for split, count in counts.items()}
    print_summary(arguments.out, summary, kept=len(tasks) - len(waiting), rejected=[])


@dataclass(frozen=True)
class _SynthTask:
    root: Path
    config: SynthConfig
    split: Split
    index: int


def _make_synthetic(task: _SynthTask) -> str:
    scene = stage_scene(task.config, task.split, task.index)
    CorpusWriter(task.root).write(scene.record, scene.mixture, scene.frames, FRAME_RATE_HZ)
    return scene.record.scene


def parse_counts(text: str) -> dict[Split, int]:
    """`train=160,dev=40` as a dictionary. Raises ConfigError."""
    counts: dict[Split, int] = {}
    for part in text.split(","):
        name, _, number = part.strip().partition("=")
        if name not in SPLITS or not number.isdigit():
            raise ConfigError(f"--scenes {text!r}: cannot read {part!r}; expected for example train=160,dev=40,eval=40")
        counts[name] = int(number)
    return counts


def print_summary(root: Path, splits: dict[Split, list[dict[str, Any]]], *, kept: int, rejected: Sequence[tuple[str, str]]) -> None:
    """What was written, split by split, and what was left out and why."""
    table = Table("split", "scenes", "speakers", "minutes", "SNR dB", "with speech", "noise", "music")
    for split, records in splits.items():
        kinds = Counter(kind for record in records for kind in {part["type"] for part in record["interferers"]})
        seconds = sum(record["duration"] / record["sample_rate_hz"] for record in records)
        snrs = [record["SNR"] for record in records]
        table.add_row(
            *(split, str(len(records)), str(len({record["speaker"] for record in records})), f"{seconds / 60:.1f}"),
            f"{min(snrs):.1f} to {max(snrs):.1f}" if snrs else "-",
            *(str(kinds[kind]) for kind in ("speech", "noise", "music")),
        )
    console = Console()
    console.print(table)
    console.print(f"{root}: {sum(map(len, splits.values()))} scenes" + (f", {kept} of them already there" if kept else ""))
    if rejected:
        console.print(f"left out: {len(rejected)}")
        for name, reason in rejected:
            console.print(f"  {name}: {reason}", markup=False, highlight=False)


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", type=Path, help="the corpus folder; made where missing")
    parser.add_argument("--scenes", default="train=160,dev=40,eval=40", metavar="SPLIT=N,...", help="scenes a split (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), metavar="N", help="processes (default: one a core)")


def _option(parser: argparse.ArgumentParser, flag: str, key: str, metavar: str | None, text_help: str, *, text: bool = False) -> None:
    """A flag that is short for `--set KEY=VALUE`, so that `--dry-run` shows it and it is checked like the rest."""

    class Assign(argparse.Action):
        def __call__(self, _parser, namespace, value, _option_string=None) -> None:
            written = "true" if metavar is None else json.dumps(value) if text else value
            namespace.assignments = [*namespace.assignments, f"{key}={written}"]

    parser.add_argument(flag, action=Assign, metavar=metavar, help=text_help, dest=argparse.SUPPRESS, nargs=0 if metavar is None else None)


def _work(verb: str, done: Iterable[Any], total: int, already: int) -> list[Any]:
    """Draws a progress bar while `done` is consumed; returns its items."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    items = []
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task(verb, total=total, completed=already)
        for item in done:
            items.append(item)
            progress.advance(bar)
    return items


if __name__ == "__main__":
    sys.exit(main())
