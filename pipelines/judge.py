"""`auricle judge FILES...`: verdicts on audio or video files, one JSON line a file.

files --> read (16 kHz, mono) --> blocks --> panel (this process, or Serve) --> one line a file on stdout, progress on stderr
"""

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from rich.console import Console

from auricle.audio import AUDIO_SUFFIXES, read_audio
from auricle.errors import ConfigError, DeadlineError, EmptyCorpusError, MediaError
from auricle.judging.panel import PanelConfig, panel_scores
from auricle.judging.placement import judge_of_kind
from auricle.judging.registry import BUILT_IN, check_options, find_judge
from auricle.progress import Progress
from pipelines.command import EXIT_ERROR, EXIT_OK, leave, run_verb, verb_parser
from pipelines.settings import Settings

RATE_HZ = 16_000
BLOCK_FILES = 16
DIGITS = 4
VIDEO_SUFFIXES = frozenset({".mp4", ".mkv", ".mov", ".avi", ".webm", ".mpg", ".mpeg", ".m4a", ".aac", ".wma"})
WITH_REFERENCE = ("pesq", "stoi", "si_sdr")

EXAMPLES = (
    "auricle judge noisy.wav enhanced.wav",
    "auricle judge recordings/ --judges listener,sentiment,dnsmos > verdicts.jsonl",
    "auricle judge enhanced/ --reference clean/ --lengths align       # references are found by file name",
    "auricle judge talk.mp4 --serve                                   # through the Serve panel, as finetune does",
    "auricle judge --self-check --judges listener,sentiment           # is it fit to reward anything? with a page to listen on",
    "auricle judge --self-check --ratings mos.csv                     # and does it agree with people?",
)

JudgeBlock = Callable[[list[dict[str, Any]]], list[dict[str, dict[str, Any]]]]


@dataclass(frozen=True)
class Recording:
    """One file, read; or `reason` and `detail` of why it cannot be judged."""

    path: Path
    audio: np.ndarray | None = None
    reference: np.ndarray | None = None
    detail: str = ""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; exit status 1 where a file could not be judged in full."""
    parser = verb_parser("judge", "Verdicts of the panel on audio or video files, as JSON lines (one a file).", EXAMPLES)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="audio or video files; a folder means every such file below it")
    parser.add_argument(
        "--reference", type=Path, metavar="PATH", help="clean reference: a file for all, or a folder with files of the same names"
    )
    parser.add_argument(
        "--judges", "--judge", metavar="NAME,NAME", help=f"the panel's judges to ask, or others by kind ({', '.join(BUILT_IN)})"
    )
    parser.add_argument(
        "--lengths", choices=("equal", "crop", "align"), default="equal", help="if a reference's length differs (default: equal)"
    )
    parser.add_argument("--serve", action="store_true", help="judge through Ray Serve instead of in this process")
    check = parser.add_argument_group("checking the judges themselves")
    check.add_argument("--self-check", action="store_true", help="no files: probes of every judge, with pass or fail (section check)")
    check.add_argument(
        "--ratings", type=Path, nargs="+", default=[], metavar="CSV", help="recordings rated by people: correlations with them"
    )
    check.add_argument("--output", type=Path, default=Path("runs/check"), help="folder of the check's report (default: runs/check)")
    return run_verb(parser, _story, argv)


def _story(arguments: argparse.Namespace, settings: Settings) -> int:
    panel = _panel(settings.panel, arguments)
    if arguments.self_check:
        from pipelines.judge_check import self_check

        return self_check(panel, settings, arguments.output, arguments.ratings)
    if not arguments.files:
        raise ConfigError("no files to judge; name some, or check the judges themselves with --self-check")
    files = _expand(arguments.files)
    failed = 0
    judge: JudgeBlock | None = None
    with _clean_stdout() as lines, _progress(len(files)) as advance, ExitStack() as stack:
        for start in range(0, len(files), BLOCK_FILES):
            recordings = [_read(path, arguments.reference) for path in files[start : start + BLOCK_FILES]]
            usable = [recording for recording in recordings if recording.audio is not None]
            if usable and judge is None:  # only now: models take a minute to load, and perhaps there is nothing to judge
                judge = stack.enter_context(_judging(panel, settings, arguments.serve))
            answers = iter(judge([_request(recording) for recording in usable]) if judge and usable else [])
            for recording in recordings:
                line = _line(recording, panel, None if recording.audio is None else next(answers))
                failed += line["state"] == "failed"
                lines.write(json.dumps(_rounded(line), ensure_ascii=False) + "\n")
                advance()
            lines.flush()
    if failed:
        print(f"auricle judge: {failed} of {len(files)} files could not be judged in full; their lines say why", file=sys.stderr)
    return EXIT_ERROR if failed else EXIT_OK


def _panel(panel: PanelConfig, arguments: argparse.Namespace) -> PanelConfig:
    """The judges to ask: those named, else the panel's, and with a reference the metrics that compare with it."""
    own = {judge.name: judge for judge in panel.judges}
    names = arguments.judges.split(",") if arguments.judges else [*own, *(WITH_REFERENCE if arguments.reference else ())]
    judges = []
    for name in dict.fromkeys(name.strip() for name in names):
        judge = own.get(name) or judge_of_kind(name)
        needs = find_judge(judge.kind_or_name).needs_reference
        if needs and arguments.reference is None and not arguments.self_check:
            raise ConfigError(f"--judges {name}: it compares with a clean reference; give one with --reference")
        if needs and arguments.lengths != "equal":
            judge = judge.model_copy(update={"options": judge.options | {"lengths": arguments.lengths}})
        check_options(judge.kind_or_name, judge.options, source=f"panel judge {name!r}, options")
        judges.append(judge)
    if (
        (readers := [judge.name for judge in judges if judge.reads])
        and not any(judge.name == "listener" for judge in judges)
        and arguments.judges
    ):
        raise ConfigError(f"--judges {arguments.judges}: {readers[0]} reads the listener's words; name listener too")
    return PanelConfig.model_validate(panel.model_dump() | {"judges": [judge.model_dump() for judge in judges]})


def _expand(paths: Sequence[Path]) -> list[Path]:
    """Files as they are, folders as the media files below them, in order. Raises EmptyCorpusError where a folder has none."""
    files: list[Path] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        found = sorted(entry for entry in path.rglob("*") if entry.suffix.lower() in AUDIO_SUFFIXES | VIDEO_SUFFIXES and entry.is_file())
        if not found:
            raise EmptyCorpusError(f"{path}: no audio or video file in this folder")
        files += found
    return list(dict.fromkeys(files))


def _read(path: Path, reference: Path | None) -> Recording:
    try:
        audio = read_audio(path, RATE_HZ)
        return Recording(path, audio, None if reference is None else read_audio(_reference_of(path, reference), RATE_HZ))
    except MediaError as error:
        return Recording(path, detail=str(error))


def _reference_of(path: Path, reference: Path) -> Path:
    if not reference.is_dir():
        return reference
    matches = sorted(entry for entry in reference.rglob(f"{path.stem}.*") if entry.suffix.lower() in AUDIO_SUFFIXES | VIDEO_SUFFIXES)
    if not matches:
        raise MediaError(f"{path}: no reference called {path.stem}.* in {reference}")
    return matches[0]


def _request(recording: Recording) -> dict[str, Any]:
    return {"clip_id": str(recording.path), "audio": recording.audio, "sample_rate_hz": RATE_HZ, "reference": recording.reference}


def _line(recording: Recording, panel: PanelConfig, answer: Mapping[str, Mapping[str, Any]] | None) -> dict[str, Any]:
    """One file's JSON line; `panel` is the weighted mean of the judges' parts."""
    if answer is None or recording.audio is None:
        return {"file": str(recording.path), "state": "failed", "reason": "bad_file", "detail": recording.detail}
    faults = {name: verdict for name, verdict in answer.items() if verdict["state"] == "failed"}
    score = panel_scores(panel, [answer])[1][0]
    line: dict[str, Any] = {"file": str(recording.path), "state": "failed" if faults else "scored"}
    if faults:
        line |= {
            "reason": next(iter(faults.values()))["reason"],
            "detail": "; ".join(f"{name}: {fault['detail']}" for name, fault in faults.items()),
        }
    duration_s = round(len(recording.audio) / RATE_HZ, 3)
    return line | {"duration_s": duration_s, "sample_rate_hz": RATE_HZ, "panel": None if math.isnan(score) else score, "verdicts": answer}


def _rounded(value: Any) -> Any:
    """Numbers to DIGITS decimals: more say nothing of a judge, and hide what differs."""
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, Mapping):
        return {key: _rounded(part) for key, part in value.items()}
    return [_rounded(part) for part in value] if isinstance(value, list | tuple) else value


@contextmanager
def _judging(panel: PanelConfig, settings: Settings, serve: bool) -> Iterator[JudgeBlock]:
    """A function that judges one block, for the time of the `with` block."""
    if not serve:
        from auricle.judging.local import LocalPanel

        with LocalPanel(panel) as local:
            yield local.judge
        return
    from actors.cluster import cluster
    from actors.panel import start_panel, stop_panel

    app_name = f"judge-{os.getpid()}"
    deadline_s = 1.5 * sum(judge.deadline_s for judge in panel.judges)
    with cluster(settings.cluster, namespace="auricle-judge"):
        handle = start_panel(panel, app_name=app_name)

        def judge(requests: list[dict[str, Any]]) -> list[dict[str, dict[str, Any]]]:
            try:
                return handle.judge.remote(requests).result(timeout_s=deadline_s)
            except TimeoutError:
                raise DeadlineError(f"the panel did not answer within {deadline_s:g} s; is the cluster overloaded?") from None

        try:
            yield judge
        finally:
            stop_panel(app_name=app_name)


@contextmanager
def _clean_stdout() -> Iterator[TextIO]:
    """The real stdout for our lines; whatever libraries print meanwhile, from Python or C, goes to stderr."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with os.fdopen(os.dup(kept), "w", encoding="utf-8") as lines:
            yield lines
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


@contextmanager
def _progress(files: int) -> Iterator[Callable[[], None]]:
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("judging", total=files)
        yield lambda: progress.advance(task)


if __name__ == "__main__":
    leave(main())
