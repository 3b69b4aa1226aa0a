"""`auricle calibrate`: an audio language model learns to describe and rate speech, from clips damaged in labelled ways.

The story: labelled clips (cached) -> learner ranks -> training (goes on where it was stopped) -> the checkpoint folder, which loads in
transformers and in vLLM -> the report on speakers and noises that training never heard.
"""

import argparse
import importlib.util
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

from rich.console import Console
from rich.markdown import Markdown
from rich.progress import TaskID

from actors.cluster import cluster
from auricle.errors import AuricleError, CheckpointError, ConfigError, EnvironmentSetupError, JudgeError
from auricle.gsrm.heard import prepare_heard
from auricle.gsrm.judge import SHIPPED as GSRM
from auricle.gsrm.judge import GsrmJudge, GsrmOptions
from auricle.gsrm.method import FILE, Method, load_method
from auricle.gsrm.report import heard_clips
from auricle.gsrm.report import report_on as report_on_evidence
from auricle.gsrm.report import report_text as evidence_text
from auricle.listeners.aspects import agreement_with_labels, agreement_with_ratings, aspects_text, save_aspects
from auricle.listeners.calibration import CalibrateConfig, CourseName
from auricle.listeners.checkpoint import Listener, load_listener
from auricle.listeners.dataset import ClipSet, prepare_folder, read_set
from auricle.listeners.enhanced_clips import prepare_enhanced, whole_scenes
from auricle.listeners.rated_clips import prepare_rated, rated_clips
from auricle.listeners.report import report_on, report_text, save_report
from auricle.listeners.sources import Part, find_sources
from auricle.progress import Progress
from pipelines.calibrate_run import LISTENER, CalibrateRun, bar
from pipelines.command import leave, run_verb, verb_parser
from pipelines.settings import Settings
from pipelines.tracking import Tracker

EXAMPLES = [
    "auricle calibrate                                                     # espeak-ng voices and synthetic noise",
    "auricle calibrate --speech LibriSpeech/train-clean-100 --noise noises --set calibrate.output=runs/ear",
    "auricle calibrate --report-only runs/ear/listener --speech LibriSpeech/train-clean-100 --noise noises",
    "auricle calibrate --set calibrate.start=runs/ear/listener --set calibrate.enhanced.scenes=corpus/tiny-A",
    "auricle calibrate --dimensions --ratings QualiSpeech/train.csv --set calibrate.start=runs/ear/listener",
    "auricle calibrate --tasks calibration questions --set learner_pool.ranks=2 --set calibrate.training.zero_stage=2",
    "auricle calibrate --tasks evidence --set calibrate.start=auricle/assets/listener --set calibrate.output=runs/reasons",
    "auricle calibrate --set calibrate.listener.text_model=meta-llama/Llama-3.2-1B --set calibrate.trainable.decoder=lora",
]
EVIDENCE_CLIPS, EVIDENCE_SAMPLES = 100, 8
"""Held-out clips that are asked for evidence, and answers of each (K)."""
_TASKS_HELP = f"what is taught, in equal shares: {', '.join(get_args(CourseName))} (short for calibrate.courses)"


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `auricle calibrate`; returns the exit status."""
    parser = verb_parser("calibrate", "Train a listener on clips that are damaged in labelled ways, and report on it.", EXAMPLES)
    parser.add_argument("--speech", type=Path, nargs="+", metavar="FOLDER", help="clean speech (short for calibrate.data.speech)")
    parser.add_argument("--noise", type=Path, nargs="+", metavar="FOLDER", help="recorded noise (short for calibrate.data.noise)")
    parser.add_argument("--tasks", nargs="+", choices=get_args(CourseName), metavar="TASK", help=_TASKS_HELP)
    parser.add_argument("--dimensions", action="store_true", help="teach scores of QualiSpeech's aspects too, and report on each")
    parser.add_argument("--ratings", type=Path, nargs="+", metavar="CSV", help="rated clips to learn from (short for calibrate.rated)")
    parser.add_argument(
        "--report-only", type=Path, metavar="CHECKPOINT", help="no training: the report on this listener, into calibrate.output"
    )
    return run_verb(parser, _calibrate, argv)


def _calibrate(arguments: argparse.Namespace, settings: Settings) -> None:
    config = _resolved(arguments, settings.calibrate)
    console = Console(stderr=True)
    taught = {name for name, weight in config.courses.items() if weight}
    only = arguments.report_only
    evidence = (only / FILE).is_file() if only else "evidence" in taught
    if only and "evidence" in taught and not evidence:
        raise CheckpointError(f"{only}: no {FILE} there, so that it was not taught evidence; leave the course evidence out")
    if evidence and importlib.util.find_spec("vllm") is None:  # hours before it is needed
        raise EnvironmentSetupError("the report on the course evidence needs vLLM, which is not installed: auricle[cpu] or auricle[gpu]")
    # One that was taught nothing but evidence gives no scores of the other kind: there is nothing to correlate.
    scored = taught != {"evidence"}
    held_out = read_set(_clips(config, "held-out", console)) if scored else None
    listener = load_listener(only) if only else _trained(settings.model_copy(update={"calibrate": config}), console)
    if evidence:
        _report_evidence(config, only or config.output / LISTENER, console)
    if held_out is None:
        return
    _report(config, listener, held_out, console)
    if "dimensions" in taught:
        tables = {"clips damaged in known ways": agreement_with_labels(listener, held_out)}
        if config.rated:
            tables["rated by people"] = agreement_with_ratings(listener, rated_clips(config.rated, "held-out", config.data.seed))
        save_aspects(tables, config.output)
        Console().print(Markdown(aspects_text(tables)))


def _report(config: CalibrateConfig, listener: Listener, held_out: ClipSet, console: Console) -> None:
    """Scores, words and spans, and how it is fooled."""
    console.print("measuring on held-out speakers and noises ...")
    data = config.data
    sources = find_sources("held-out", data.speech, data.noise, synthetic_share=data.synthetic_share, seed=data.seed)
    report = report_on(listener, held_out, sources, config.ratings, probe_clips=config.probe_clips)
    save_report(report, config.output)
    Console().print(Markdown(report_text(report)))
    console.print(f"report: {config.output / 'report.md'}")


def _report_evidence(config: CalibrateConfig, checkpoint: Path, console: Console) -> None:
    """Evidence and scores as the judge `gsrm` asks for them: in vLLM, held to what was measured of a clip, and free of that."""
    data = config.data.model_copy(update={"held_out_clips": min(EVIDENCE_CLIPS, config.data.held_out_clips)})
    console.print(f"asking for evidence and scores of {data.held_out_clips} held-out clips ...")
    held_out, sounds = heard_clips(data, processes=config.processes)
    try:
        judge = GsrmJudge(GsrmOptions(model=str(checkpoint), samples=EVIDENCE_SAMPLES, way="listen", engine=config.engine))
    except AuricleError as error:
        raise JudgeError(
            f"{error}\n{checkpoint} is trained and saved; set calibrate.engine, and report on it alone with --report-only {checkpoint}"
        ) from error
    try:
        grounded, free = (report_on_evidence(one, held_out, sounds, data.sample_rate_hz) for one in (judge, judge.free()))
    finally:
        judge.close()
    config.output.mkdir(parents=True, exist_ok=True)
    (config.output / "evidence.json").write_text(json.dumps({"grounded": grounded, "free": free}, indent=1) + "\n", encoding="utf-8")
    Console().print(Markdown(evidence_text(grounded, free)))
    console.print(f"report: {config.output / 'evidence.json'}")


def _resolved(arguments: argparse.Namespace, config: CalibrateConfig) -> CalibrateConfig:
    folders = {name: tuple(getattr(arguments, name)) for name in ("speech", "noise") if getattr(arguments, name)}
    data = config.data.model_copy(update=folders)
    courses = dict.fromkeys(arguments.tasks, 1.0) if arguments.tasks else dict(config.courses)
    if arguments.dimensions:
        courses.setdefault("dimensions", 1.0)
    config = config.model_copy(update={"courses": courses, "rated": tuple(arguments.ratings or config.rated)})
    training = config.training
    if config.start and "hearing_share" not in training.model_fields_set:
        # What has learned to hear needs no time alone with a new regression head.
        config = config.model_copy(update={"training": training.model_copy(update={"hearing_share": 0.0})})
    damaged = data.clips or config.sets or config.enhanced.scenes
    if not (damaged or config.rated):
        raise ConfigError("calibrate.data.clips = 0: give rated clips (--ratings), calibrate.sets or calibrate.enhanced.scenes")
    if config.training.hearing_share and not damaged:
        raise ConfigError("calibrate.training.hearing_share: learning to hear wants damaged clips, not rated ones; set it to 0")
    for folder in (*data.speech, *data.noise):
        if not folder.is_dir():
            raise ConfigError(f"{folder}: no such folder of recordings (calibrate.data)")
    if config.start and not arguments.report_only and not (config.start / "config.json").is_file():
        raise ConfigError(f"{config.start}: no listener there (no config.json); give the checkpoint's own folder (calibrate.start)")
    if config.enhanced.scenes is not None and not arguments.report_only:
        whole_scenes(config.enhanced)  # before the clips are made, which takes minutes
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
            progress=_shown(progress, task),
        )


def _more_sets(config: CalibrateConfig, console: Console) -> list[Path]:
    """Sets that were prepared before, clips from scenes and an enhancer, and clips that people rated."""
    for folder in config.sets:
        if not (folder / "labels.jsonl").is_file():
            raise ConfigError(f"{folder}: no labels.jsonl in it; give folders of prepared clips (calibrate.sets)")
    sets = list(config.sets)
    with bar(console) as progress:
        if config.courses.get("evidence"):
            task = progress.add_task("clips with evidence", total=config.data.clips)
            shown, processes = _shown(progress, task), config.processes
            sets.append(prepare_heard(config.data, "train", _method(config), config.cache, processes=processes, progress=shown))
        if config.enhanced.scenes is not None:
            task = progress.add_task("enhanced clips", total=config.enhanced.clips)
            sets.append(prepare_enhanced(config.enhanced, config.data, config.cache, progress=_shown(progress, task)))
        if config.rated:
            clips = rated_clips(config.rated, "train", config.data.seed)
            task = progress.add_task("rated clips", total=len(clips))
            sets.append(prepare_rated(clips, config.data, config.cache, progress=_shown(progress, task)))
    return sets


def _method(config: CalibrateConfig) -> Method:
    """How clips are measured, in windows as long as the clips that the listener learns from."""
    return load_method(GSRM).model_copy(update={"window_s": config.data.clip_s})


def _shown(progress: Progress, task: TaskID) -> Callable[[int, int], None]:
    return lambda done, total: progress.update(task, completed=done, total=total)


def _trained(settings: Settings, console: Console) -> Listener:
    config = settings.calibrate
    taught = {name for name, weight in config.courses.items() if weight}
    # Evidence has clips of its own, whose prosody is spoilt too.
    damaged = [_clips(config, "train", console)] if config.data.clips and taught != {"evidence"} else []
    sets = [*damaged, *_more_sets(config, console)]
    run = CalibrateRun(config, settings.learner_pool)
    settings = settings.model_copy(
        update={"run": settings.run.model_copy(update={"name": run.path.name, "folder": run.path.parent, "seed": config.training.seed})}
    )
    with (
        cluster(settings.cluster, namespace=f"calibrate-{run.path.name}", log=run.path),
        Tracker(settings.run, run.path, kind="calibrate") as tracker,
    ):
        tracker.log_settings(settings)
        listener = run.train(sets, tracker, console)
    if config.courses.get("evidence"):
        _method(config).save(run.path / LISTENER)  # what its evidence is checked by
    console.print(f"listener: {run.path / LISTENER}", highlight=False)
    return listener


if __name__ == "__main__":
    leave(main())
