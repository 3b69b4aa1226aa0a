"""`auricle finetune`: the main job. PPO or GRPO on a pretrained enhancer, rewarded by a panel of judges that listen.

The story: scenes -> cluster -> panel -> (phase: stream and learners, followed step by step) -> samples, report. A phase that breaks is
begun again at the last checkpoint, a bounded number of times.
"""

import argparse
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auricle.errors import PoolError
from auricle.judging.placement import check_judges
from pipelines.command import EXIT_ERROR, EXIT_INTERRUPTED, EXIT_OK, leave, run_verb, verb_parser
from pipelines.settings import Settings

if TYPE_CHECKING:
    from pipelines.finetune_scenes import FinetuneScenes
    from pipelines.run_folder import RunFolder
    from pipelines.stream_job import Outcome, StreamJob

EXAMPLES = [
    "auricle finetune --preset tiny --set scenes.folder=corpus/tiny-A",
    "auricle finetune --set scenes.folder=corpus/tiny-B --set scenes.train_targets=false --set scenes.labelled=corpus/tiny-A",
    "auricle finetune --resume runs/demo",
    "auricle finetune --resume runs/demo --set finetune.steps=200",
    "ray job submit --working-dir . -- python -m pipelines.finetune --preset avsec4",
]


INTERRUPTED = "interrupted"


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; 0 when all steps were made, 1 on an error or a spent failure budget, 3 when the guard stopped it, 130 after Ctrl-C."""
    parser = verb_parser("finetune", "Fine-tune a pretrained enhancer by reinforcement learning, rewarded by judges that listen.", EXAMPLES)
    parser.add_argument("--resume", metavar="RUN", help="go on with the run in this folder, or at this URI, from its last checkpoint")
    return run_verb(parser, story, argv, check=check_panel)


def story(arguments: argparse.Namespace, settings: Settings) -> int:
    """The job from beginning to end. Ray and DeepSpeed are imported only now: `--help` and `--dry-run` do not need them."""
    from auricle.enhancers.assets import default_enhancer
    from auricle.enhancers.checkpoint import load_enhancer
    from auricle.scenes.choice import spread_choice
    from pipelines.finetune_scenes import find_scenes
    from pipelines.run_folder import RunFolder

    if said := nothing_to_do(arguments):
        print(said)
        return EXIT_OK
    with ExitStack() as stack:
        if arguments.resume:
            run, settings = RunFolder.resume(arguments.resume, arguments.assignments, stack)
        else:
            run = None
        check_panel(settings)
        scenes = find_scenes(settings, load_enhancer(settings.finetune.enhancer or default_enhancer()))
        run = run or RunFolder.create(settings, stack)
        run.keep_scenes([scene.scene_id for scene in scenes.train])
        run.keep_scenes([scene.scene_id for scene in spread_choice(scenes.dev, settings.guard.scenes)], "guard_scenes.json")
        print(f"run folder: {run.path}", flush=True)
        outcome = finetune(settings, run, scenes)
    print(outcome.sentence)
    return outcome.exit_status


def check_panel(settings: Settings) -> None:
    """The judges' options and GPUs. Those of a panel that is up already are its own affair."""
    if not settings.panel.app:
        check_judges(settings.panel)


def nothing_to_do(arguments: argparse.Namespace) -> str:
    """A sentence where the run to be resumed has made all its steps and its report; it is then left as it is. Empty otherwise."""
    from auricle.files import is_uri
    from pipelines.run_folder import RunFolder

    if not arguments.resume or is_uri(arguments.resume):
        return ""
    run = RunFolder.open(Path(arguments.resume))
    settings, last = run.resumed_settings(arguments.assignments), run.last_checkpoint()
    steps = settings.finetune.steps
    if last is None or last[0] < steps or settings.run.store or not (run.path / "report.html").exists():
        return ""
    return f"{run.path}: all {steps} steps are made; nothing to do (raise finetune.steps to go on, --set finetune.steps=...)"


def finetune(settings: Settings, run: "RunFolder", scenes: "FinetuneScenes") -> "Outcome":
    """Run the job in `run`; starts and ends the cluster connection, the panel and the pools."""
    from actors.cluster import cluster, require_shared
    from pipelines.display import Display
    from pipelines.finetune_job import FinetuneJob
    from pipelines.mirror import mirrored
    from pipelines.tracking import Tracker

    with ExitStack() as stack:
        stack.enter_context(mirrored(run, settings.run))  # first in, last out: the tracker leaves something behind, too
        ended = stack.enter_context(naming_the_log(run))
        tracker = stack.enter_context(Tracker(settings.run, run.path))
        tracker.log_settings(settings)
        display = stack.enter_context(Display(settings.run.name, settings.finetune.steps))
        display.phase("starting Ray")
        stack.enter_context(cluster(settings.cluster, namespace="auricle", log=run.path))
        require_shared(run.path, inputs(settings))
        job = stack.enter_context(FinetuneJob(settings, run, scenes, tracker, display))
        stack.enter_context(stop_on_signals(job))
        outcome = follow_to_the_end(job)
        ended.well = outcome.exit_status != EXIT_ERROR and not job.broke
        job.finish(outcome)
        if outcome.exit_status != EXIT_OK:
            tracker.end_status = "KILLED" if outcome.exit_status == EXIT_INTERRUPTED else "FINISHED"
        return outcome


@dataclass
class Ended:
    """well: nothing broke on the way."""

    well: bool = False


@contextmanager
def naming_the_log(run: "RunFolder") -> Iterator[Ended]:
    """Say, behind everything else, where the frameworks' warnings and errors are: where the run failed, or a pool broke on the way."""
    ended = Ended()
    try:
        yield ended
    finally:
        log = run.frameworks_log()
        if log and not ended.well:
            print(f"what Ray, Serve, vLLM and others said of it: {log}", file=sys.stderr, flush=True)


def inputs(settings: Settings) -> list[Path]:
    """What every node has to find. Absolute: a relative path is another one in a worker's working folder."""
    named = (settings.scenes.folder, settings.scenes.labelled, settings.finetune.enhancer)
    return [path.absolute() for path in named if path is not None]


def follow_to_the_end(job: "StreamJob") -> "Outcome":
    """Phase after phase; a broken one is begun again at the last checkpoint, up to `restarts` times."""
    restarts, reached = 0, -1
    while True:
        try:
            outcome = job.run_phase()
        except PoolError as error:
            # Restarts are counted between two checkpoints: a long run may lose a node a day.
            restarts = 1 if job.checkpoint_step() > reached else restarts + 1
            reached = job.checkpoint_step()
            kept = f"the checkpoint of step {reached}" if reached else "the beginning (there is no checkpoint yet)"
            if restarts > job.size.restarts:
                told = f"a pool broke ({error}), and {job.section}.restarts = {job.size.restarts} are spent"
                job.note(f"{told}; --resume goes on at {kept}")
                raise PoolError(f"{told}. Cure what broke, then --resume {job.run.path}: it goes on at {kept}") from error
            job.broke = True
            job.note(f"a pool broke ({error}); going back to {kept}, restart {restarts} of {job.size.restarts}")
            continue
        if outcome is not None:
            return outcome


@contextmanager
def stop_on_signals(job: "StreamJob") -> Iterator[None]:
    """The first Ctrl-C (or SIGTERM, from `ray job stop`) asks for a checkpoint and a clean end; the second one ends at once.

    Set after ray.init, which installs handlers of its own.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: object) -> None:
        if job.stop_asked == INTERRUPTED:
            raise KeyboardInterrupt
        job.ask_to_stop(INTERRUPTED)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    leave(main())
