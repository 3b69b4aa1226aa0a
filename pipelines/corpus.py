"""`auricle corpus synth OUT`: the embedded audio-visual corpus. `auricle corpus mix OUT ...`: scenes from folders of recordings.

Both write AVSEC-4's layout, go on where they stopped, and give the same bytes for the same seed whatever the number of workers.
"""

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from auricle.errors import ConfigError, EmptyCorpusError
from auricle.progress import Progress
from auricle.scenes.pools import Folders, take_inventory
from auricle.scenes.production import produce
from auricle.scenes.recordings import Unusable
from auricle.scenes.remix import Pools, RemixConfig, remix_scene
from auricle.scenes.scene import Split
from auricle.scenes.splits import speakers_by_pattern, speakers_by_table
from auricle.scenes.synth.conditions import CONDITIONS, find_condition
from auricle.scenes.synth.staging import SynthConfig, stage_scene
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
    kinds = {"synth": synth_main, "mix": mix_main}
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


def mix_main(argv: Sequence[str]) -> int:
    """`auricle corpus mix`."""
    parser = verb_parser(
        "corpus mix",
        "Mixes recordings into scenes in AVSEC-4 layout (mono files). Speakers, noises and rooms of train, dev and eval are disjoint. "
        "Interrupted, it goes on when run anew.",
        [
            "auricle corpus mix corpus/real --videos talks/ --speech librispeech/ --noise demand/ --music tunes/ --rirs rooms/",
            "auricle corpus mix corpus/audio --targets librispeech/ --speaker-pattern '(\\d+)-\\d+-\\d+' --noise demand/ --snr-min -5",
        ],
    )
    _add_output_options(parser)
    sources = parser.add_argument_group("recordings (folders are searched to any depth)")
    target = sources.add_mutually_exclusive_group(required=True)
    target.add_argument("--videos", type=Path, metavar="DIR", help="target talkers: films with sound, of any container")
    target.add_argument("--targets", type=Path, metavar="DIR", help="target talkers: sound files, for scenes without video")
    sources.add_argument("--speech", type=Path, metavar="DIR", help="competing talkers; never the target's own voice")
    sources.add_argument("--noise", type=Path, metavar="DIR", help="noises")
    sources.add_argument("--music", type=Path, metavar="DIR", help="music; at most one piece in a scene")
    sources.add_argument("--rirs", type=Path, metavar="DIR", help="room impulse responses (default: synthetic rooms)")
    naming = parser.add_argument_group("speakers").add_mutually_exclusive_group()
    naming.add_argument("--speaker-pattern", metavar="REGEX", help="its first group, in a file's path, is the speaker (default: by folder)")
    naming.add_argument("--speakers", type=Path, metavar="CSV", help="a table with the columns file and speaker (or person)")
    _option(parser, "--seed", "corpus_mix.seed", "N", "every draw comes from it (default: 0)")
    _option(parser, "--duration", "corpus_mix.duration_s", "SECONDS", "longest scene (default: 3)")
    _option(parser, "--condition", "corpus_mix.condition", "NAME", "a label written with each scene (default: mixed)", text=True)
    _option(parser, "--snr-min", "corpus_mix.mix.snr_db_min", "DB", "lowest speech-weighted SNR (default: -10)")
    _option(parser, "--snr-max", "corpus_mix.mix.snr_db_max", "DB", "highest speech-weighted SNR (default: 10)")
    return run_verb(parser, _mix, argv)


def _synth(arguments: argparse.Namespace, settings: Settings) -> None:
    config = settings.corpus_synth
    find_condition(config.condition)
    recipe = {"made_by": "auricle corpus synth", **config.model_dump(mode="json")}
    _make_corpus(arguments, recipe, _make_synthetic, config)


def _mix(arguments: argparse.Namespace, settings: Settings) -> None:
    config = settings.corpus_mix
    folders = Folders(
        targets=arguments.videos or arguments.targets,
        targets_are_films=arguments.videos is not None,
        speech=arguments.speech,
        noise=arguments.noise,
        music=arguments.music,
        rooms=arguments.rirs,
    )
    speaker_of = None
    if arguments.speaker_pattern:
        speaker_of = speakers_by_pattern(arguments.speaker_pattern)
    elif arguments.speakers:
        speaker_of = speakers_by_table(arguments.speakers)
    inventory = take_inventory(folders, parse_counts(arguments.scenes), config.seed, speaker_of)
    # Also what each split drew on: a file more or less in a folder would change the scenes that are still to come.
    recipe = {"made_by": "auricle corpus mix", **config.model_dump(mode="json"), "recordings": inventory.fingerprint()}
    _make_corpus(arguments, recipe, _make_mixed, (config, inventory.pools), inventory.unusable, inventory.remarks)


def _make_corpus(
    arguments: argparse.Namespace,
    recipe: dict[str, Any],
    make: Callable[[Any, "_Task"], Sequence[Unusable]],
    shared: Any,
    unusable: Sequence[Unusable] = (),
    remarks: Sequence[str] = (),
) -> None:
    """Makes the scenes that are not there yet, gathers their records, and prints what came of it."""
    counts = parse_counts(arguments.scenes)
    writer = CorpusWriter(arguments.out)
    writer.claim(recipe)
    tasks = [_Task(arguments.out, split, index) for split, count in counts.items() for index in range(count)]
    waiting = [task for task in tasks if not writer.is_complete(scene_id(task.split, task.index))]
    kept = len(tasks) - len(waiting)
    outcomes = _with_progress("making scenes", produce(make, shared, waiting, arguments.workers), len(tasks), kept)
    summary = {split: writer.finish(split, [scene_id(split, index) for index in range(count)]) for split, count in counts.items()}
    found_bad = [item for outcome in outcomes for item in outcome]
    print_summary(arguments.out, summary, kept, [*unusable, *found_bad], remarks)
    if not any(summary.values()):
        raise EmptyCorpusError(f"{arguments.out}: no scene could be made; see the reasons above")


@dataclass(frozen=True)
class _Task:
    root: Path
    split: Split
    index: int


def _make_synthetic(config: SynthConfig, task: _Task) -> Sequence[Unusable]:
    CorpusWriter(task.root).write(stage_scene(config, task.split, task.index))
    return ()


def _make_mixed(shared: tuple[RemixConfig, Mapping[Split, Pools]], task: _Task) -> Sequence[Unusable]:
    config, pools = shared
    made = remix_scene(config, pools[task.split], task.split, task.index)
    if made.scene:
        CorpusWriter(task.root).write(made.scene)
    return made.unusable


def parse_counts(text: str) -> dict[Split, int]:
    """`train=160,dev=40` as a dictionary. Raises ConfigError."""
    counts: dict[Split, int] = {}
    for part in text.split(","):
        name, _, number = part.strip().partition("=")
        if name not in SPLITS or not number.isdigit():
            raise ConfigError(f"--scenes {text!r}: cannot read {part!r}; expected for example train=160,dev=40,eval=40")
        counts[name] = int(number)
    return counts


def print_summary(
    root: Path, splits: Mapping[Split, list[dict[str, Any]]], kept: int, unusable: Sequence[Unusable], remarks: Sequence[str]
) -> None:
    """What was written, split by split, and what was left out and why."""
    table = Table(box=box.SIMPLE)
    for column in ("split", "scenes", "speakers", "minutes", "SNR dB", "speech", "noise", "music"):
        table.add_column(column, no_wrap=True)
    for split, records in splits.items():
        kinds = Counter(kind for record in records for kind in {part["type"] for part in record["interferers"]})
        seconds = sum(record["duration"] / record["sample_rate_hz"] for record in records)
        snrs = [record["SNR"] for record in records]
        table.add_row(
            *(split, str(len(records)), str(len({record["speaker"] for record in records})), f"{seconds / 60:.1f}"),
            f"{min(snrs):.1f}..{max(snrs):.1f}" if snrs else "-",
            *(str(kinds[kind]) for kind in ("speech", "noise", "music")),
        )
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    console.print(f"{root}: {sum(map(len, splits.values()))} scenes" + (f", {kept} of them already there" if kept else ""), markup=False)
    for remark in remarks:
        console.print(f"note: {remark}", markup=False)
    reasons = sorted({item.reason for item in unusable})
    if reasons:
        console.print(f"left out: {len(reasons)}")
        for reason in reasons:
            console.print(f"  {reason}", markup=False)


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


def _with_progress(verb: str, done: Iterable[Any], total: int, already: int) -> list[Any]:
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
