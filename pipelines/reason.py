"""`auricle reason`: GRPO on a calibrated listener, through the same stream as the main job (arXiv 2603.10175, stage 2).

The story: labelled clips -> cluster -> (phase: answers by vLLM with the current weights, rewards from the labels, learners) -> report.
"""

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pipelines.command import EXIT_ERROR, EXIT_INTERRUPTED, EXIT_OK, leave, run_verb, verb_parser
from pipelines.settings import Settings

if TYPE_CHECKING:
    from pipelines.reason_recipe import ReasonClips
    from pipelines.run_folder import RunFolder
    from pipelines.stream_job import Outcome

EXAMPLES = [
    "auricle reason --set run.name=ear --set reason.listener=runs/listener/listener",
    "auricle reason --set reason.clips='[\"corpus/listener/train-569873730e601959\"]'",
    "auricle reason --resume runs/ear",
    'auricle judge clip.wav --set panel.judges=\'[{name="listener", options={model="runs/ear/checkpoints/step-000200/listener"}}]\'',
]


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; 0 when all steps were made, 1 on an error, 3 when an alarm or a fallen measure stopped it, 130 after Ctrl-C."""
    parser = verb_parser("reason", "GRPO on a listener: its answers about labelled clips, rewarded part by part.", EXAMPLES)
    parser.add_argument("--resume", metavar="RUN", help="go on with the run in this folder, or at this URI, from its last checkpoint")
    return run_verb(parser, story, argv)


def story(arguments: argparse.Namespace, settings: Settings) -> int:
    """The job from beginning to end. Ray and DeepSpeed are imported only now: `--help` and `--dry-run` do not need them."""
    from pipelines.reason_recipe import find_clips
    from pipelines.run_folder import RunFolder

    with ExitStack() as stack:
        if arguments.resume:
            run, settings = RunFolder.resume(arguments.resume, arguments.assignments, stack)
        else:
            run = None
        clips = find_clips(settings)
        run = run or RunFolder.create(settings, stack)
        run.keep_scenes([str(row) for row in clips.train])
        print(f"run folder: {run.path}", flush=True)
        outcome = reason(settings, run, clips)
    print(outcome.sentence)
    return outcome.exit_status


def reason(settings: Settings, run: "RunFolder", clips: "ReasonClips") -> "Outcome":
    """Run the job in `run`; starts and ends the cluster connection and the pools."""
    from actors.cluster import cluster, require_shared
    from pipelines.display import Display
    from pipelines.finetune import follow_to_the_end, naming_the_log, stop_on_signals
    from pipelines.mirror import mirrored
    from pipelines.reason_job import ReasonJob
    from pipelines.tracking import Tracker

    with ExitStack() as stack:
        stack.enter_context(mirrored(run, settings.run))  # first in, last out: the tracker leaves something behind, too
        ended = stack.enter_context(naming_the_log(run))
        tracker = stack.enter_context(Tracker(settings.run, run.path, kind="reason"))
        tracker.log_settings(settings)
        display = stack.enter_context(Display(settings.run.name, settings.reason.steps))
        display.phase("starting Ray")
        stack.enter_context(cluster(settings.cluster, namespace="auricle", log=run.path))
        require_shared(run.path, list(clips.sets))
        job = stack.enter_context(ReasonJob(settings, run, clips, tracker, display))
        stack.enter_context(stop_on_signals(job))
        outcome = follow_to_the_end(job)
        ended.well = outcome.exit_status != EXIT_ERROR and not job.broke
        job.finish(outcome)
        if outcome.exit_status != EXIT_OK:
            tracker.end_status = "KILLED" if outcome.exit_status == EXIT_INTERRUPTED else "FINISHED"
        return outcome


if __name__ == "__main__":
    leave(main())
