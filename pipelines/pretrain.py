"""`auricle pretrain`: trains an enhancer with clean targets. The supervised baseline that `finetune` starts from.

The story: scenes -> cluster -> learner ranks -> (steps, validation, checkpoint) until the steps or minutes are spent or nothing improves ->
the best enhancer against the noisy input, with its own picture, with another talker's, and with none.
"""

import argparse
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from actors.cluster import cluster
from auricle.enhancers.checkpoint import load_enhancer
from auricle.errors import ConfigError
from auricle.learning.validation import METRICS, compare, load_clips, score_audio, score_enhancer
from auricle.scenes.checks import check_scenes
from auricle.scenes.layouts import list_scenes
from auricle.scenes.scene import Clip, Scene
from pipelines.command import leave, load_settings, run_verb, verb_parser
from pipelines.pretrain_run import PretrainRun
from pipelines.run_lock import only_job_in
from pipelines.settings import Settings
from pipelines.tracking import Tracker

EXAMPLES = [
    "auricle pretrain --set scenes.folder=corpus/tiny-A --set run.name=pretrain",
    "auricle pretrain --set scenes.folder=corpus/tiny-A --minutes 10 --set learner_pool.ranks=2 --set pretrain.engine.zero_stage=2",
    "auricle pretrain --audio-only --set run.name=pretrain-audio       # the ablation",
    "auricle pretrain --resume runs/pretrain",
]


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `auricle pretrain`; returns the exit status."""
    parser = verb_parser("pretrain", "Train an enhancer with clean targets: the supervised baseline.", EXAMPLES)
    parser.add_argument("--minutes", type=float, metavar="M", help="stop after M minutes; the learning rate falls to its end by then")
    parser.add_argument("--audio-only", action="store_true", help="never look at the picture (short for --set pretrain.use_video=false)")
    parser.add_argument("--resume", type=Path, metavar="RUN", help="go on with the run in this folder, with its own configuration")
    return run_verb(parser, _pretrain, argv)


def _pretrain(arguments: argparse.Namespace, settings: Settings) -> None:
    settings = _resolved(arguments, settings)
    console = Console(stderr=True)
    train, dev = _scenes(settings)  # where there are none no folder is begun
    folder = settings.run.folder / settings.run.name
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(only_job_in(folder))  # before the run is read or written
        run = PretrainRun(settings, resume=arguments.resume is not None)
        from actors.supervised import SupervisedLearner  # torch.distributed and the engine, only once there is work for them

        build = partial(SupervisedLearner, settings.pretrain, train, seed=settings.run.seed)
        stack.enter_context(cluster(settings.cluster, namespace=settings.run.name, log=run.path))
        tracker = stack.enter_context(Tracker(settings.run, run.path, kind="pretrain"))
        tracker.log_settings(settings)
        clips = load_clips(dev, run.enhancer)
        run.train(build, clips[: settings.pretrain.validation_scenes], tracker, console, deadline=_deadline(arguments.minutes))
        rows = _evaluate(run.best, clips, show_picture=settings.pretrain.use_video)
        run.write("evaluation.json", rows)
        tracker.log_table("evaluation", {key: [row.get(key) for row in rows] for key in (*rows[0], "difference", "low", "high")})
    Console().print(comparison_table(rows, "dev scenes"))
    Console().print(f"best enhancer: {run.best}\nrun folder:    {run.path}", highlight=False)


def _resolved(arguments: argparse.Namespace, settings: Settings) -> Settings:
    if arguments.resume is not None:
        if not (arguments.resume / "config.toml").is_file():
            raise ConfigError(f"--resume {arguments.resume}: no config.toml in it; give the folder of such a run")
        settings = load_settings(str(arguments.resume / "config.toml"), arguments.assignments)
    if arguments.audio_only:
        settings = settings.model_copy(update={"pretrain": settings.pretrain.model_copy(update={"use_video": False})})
    return settings


def _scenes(settings: Settings) -> tuple[list[Scene], list[Scene]]:
    folder = settings.scenes.folder
    train = check_scenes(list_scenes(folder, "train")).usable[: settings.scenes.limit or None]
    return train, check_scenes(list_scenes(folder, "dev")).usable


def _deadline(minutes: float | None) -> float | None:
    return None if minutes is None else time.monotonic() + 60.0 * minutes


def _evaluate(folder: Path, clips: Sequence[Clip], *, show_picture: bool) -> list[dict[str, object]]:
    enhancer = load_enhancer(folder)
    systems = {"noisy": score_audio([clip.mix for clip in clips], clips)}
    systems["enhanced"] = score_enhancer(enhancer, clips, "own" if show_picture else "none")
    if show_picture:
        systems["shuffled picture"] = score_enhancer(enhancer, clips, "shuffled")
        systems["no picture"] = score_enhancer(enhancer, clips, "none")
    return compare(systems, clips, "enhanced")


def comparison_table(rows: Sequence[dict[str, object]], scenes: str) -> Table:
    """What `auricle.learning.validation.compare` found, to read."""
    table = Table("clips", "system", *METRICS, title=f"{scenes}: mean, and difference to `enhanced` with its 95 % interval")
    cells: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        text = f"{row['mean']:.3f}"
        if "difference" in row:
            text += f"\n{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"
        cells.setdefault((f"{row['group']} ({row['clips']})", str(row["system"])), []).append(text)
    for (group, system), texts in cells.items():
        table.add_row(group, system, *texts)
    return table


if __name__ == "__main__":
    leave(main())
