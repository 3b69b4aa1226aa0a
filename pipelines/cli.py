"""`auricle VERB ...`: finds the verb's module and hands over. Verbs are imported only when called, so that `--help` is quick."""

import difflib
import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

VERBS = {
    "corpus": "write a synthetic audio-visual corpus, or mix one from folders, in AVSEC-4 layout",
    "pretrain": "train an enhancer with labels: the supervised baseline",
    "calibrate": "fine-tune a listener on labelled clips",
    "reason": "GRPO on a listener: answers, rewarded part by part",
    "finetune": "THE main job: PPO / GRPO on an enhancer, with a panel of judges",
    "evaluate": "tables: noisy / baseline / ours, with confidence intervals",
    "judge": "verdicts on audio files, as JSON lines",
    "enhance": "clean a video or audio file",
    "report": "the page about a run: curves, audio before and after, the listener's words",
    "compare": "runs side by side, from MLflow",
    "ledger": "what became of every rollout of a run",
    "status": "how a run is doing: its step, its pools, its failures",
}


def usage() -> str:
    """The text of `auricle --help`."""
    width = max(map(len, VERBS))
    lines = [f"  {verb:<{width}}  {text}" for verb, text in VERBS.items()]
    return "usage: auricle VERB [options]\n\nverbs:\n" + "\n".join(lines) + "\n\n`auricle VERB --help` tells more, with examples.\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the `auricle` command; returns the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        sys.stdout.write(usage())
        return 0
    if arguments[0] == "--version":
        from auricle import __version__

        print(__version__)
        return 0
    verb, *rest = arguments
    if verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, n=1)
        sys.stderr.write(f"auricle: no verb {verb!r}{f'; did you mean {near[0]!r}?' if near else ''}\n\n{usage()}")
        return 2
    return importlib.import_module(f"pipelines.{verb}").main(rest)


def entry() -> NoReturn:
    """The console script."""
    from pipelines.command import leave

    leave(main())


if __name__ == "__main__":
    entry()
