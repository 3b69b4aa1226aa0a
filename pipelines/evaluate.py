"""`auricle evaluate`: noisy, pretrained and fine-tuned on the same scenes, by SNR and interferer, with paired intervals.

scenes --> load --> each enhancer --> metrics (processes) and the panel (Serve) --> cells --> table, CSV, JSON
"""

import argparse
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from auricle.enhancers.checkpoint import load_enhancer
from auricle.errors import ConfigError, EmptyCorpusError
from auricle.metrics.scoring import NON_INTRUSIVE
from auricle.scenes.checks import Rejection, check_scenes
from auricle.scenes.choice import spread_choice
from auricle.scenes.layouts import list_scenes
from auricle.scenes.scene import Scene
from pipelines.command import EXIT_OK, leave, run_verb, verb_parser
from pipelines.report import build_report
from pipelines.reporting.evaluation import Evaluation, print_evaluation, write_evaluation
from pipelines.reporting.publish import publish_run
from pipelines.reporting.runs import enhancers_of, fine_tuned_is
from pipelines.reporting.scores import SceneScores, count_failures, tabulate
from pipelines.reporting.scoring import ClipScorer, metric_scorer
from pipelines.reporting.systems import NOISY, score_systems
from pipelines.run_folder import RunFolder
from pipelines.settings import Settings
from pipelines.tracking import Tracker

EXAMPLES = (
    "auricle evaluate runs/demo                                # its pretrained and its best checkpoint, on its corpus's eval scenes",
    "auricle evaluate runs/demo --scenes corpus/tiny-B --split all --output tables/B",
    "auricle evaluate --scenes corpus --enhancer pretrained=runs/pretrain/best --enhancer ours=runs/demo/checkpoints/step-000120/enhancer",
    "auricle evaluate --judge dnsmos --ratings NISQA_Corpus/NISQA_TEST_LIVETALK/NISQA_TEST_LIVETALK_file.csv",
    "auricle evaluate --judge questions --option model=runs/questions/listener --ratings ratings.csv --paraphrases --profiles",
    "auricle evaluate runs/demo --scenes recordings --no-panel --set 'evaluate.metrics=[\"dnsmos_ovrl\"]'",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = verb_parser("evaluate", "Score enhancers on the same scenes: a table with paired confidence intervals.", EXAMPLES)
    parser.add_argument("run", type=Path, nargs="?", help="a run's folder: scores its pretrained and its best checkpoint, with its panel")
    parser.add_argument("--run", dest="run_option", type=Path, metavar="RUN", help="the same as the argument")
    parser.add_argument("--scenes", type=Path, metavar="FOLDER", help="AVSEC-1..4 layout, or a folder of clips (default: scenes.folder)")
    parser.add_argument("--split", default="eval", choices=("train", "dev", "eval", "all"), help="default: eval")
    parser.add_argument("--enhancer", action="append", default=[], metavar="NAME=FOLDER", help="a checkpoint to score; may be repeated")
    parser.add_argument("--baseline", metavar="NAME", help="what differences are taken to (default: pretrained, else the first enhancer)")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="where the files go (default: RUN/evaluation, else ./evaluation)")
    parser.add_argument("--no-panel", action="store_true", help="leave the panel of judges out: metrics only")
    beside = parser.add_argument_group("a judge beside people")
    beside.add_argument("--judge", metavar="JUDGE", help="a judge of the panel, a kind, or a TOML file with `kind` and `options`")
    beside.add_argument("--option", action="append", default=[], metavar="A=VALUE", help="an option of that judge; may be repeated")
    beside.add_argument("--ratings", type=Path, action="append", default=[], metavar="CSV", help="people's ratings; may be repeated")
    beside.add_argument("--paraphrases", action="store_true", help="ask again in wordings that training never saw")
    beside.add_argument("--profiles", action="store_true", help="ask again as other listeners: strict, casual, hard of hearing")
    beside.add_argument("--answers", type=Path, metavar="FOLDER", help="the metrics of SpeechQualityLLM's released answers")
    return run_verb(parser, _story, argv)


def _story(arguments: argparse.Namespace, settings: Settings) -> int:
    if arguments.judge is not None or arguments.answers is not None:
        from pipelines.evaluate_judge import judge_story

        return judge_story(arguments, settings)
    console, progress = Console(), Console(stderr=True)
    run: Path | None = arguments.run or arguments.run_option
    enhancers: dict[str, Path] = {}
    notes: list[str] = []
    if run is not None:
        settings = RunFolder.open(run).settings(arguments.assignments)
        enhancers = enhancers_of(run)
        notes = [fine_tuned_is(run)]
    enhancers |= dict(map(_name_and_folder, arguments.enhancer))
    baseline = choose_baseline(arguments.baseline, tuple(enhancers))
    scenes = list_scenes(arguments.scenes or settings.scenes.folder, split=None if arguments.split == "all" else arguments.split)
    output: Path = arguments.output or (run / "evaluation" if run else Path("evaluation"))
    with ExitStack() as stack:
        judges: ClipScorer | None = None
        if not arguments.no_panel:
            from pipelines.reporting.panel import panel_scorer  # brings Ray up: only when wanted

            progress.print("starting the judges ...", highlight=False)
            judges = stack.enter_context(panel_scorer(settings, output))
        evaluation = evaluate(
            settings, scenes, enhancers, output, baseline=baseline, judges=judges, console=progress, command=_command(), notes=notes
        )
    print_evaluation(evaluation, console)
    if run is not None and output == run / "evaluation":
        _publish(settings, run)
    console.print(f"written: {output}/table.csv, scenes.csv, summary.json", soft_wrap=True)
    return EXIT_OK


def evaluate(
    settings: Settings,
    scenes: Sequence[Scene],
    enhancers: Mapping[str, Path],
    output: Path,
    *,
    baseline: str,
    judges: ClipScorer | None = None,
    console: Console | None = None,
    command: str = "",
    notes: Sequence[str] = (),
) -> Evaluation:
    """Score the noisy clips and every enhancer on `scenes`, write the three files into `output`, and return the evaluation.

    enhancers: name -> checkpoint folder. baseline: the name that differences are taken to. judges: the panel, where wanted.
    notes: what people should know of the enhancers.
    """
    config = settings.evaluate
    networks = {name: load_enhancer(folder) for name, folder in enhancers.items()}
    report = check_scenes(spread_choice(scenes, config.scenes))
    chosen = report.usable
    if not chosen:
        raise EmptyCorpusError(f"none of {len(scenes)} scenes is usable; the first fault: {_first_fault(report.rejected)}")
    systems = (NOISY, *networks)
    with metric_scorer(config.metrics, config.workers) as metrics:
        scorers = [metrics] if judges is None else [judges, metrics]
        scores = score_systems(chosen, networks, scorers, console)
    names = [name for scorer in scorers for name in scorer.names if any(name in score.values for score in scores)]
    cells = tabulate(scores, systems, names, baseline, snr_band_db=config.snr_band_db, resamples=config.resamples, seed=settings.run.seed)
    evaluation = Evaluation(
        systems=systems,
        metrics=tuple(names),
        baseline=baseline,
        scenes=len(chosen),
        speakers=len({scene.speaker or scene.scene_id for scene in chosen}),
        cells=tuple(cells),
        notes=(*notes, *_notes(chosen, report.rejected, scores, config.metrics)),
        failures=count_failures(scores),
        command=command,
    )
    write_evaluation(output, evaluation, scores, config.snr_band_db)
    return evaluation


def choose_baseline(asked: str | None, names: tuple[str, ...]) -> str:
    """The system that differences are taken to. Raises ConfigError where there is nothing to evaluate, or no such system."""
    if not names:
        raise ConfigError("nothing to evaluate: give a run's folder, or --enhancer NAME=FOLDER at least once")
    if NOISY in names:
        raise ConfigError(f"--enhancer {NOISY}=...: that name stands for the clips as they are; choose another")
    if asked is not None and asked not in (NOISY, *names):
        raise ConfigError(f"--baseline {asked!r}: not evaluated here; choose from {', '.join((NOISY, *names))}")
    return asked or ("pretrained" if "pretrained" in names else names[0])


def _publish(settings: Settings, run: Path) -> None:
    """The evaluation of a run belongs into its page, and into MLflow."""
    build_report(run)
    with Tracker(settings.run, run, adds_only=True) as tracker:
        publish_run(tracker, run)


def _name_and_folder(text: str) -> tuple[str, Path]:
    name, separator, folder = text.partition("=")
    if not separator or not name or not folder:
        raise ConfigError(f"--enhancer {text!r}: expected NAME=FOLDER, for example --enhancer pretrained=runs/pretrain/best")
    return name, Path(folder)


def _notes(chosen: Sequence[Scene], rejected: Sequence[Rejection], scores: Sequence[SceneScores], metrics: Sequence[str]) -> Iterator[str]:
    without = sum(scene.target is None for scene in chosen)
    if without:
        rest = "; the others are over the scenes that have one" if without < len(chosen) else ""
        usable = ", ".join(metric for metric in metrics if metric in NON_INTRUSIVE)
        yield f"{without} of {len(chosen)} scenes have no clean target: for them, of the metrics, only {usable or 'none'}{rest}."
    if rejected:
        count = len({rejection.scene_id for rejection in rejected})
        yield f"{count} scenes were left out; the first: {_first_fault(rejected)}"
    for metric, reasons in count_failures(scores).items():
        most = max(reasons, key=lambda reason: reasons[reason])
        yield f"{metric} failed {sum(reasons.values())} times and was left out there, most often: {most}"


def _first_fault(rejected: Sequence[Rejection]) -> str:
    return f"{rejected[0].scene_id}: {rejected[0].reason}" if rejected else "none (the list is empty)"


def _command() -> str:
    return shlex.join(["auricle", "evaluate", *(sys.argv[2:] if sys.argv[1:2] == ["evaluate"] else sys.argv[1:])])


if __name__ == "__main__":
    leave(main())
