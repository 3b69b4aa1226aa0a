"""`auricle calibrate`: an audio language model learns to describe and rate speech, from clips damaged in labelled ways.

The story: labelled clips (cached) -> learner ranks -> training (goes on where it was stopped) -> the checkpoint folder, which loads in
transformers and in vLLM -> the report on speakers and noises that training never heard.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from actors.cluster import cluster
from auricle.errors import ConfigError
from auricle.listeners.calibration import CalibrateConfig
from auricle.listeners.checkpoint import Listener, load_listener
from auricle.listeners.dataset import prepare_folder, read_set
from auricle.listeners.enhanced_clips import prepare_enhanced
from auricle.listeners.report import report_on, report_text, save_report
from auricle.listeners.sources import Part, find_sources
from pipelines.calibrate_run import LISTENER, CalibrateRun, bar
from pipelines.command import leave, run_verb, verb_parser
from pipelines.settings import Settings
from pipelines.tracking import Tracker

EXAMPLES = [
    "auricle calibrate                                                     # espeak-ng voices and synthetic noise",
    "auricle calibrate --speech LibriSpeech/train-clean-100 --noise noises --set calibrate.output=runs/ear",
    "auricle calibrate --report-only runs/ear/listener --speech LibriSpeech/train-clean-100 --noise noises",
]


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `auricle calibrate`; returns the exit status."""
    parser = verb_parser("calibrate", "Train a listener on clips that are damaged in labelled ways, and report on it.", EXAMPLES)
    parser.add_argument("--speech", type=Path, nargs="+", metavar="FOLDER", help="clean speech (short for calibrate.data.speech)")
    parser.add_argument("--noise", type=Path, nargs="+", metavar="FOLDER", help="recorded noise (short for calibrate.data.noise)")
    parser.add_argument("--report-only", type=Path, metavar="CHECKPOINT", help="no training: the report on this listener")
    return run_verb(parser, _calibrate, argv)


def _calibrate(arguments: argparse.Namespace, settings: Settings) -> None:
    config = _resolved(arguments, settings.calibrate)
    console = Console(stderr=True)
    held_out = read_set(_clips(config, "held-out", console))
    if arguments.report_only:
        listener = load_listener(arguments.report_only)
    else:
        listener = _trained(settings.model_copy(update={"calibrate": config}), console)
    console.print("measuring on held-out speakers and noises ...")
    data = config.data
    sources = find_sources("held-out", data.speech, data.noise, synthetic_share=data.synthetic_share, seed=data.seed)
    report = report_on(listener, held_out, sources, config.ratings, probe_clips=config.probe_clips)
    save_report(report, config.output)
    Console().print(Markdown(report_text(report)))
    console.print(f"report: {config.output / 'report.md'}")


def _resolved(arguments: argparse.Namespace, config: CalibrateConfig) -> CalibrateConfig:
    folders = {name: tuple(getattr(arguments, name)) for name in ("speech", "noise") if getattr(arguments, name)}
    data = config.data.model_copy(update=folders)
    for folder in (*data.speech, *data.noise):
        if not folder.is_dir():
            raise ConfigError(f"{folder}: no such folder of recordings (calibrate.data)")
    network = config.listener
    if (data.clip_s, data.mels, data.sample_rate_hz) != (network.clip_s, network.mels, network.sample_rate_hz):
        raise ConfigError(
            f"calibrate.data has clip_s, mels, sample_rate_hz = {data.clip_s, data.mels, data.sample_rate_hz}, but calibrate.listener "
            f"{network.clip_s, network.mels, network.sample_rate_hz}; set them to the same values"
        )
    return config.model_copy(update={"data": data})


def _clips(config: CalibrateConfig, part: Part, console: Console) -> Path:
    """The folder of the labelled clips of one part, from the cache or made now."""
    with bar(console) as progress:
        task = progress.add_task(f"{part} clips", total=None)
        return prepare_folder(
            config.data,
            part,
            config.cache,
            processes=config.processes,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )


def _more_sets(config: CalibrateConfig, console: Console) -> list[Path]:
    """Clips from scenes and an enhancer, and sets that were prepared before."""
    for folder in config.sets:
        if not (folder / "labels.jsonl").is_file():
            raise ConfigError(f"{folder}: no labels.jsonl in it; give folders of prepared clips (calibrate.sets)")
    if config.enhanced.scenes is None:
        return list(config.sets)
    with bar(console) as progress:
        task = progress.add_task("enhanced clips", total=config.enhanced.clips)
        made = prepare_enhanced(
            config.enhanced, config.data, config.cache, progress=lambda done, total: progress.update(task, completed=done, total=total)
        )
    return [*config.sets, made]


def _trained(settings: Settings, console: Console) -> Listener:
    config = settings.calibrate
    sets = [_clips(config, "train", console), *_more_sets(config, console)]
    run = CalibrateRun(config, settings.learner_pool)
    settings = settings.model_copy(
        update={"run": settings.run.model_copy(update={"name": run.path.name, "folder": run.path.parent, "seed": config.training.seed})}
    )
    with cluster(settings.cluster, namespace=f"calibrate-{run.path.name}"), Tracker(settings.run, run.path, kind="calibrate") as tracker:
        tracker.log_settings(settings)
        listener = run.train(sets, tracker, console)
    console.print(f"listener: {run.path / LISTENER}", highlight=False)
    return listener


if __name__ == "__main__":
    leave(main())
