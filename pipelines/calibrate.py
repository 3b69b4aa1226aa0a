"""`auricle calibrate`: an audio language model learns to describe and rate speech, from clips damaged in labelled ways.

The story: labelled clips (cached) -> a new listener -> training (goes on where it was stopped) -> the checkpoint folder, which loads in
transformers and in vLLM -> the report on speakers and noises that training never heard.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from auricle.errors import ConfigError
from auricle.listeners.calibration import CalibrateConfig
from auricle.listeners.checkpoint import Listener, load_listener, new_listener, save_listener
from auricle.listeners.dataset import ClipSet, prepare
from auricle.listeners.report import report_on, report_text, save_report
from auricle.listeners.sources import Part, find_sources
from auricle.listeners.training import Progress as TrainingProgress
from auricle.listeners.training import train
from pipelines.command import run_verb, verb_parser
from pipelines.settings import Settings

CHECKPOINT = "listener"
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
    torch.set_num_threads(max(1, torch.get_num_threads()))
    held_out = _clips(config, "held-out", console)
    if arguments.report_only:
        listener = load_listener(arguments.report_only)
    else:
        listener = _trained(config, _clips(config, "train", console), console)
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


def _clips(config: CalibrateConfig, part: Part, console: Console) -> ClipSet:
    """The labelled clips of one part, from the cache or made now."""
    with _bar(console) as bar:
        task = bar.add_task(f"{part} clips", total=None)
        clips = prepare(
            config.data,
            part,
            config.cache,
            processes=config.processes,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
        bar.update(task, completed=len(clips), total=len(clips))
    return clips


def _trained(config: CalibrateConfig, clips: ClipSet, console: Console) -> Listener:
    """A new listener, trained and saved; the saved form is what comes back, so that the report is about the file."""
    listener = new_listener(config.listener, config.training.seed)
    with _bar(console) as bar:
        task = bar.add_task("training", total=config.training.steps, note="")

        def report(progress: TrainingProgress) -> None:
            bar.update(task, completed=progress.step, description=f"training (loss {progress.loss:.2f})")

        train(listener, clips, config.training, config.output, report=report)
    folder = config.output / CHECKPOINT
    save_listener(listener, folder, half=config.half)
    console.print(f"listener: {folder}")
    return load_listener(folder)


def _bar(console: Console) -> Progress:
    return Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console)


if __name__ == "__main__":
    sys.exit(main())
