"""What reward learning adds, and what it costs: the main job against the pretrained enhancer and against supervision for the same time.

    python -m benchmarks.gain labelled   --corpus corpus/A --seeds 0,1,2
    python -m benchmarks.gain adaptation --corpus corpus/B --labelled-corpus corpus/A --seeds 0,1,2

labelled: fine-tune on the corpus the enhancer was pretrained on. adaptation: fine-tune on UNLABELLED scenes of a new condition; its clean
targets are seen by the evaluation alone. With --labelled-corpus the old condition's labelled scenes are learned from beside them, for the
anchor; without it there is none. The control arm, `supervised`, goes on with supervised training (on the labelled corpus) from the
same pretrained enhancer, for the wall-clock time that the reward learning took, start-up left out. With --anchor-alone there is a third
arm, `anchor`: the reward arm with every advantage clamped to nothing, so that it learns from the anchor alone. Of both, the checkpoint that
the guard liked best is taken, and the guard likes the panel.

Everything runs through the verbs a user would type; held-out `eval` scenes are scored once, at the end. Prints a table: mean change to the
pretrained enhancer with a 95 % interval for other seeds AND other speakers (variance over seeds + variance over speakers, Student's t:
`two_way_interval`; with one seed over speakers alone), and each seed's own mean. All figures go to OUTPUT/gain.json.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.arms import PRETRAINED, best_enhancer, evaluated, finetuned, minutes_of, read_rows, show_long, summarise, supervised

ARMS = ("reward", "supervised")
ANCHOR = "anchor"
NO_REWARD = "learner.advantages.clamp=1e-9"


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; see the module's text."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gain", description=__doc__, formatter_class=formatter)
    parser.add_argument("setting", choices=("labelled", "adaptation"))
    parser.add_argument("--corpus", type=Path, required=True, help="the corpus fine-tuned on and evaluated on")
    parser.add_argument("--labelled-corpus", type=Path, help="the corpus the control arm trains on (default: --corpus)")
    parser.add_argument("--enhancer", type=Path, help="the pretrained enhancer (default: the shipped one)")
    parser.add_argument("--seeds", default="0,1,2", help="default: 0,1,2")
    parser.add_argument("--output", type=Path, default=Path("runs/gain"), help="default: runs/gain")
    parser.add_argument("--anchor-alone", action="store_true", help="a third arm: the same learning without the reward")
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--set", dest="assignments", action="append", default=[], metavar="A.B=VALUE", help="for finetune and evaluate")
    arguments = parser.parse_args(argv)
    if arguments.anchor_alone and arguments.setting == "adaptation" and not arguments.labelled_corpus:
        parser.error("--anchor-alone: without --labelled-corpus adaptation has no anchor, and nothing would be learned from")
    from auricle.enhancers.assets import default_enhancer

    pretrained = arguments.enhancer or default_enhancer()
    folder = arguments.output / arguments.setting
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    tables = [one_seed(arguments, pretrained, folder / f"seed-{seed}", seed) for seed in seeds]
    results = summarise([row for table in tables for row in read_rows(table)], [*ARMS, *([ANCHOR] if arguments.anchor_alone else [])])
    (folder / "gain.json").write_text(json.dumps(results, indent=1))
    show_long(results, f"{arguments.setting}: held-out eval scenes")
    return 0


def one_seed(arguments: argparse.Namespace, pretrained: Path, folder: Path, seed: int) -> Path:
    """The arms and their evaluation; returns the table of scenes."""
    labelled = arguments.setting == "labelled"
    common = [f"run.seed={seed}"]
    anchor = [] if labelled else ["learner.anchor_gamma=0"]
    if not labelled and arguments.labelled_corpus:
        anchor = [f"scenes.labelled={arguments.labelled_corpus}"]
    # The dev split's targets are not for learning either: without them the guard watches what a user without labels could watch.
    targets = [f"scenes.{split}_targets={'true' if labelled else 'false'}" for split in ("train", "dev")]
    own = [*anchor, f"scenes.folder={arguments.corpus}", f"finetune.enhancer={pretrained}", *targets]
    run = finetuned(folder / "reward", arguments.preset, [*common, *arguments.assignments, *own])
    corpus = [f"scenes.folder={arguments.labelled_corpus or arguments.corpus}"]
    control = supervised(folder / "supervised", arguments.preset, [*common, *corpus], pretrained, minutes_of(run))
    enhancers = {PRETRAINED: pretrained, "reward": best_enhancer(run), "supervised": control}
    evaluation = folder / "evaluation"
    if arguments.anchor_alone:
        alone = finetuned(folder / ANCHOR, arguments.preset, [*common, *arguments.assignments, *own, NO_REWARD])
        enhancers[ANCHOR] = best_enhancer(alone)
        evaluation = folder / f"evaluation-{ANCHOR}"  # one that was made without this arm is not added to
    return evaluated(evaluation, arguments.preset, arguments.assignments, arguments.corpus, enhancers)


if __name__ == "__main__":
    sys.exit(main())
