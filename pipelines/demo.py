"""`make demo`: the main job from nothing, on the embedded default, then where to look.

Each step is the verb a user would type, in a process of its own (as it would be), and is shown before it runs. Every demo writes to a new
folder; nothing of an earlier one is used.
"""

import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

from rich.console import Console

CONSOLE = Console(highlight=False)


def step(title: str, verb: str, *arguments: str) -> None:
    """Show and run one verb; raises CalledProcessError with the verb's own exit status."""
    CONSOLE.rule(f"[bold]{title}", align="left")
    CONSOLE.print(f"[dim]$ auricle {verb} {' '.join(arguments)}", soft_wrap=True)
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", f"pipelines.{verb}", *arguments], check=True)
    CONSOLE.print(f"[dim]({time.monotonic() - began:.0f} s)\n")


def tell_where_to_look(run: Path, database: Path, began: float) -> None:
    """The closing lines."""
    CONSOLE.rule("[bold]Where to look", align="left")
    CONSOLE.print(
        f"report   {run / 'report.html'}   (open it in a browser: curves, what the listener said, audio before and after)", soft_wrap=True
    )
    CONSOLE.print(f"table    {run / 'evaluation.csv'}", soft_wrap=True)
    CONSOLE.print(f"ledger   .venv/bin/auricle ledger {run} --check", soft_wrap=True)
    CONSOLE.print(
        f"MLflow   .venv/bin/mlflow ui --backend-store-uri sqlite:///{database.resolve()}   (then http://127.0.0.1:5000)", soft_wrap=True
    )
    minutes, seconds = divmod(round(time.monotonic() - began), 60)
    CONSOLE.print(f"demo: done in {minutes} min {seconds} s")


def main() -> int:
    """The story: a corpus, the main job, the table."""
    began = time.monotonic()
    folder = Path("runs") / f"demo-{datetime.now():%Y%m%d-%H%M%S}"
    corpus, run = folder / "corpus", folder / "finetune"
    settings = ["--preset", "tiny", "--set", f"run.folder={folder}", "--set", f"run.name={run.name}", "--set", f"corpus.folder={corpus}"]
    CONSOLE.print(
        "Auricle's main job: a pretrained audio-visual enhancer, fine-tuned by what an audio language model says of its work.\n"
        "Everything is the real part at small size: vLLM, Ray Data and Serve, DeepSpeed, RLlib's policy, MLflow. About ten minutes.\n"
    )
    try:
        step("1. Scenes: synthetic talkers with faces, and noises", "corpus", "synth", str(corpus), "--preset", "tiny")
        step("2. The main job: rollouts, the listener's words, PPO", "finetune", *settings)
        step("3. Did it help? Scenes that it never saw", "evaluate", str(run), *settings)
    except subprocess.CalledProcessError as error:
        print(f"demo: {' '.join(error.cmd[2:4])} ended with status {error.returncode}; what it wrote is in {folder}", file=sys.stderr)
        return error.returncode if error.returncode > 0 else 1
    except KeyboardInterrupt:
        print(f"demo: interrupted; what was written is in {folder}", file=sys.stderr)
        return 130
    tell_where_to_look(run, folder / "mlflow.db", began)
    return 0


if __name__ == "__main__":
    sys.exit(main())
