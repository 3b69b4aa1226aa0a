"""`make assets`: the checkpoints that come with Auricle, made anew by the commands of their model cards.

    corpus synth --> pretrain --------------> auricle/assets/enhancer
      its corpus and itself --> calibrate --> auricle/assets/listener
      that one's clips' descriptions -------> auricle/assets/sentiment
    clips of its own, measured --> train ---> auricle/assets/gsrm

About an hour on two cores. A model card is written by hand and stays: compare its figures with what the commands print.
"""

import argparse
import glob
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from auricle.errors import ConfigError
from pipelines.command import EXIT_INTERRUPTED, EXIT_OK

ASSETS = Path("auricle/assets")
CARD = "README.md"


@dataclass(frozen=True)
class Recipe:
    """How one asset is made: its commands, and the folder of theirs that becomes the asset (None: the last command writes it itself).

    resume: the run folder with which the last command goes on where it was stopped. Words with a `*` are what they match. needs: commands
    that come first, of another asset's recipe; what they have made already they leave as it is.
    """

    commands: tuple[str, ...]
    product: Path | None = None
    resume: Path | None = None
    needs: tuple[str, ...] = ()


SCENES = "auricle corpus synth corpus/enhancer-A --scenes train=480,dev=64,eval=8 --duration 3 --seed 7 --condition A"

RECIPES = {
    "enhancer": Recipe(
        (
            SCENES,
            "auricle pretrain --set scenes.folder=corpus/enhancer-A --set run.name=enhancer",
        ),
        Path("runs/enhancer/best"),
        resume=Path("runs/enhancer"),
    ),
    "listener": Recipe(
        ("auricle calibrate --set calibrate.cache=build/listener-data --set calibrate.enhanced.scenes=corpus/enhancer-A",),
        Path("runs/listener/listener"),
        needs=(SCENES,),
    ),
    "sentiment": Recipe(
        (
            "python -m auricle.judging.train_sentiment --labels build/listener-data/train-*/labels.jsonl "
            "--held-out build/listener-data/held-out-*/labels.jsonl",
        )
    ),
    "gsrm": Recipe(("python -m auricle.gsrm.train --output runs/gsrm --cache build/gsrm-data --clips 8000 --seed 1",), Path("runs/gsrm")),
}
RECORDED = ("listener", "gsrm")
"""What hears the recordings of --speech and --noise."""


def main(argv: Sequence[str] | None = None) -> int:
    """Make the named assets, or all."""
    parser = argparse.ArgumentParser(prog="make assets", description="The shipped checkpoints, made anew; options by ARGS='...'.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(RECIPES)} (default: all)")
    parser.add_argument("--speech", nargs="+", default=[], metavar="FOLDER", help="clean speech for the judges (default: espeak-ng only)")
    parser.add_argument("--noise", nargs="+", default=[], metavar="FOLDER", help="recorded noise for the judges (default: synthetic)")
    parser.add_argument("--dry-run", action="store_true", help="only print the commands")
    arguments = parser.parse_args(argv)
    unknown = [name for name in arguments.names if name not in RECIPES]
    if unknown:
        parser.error(f"no asset {', '.join(unknown)}; choose of {', '.join(RECIPES)}")
    recordings = [part for name in ("speech", "noise") if getattr(arguments, name) for part in (f"--{name}", *getattr(arguments, name))]
    try:
        done: set[str] = set()
        for name in arguments.names or RECIPES:
            for command in RECIPES[name].needs:
                if command not in done:
                    carry_out(shlex.split(command), dry_run=arguments.dry_run)
            make(name, RECIPES[name], recordings if name in RECORDED else [], dry_run=arguments.dry_run)
            done |= {*RECIPES[name].needs, *RECIPES[name].commands}
    except subprocess.CalledProcessError as error:
        print(f"assets: `{shlex.join(error.cmd)}` ended with status {error.returncode}", file=sys.stderr)
        return 1
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("assets: interrupted; what was begun goes on where it stopped", file=sys.stderr)
        return EXIT_INTERRUPTED
    return EXIT_OK


def make(name: str, recipe: Recipe, more: Sequence[str], *, dry_run: bool) -> None:
    """Run a recipe's commands and put its product in place, the card aside. Raises CalledProcessError."""
    for command in recipe.commands:
        words = [*shlex.split(command), *more]
        if recipe.resume and command is recipe.commands[-1] and (recipe.resume / "config.toml").exists():
            words += ["--resume", str(recipe.resume)]
        carry_out(words, dry_run=dry_run)
    if recipe.product is not None:
        print(f"$ cp {recipe.product}/* {ASSETS / name}/", flush=True)
        if not dry_run:
            shutil.copytree(recipe.product, ASSETS / name, dirs_exist_ok=True, ignore=shutil.ignore_patterns(CARD))


def carry_out(words: Sequence[str], *, dry_run: bool) -> None:
    """Show a command, and run it. Raises CalledProcessError."""
    print(f"$ {' '.join(word if '*' in word else shlex.quote(word) for word in words)}", flush=True)
    if dry_run:
        return
    words = [found for word in words for found in _matched(word)]
    began = time.monotonic()
    subprocess.run([sys.executable, *(["-m", "pipelines.cli", *words[1:]] if words[0] == "auricle" else words[1:])], check=True)
    print(f"({time.monotonic() - began:.0f} s)", flush=True)


def _matched(word: str) -> list[str]:
    """What a word with a `*` matches, as a shell would have it. Raises ConfigError where that is nothing."""
    if "*" not in word:
        return [word]
    found = sorted(glob.glob(word))
    if not found:
        raise ConfigError(f"assets: nothing is called {word}; make the listener first (its clips' labels are needed)")
    return found


if __name__ == "__main__":
    sys.exit(main())
