"""What all verbs share on the command line: presets, `--set`, `--dry-run`, clear errors and exit codes.

Every verb is a file `pipelines/VERB.py` with `main(argv=None) -> int`; `auricle VERB` and `python -m pipelines.VERB` are the same.
"""

import argparse
import atexit
import logging
import os
import sys
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import NoReturn

from auricle.config import build, merge, parse_assignments, read_toml, to_toml
from auricle.errors import AuricleError, ConfigError
from pipelines.deadlines import check_deadlines
from pipelines.settings import Settings

EXIT_OK = 0
EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def verb_parser(verb: str, description: str, examples: Sequence[str]) -> argparse.ArgumentParser:
    """A parser with the options of every verb; `examples` are shown at the end of `--help`."""
    epilog = "examples:\n" + "\n".join(f"  {line}" for line in examples)
    parser = argparse.ArgumentParser(
        prog=f"auricle {verb}", description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    group = parser.add_argument_group("configuration")
    group.add_argument("--preset", default="tiny", help=f"one of {', '.join(preset_names())}, or a path to a TOML file (default: tiny)")
    group.add_argument(
        "--set", dest="assignments", action="append", default=[], metavar="A.B=VALUE", help="override one key; may be repeated"
    )
    group.add_argument("--dry-run", action="store_true", help="print the resolved configuration as TOML and stop")
    return parser


def preset_names() -> list[str]:
    """The presets that come with Auricle."""
    folder = resources.files("pipelines") / "configs"
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_settings(preset: str, assignments: Sequence[str] = (), *, base: dict | None = None) -> Settings:
    """The settings of a preset (a name, or a path to a TOML file), with `assignments` on top. Raises ConfigError."""
    path = Path(preset)
    if path.suffix != ".toml":
        if preset not in preset_names():
            raise ConfigError(
                f"--preset {preset!r}: no such preset; choose one of {', '.join(preset_names())}, or give a path to a .toml file"
            )
        path = Path(str(resources.files("pipelines") / "configs" / f"{preset}.toml"))
    values = merge(merge(base or {}, read_toml(path)), parse_assignments(assignments))
    return build(Settings, values, source=str(path) + (" with --set" if assignments else ""))


def run_verb(
    parser: argparse.ArgumentParser,
    story: Callable[[argparse.Namespace, Settings], int | None],
    argv: Sequence[str] | None,
    *,
    check: Callable[[Settings], object] | None = None,
) -> int:
    """Parse, resolve the settings, and tell the story. Auricle's own errors become one line and exit status 1. check: what the story asks
    of the settings before anything starts, for `--dry-run` to ask, too."""
    arguments = parser.parse_args(argv)
    try:
        settings = load_settings(arguments.preset, arguments.assignments)
        resumed = getattr(arguments, "resume", None)
        if not resumed:  # a resumed run has settings of its own, which it checks
            check_deadlines(settings)
        if arguments.dry_run:
            settings = _settings_of(resumed, arguments.assignments) if resumed else settings
            if resumed:
                check_deadlines(settings)
            if check:
                check(settings)
            sys.stdout.write(to_toml(settings))
            return EXIT_OK
        return story(arguments, settings) or EXIT_OK
    except AuricleError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


def _settings_of(run: str | Path, assignments: Sequence[str]) -> Settings:
    from pipelines.run_store import run_at

    with run_at(run) as folder:
        return load_settings(str(folder / "config.toml"), assignments)


def leave(status: int) -> NoReturn:
    """End the process with `status`, once everything Python has to do at exit is done.

    Where Ray was used, C++ destructors are left out: its statistics thread may still run while they do, and then a job that is done ends in
    a segmentation fault (seen on a busy machine; docs/log.md).
    """
    if "ray" not in sys.modules:
        sys.exit(status)
    logging.shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
