"""`make demo`: the main job from nothing, on the embedded default, then where to look.

Each step is the verb a user would type, in a process of its own (as it would be), shown before it runs. Every demo has a new corpus folder
and a new run; nothing of an earlier one is used.
"""

import argparse
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console

from pipelines.command import EXIT_ERROR, EXIT_INTERRUPTED, EXIT_OK, load_settings
from pipelines.reporting.store import default_tracking_uri

CONSOLE = Console(highlight=False, soft_wrap=True)
GREETING = """Auricle's main job: a pretrained audio-visual enhancer, fine-tuned by what an audio language model says of its work.
Every part is the real one at small size: vLLM, Ray Data and Serve, DeepSpeed, RLlib's policy and learner, MLflow.
Two idle cores need less than a quarter of an hour.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The story: scenes, the main job, the table, the books, where to look."""
    parser = argparse.ArgumentParser(prog="make demo", description="The main job on the embedded default; options by ARGS='...'.")
    parser.add_argument("--preset", default="tiny", help="default: tiny")
    parser.add_argument("--scenes", default="train=96,dev=24,eval=32", help="scenes a split (default: %(default)s)")
    parser.add_argument(
        "--set", dest="assignments", action="append", default=[], metavar="A.B=VALUE", help="for finetune and evaluate; may be repeated"
    )
    arguments = parser.parse_args(argv)

    began = time.monotonic()
    name = f"demo-{datetime.now():%Y%m%d-%H%M%S}"
    settings = load_settings(arguments.preset, [*arguments.assignments, f"run.name={name}"])
    corpus, run = Path("corpus") / name, settings.run.folder / name
    common = ["--preset", arguments.preset, *(part for text in arguments.assignments for part in ("--set", text))]
    named = ["--set", f"run.name={name}", "--set", f"scenes.folder={corpus}"]
    CONSOLE.print(GREETING)
    try:
        step("1. Scenes: talkers with faces, in noise and among others", "corpus", "synth", str(corpus), "--scenes", arguments.scenes)
        step("2. The main job: rollouts, what the listener says of them, PPO", "finetune", *named, *common)
        step("3. Did it help? On scenes that it never saw", "evaluate", "--scenes", str(corpus), "--run", str(run), *common)
        step("4. The report", "report", str(run))
        step("5. The books: what became of every rollout", "ledger", str(run), "--check")
    except subprocess.CalledProcessError as error:
        print(f"demo: `{spoken(error.cmd)}` ended with status {error.returncode}; what was written is in {run}", file=sys.stderr)
        return max(error.returncode, EXIT_ERROR)
    except KeyboardInterrupt:
        print(f"demo: interrupted; what was written is in {run}", file=sys.stderr)
        return EXIT_INTERRUPTED
    tell_where_to_look(run, corpus, default_tracking_uri(settings.run))
    minutes, seconds = divmod(round(time.monotonic() - began), 60)
    CONSOLE.print(f"demo: done in {minutes} min {seconds} s")
    return EXIT_OK


def step(title: str, verb: str, *arguments: str) -> None:
    """Show and run one verb. Raises CalledProcessError with its exit status; 3 (a guard ended the run early) is a result, not a failure."""
    command = [sys.executable, "-m", f"pipelines.{verb}", *arguments]
    CONSOLE.rule(f"[bold]{title}", align="left")
    CONSOLE.print(f"$ {spoken(command)}", style="dim", markup=False)
    began = time.monotonic()
    status = subprocess.run(command).returncode
    if status not in ((EXIT_OK, 3) if verb == "finetune" else (EXIT_OK,)):
        raise subprocess.CalledProcessError(status, command)
    CONSOLE.print(f"({time.monotonic() - began:.0f} s)\n", style="dim")


def spoken(command: Sequence[str]) -> str:
    """A step's command as one would type it."""
    return shlex.join(["auricle", command[2].removeprefix("pipelines."), *command[3:]])


def tell_where_to_look(run: Path, corpus: Path, tracking_uri: str) -> None:
    """Where the results lie."""
    CONSOLE.rule("[bold]Where to look", align="left")
    CONSOLE.print(f"report   {run / 'report.html'}  (in a browser: curves, audio before and after with the listener's words, the table)")
    CONSOLE.print(f"table    {run / 'evaluation' / 'table.csv'}")
    CONSOLE.print(f"MLflow   .venv/bin/mlflow ui --backend-store-uri {tracking_uri}  (then http://127.0.0.1:5000)")
    CONSOLE.print(f"scenes   {corpus}")
    CONSOLE.print(f"go on    .venv/bin/auricle finetune --resume {run} --set finetune.steps=...")


if __name__ == "__main__":
    sys.exit(main())
