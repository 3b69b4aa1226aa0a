"""Does a run get over it?  python -m benchmarks.chaos

The main job, small and exact (`staleness.exact_staleness`), is disturbed while it runs, by one kind of fault at a time and `--repeats`
times in a row, each at a random moment once it is over the one before. What has to hold: no rollout is lost, none is counted twice, and
the weights at the end are those of an undisturbed run, to the bit. Prints a table; exit status 1 where something does not hold.
OUTPUT/FAULT.json has the results of a fault, OUTPUT/FAULT/ its run. What is there already is kept.

Times are from the fault to the next finished learner step, and to the first step all of whose rollouts were made after it (what is in the
stream already is learned from meanwhile, so the first of them says little).
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.chaos_faults import Fault, catalogue, cure_later
from benchmarks.chaos_nodes import Nodes
from benchmarks.chaos_run import JUDGE, STALENESS, Books, ChaosError, Trial, books, difference, make_workplace
from pipelines.run_folder import RunFolder

STEPS_A_REPEAT = 8
DISK_MIB = 48
HEADS = ("fault", "at step (s)", "next step s: median, max", "through s", "lost", "twice", "same weights", "exit", "restarts")

EXAMPLES = """examples:
  python -m benchmarks.chaos                                         every fault, three times each: about an hour on two cores
  python -m benchmarks.chaos --faults kill-learner,stop-judge --repeats 1
  python -m benchmarks.chaos --faults kill-listener --output runs/chaos-listener
  make chaos ARGS="--faults node-rollout,node-reward,node-learner"
"""


@dataclass(frozen=True)
class Injection:
    """One fault: after how many finished steps and seconds of the run, and the seconds to the two steps (see the module's text)."""

    step: int
    after_s: float
    next_step_s: float | None = None
    through_s: float | None = None


@dataclass
class Row:
    """What became of a run. faults: what does not hold; empty: all does."""

    name: str
    about: str
    steps: int
    injections: list[Injection] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    books: Books | None = None
    weights: str = ""
    restarts: int = 0
    left_over: list[str] = field(default_factory=list)
    minutes: float = 0.0
    faults: list[str] = field(default_factory=list)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; see the module's text."""
    known = catalogue()
    arguments = _arguments(known, argv)
    names = arguments.faults.split(",") if arguments.faults else list(known)
    if unknown := [name for name in names if name not in known]:
        print(f"benchmarks.chaos: no fault called {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    output = arguments.output.absolute()
    output.mkdir(parents=True, exist_ok=True)
    make_workplace(output / "workplace")
    rows = [kept(output, known[name], arguments) or tried(known[name], output, arguments) for name in names]
    table(rows)
    print(f"run folders, logs and results: {output}")
    return int(any(row.faults for row in rows))


def kept(output: Path, fault: Fault, arguments: argparse.Namespace) -> Row | None:
    """The result that is there already, where it is one of as many repeats."""
    path = output / f"{fault.name}.json"
    if not path.exists():
        return None
    values = json.loads(path.read_text())
    if values["steps"] != steps_of(arguments):
        return None
    injections = [Injection(**one) for one in values.pop("injections")]
    found = values.pop("books")
    return Row(**values, injections=injections, books=found and Books(**found))


def steps_of(arguments: argparse.Namespace) -> int:
    """As many as it takes for all repeats."""
    return 5 + STEPS_A_REPEAT * arguments.repeats


def tried(fault: Fault, output: Path, arguments: argparse.Namespace) -> Row:
    """One fault's run, and what became of it."""
    steps = steps_of(arguments)
    reference = undisturbed(fault, output, steps)
    row, began = Row(fault.name, fault.about, steps), time.monotonic()
    shutil.rmtree(output / fault.name, ignore_errors=True)  # of an attempt that was broken off
    say(f"{fault.name}: {fault.about}")
    with Nodes() if fault.nodes else nullcontext() as nodes, disk(output) if fault.disk else nullcontext(output) as folder:
        trial = trial_of(fault, output, folder, steps, nodes)
        if folder is None:
            row.faults.append("not tried: a disk of its own needs root (a tmpfs is mounted)")
            return row
        try:
            disturb(fault, trial, row, arguments.repeats, random.Random(f"{arguments.seed} {fault.name}"))
        except ChaosError as error:
            row.faults.append(str(error))
            trial.kill_all()
        row.left_over = trial.left_over()
        if fault.disk:
            subprocess.run(["cp", "-r", str(trial.run), str(trial.log), str(output)], check=True)
    judge_row(fault, row, output / fault.name, reference, steps)
    row.minutes = (time.monotonic() - began) / 60
    (output / f"{fault.name}.json").write_text(json.dumps(asdict(row), indent=1))
    say(f"{fault.name}: {'; '.join(row.faults) if row.faults else 'all holds'} ({row.minutes:.1f} minutes)")
    return row


def trial_of(fault: Fault, output: Path, folder: Path | None, steps: int, nodes: Nodes | None) -> Trial:
    """The run that a fault is tried on."""
    trial = Trial(output / "workplace", folder or output, fault.name, steps, fault.settings, fault.judges, nodes)
    return trial if fault.judges else replace(trial, judges=JUDGE.format(mood=trial.mood, more=fault.judge_more))


def undisturbed(fault: Fault, output: Path, steps: int) -> Path:
    """The run to compare with; made where it is not there yet."""
    name = f"{fault.reference}-{steps}"
    if not (output / name / "report.html").exists():
        say(f"{name}: {steps} steps, to compare with")
        shutil.rmtree(output / name, ignore_errors=True)
        trial = Trial(output / "workplace", output, name, steps, judges=fault.judges)
        trial.start()
        if trial.ended():
            raise ChaosError(f"the undisturbed run ended with {trial.statuses[-1]}; see {trial.log}")
    return output / name


def disturb(fault: Fault, trial: Trial, row: Row, repeats: int, rng: random.Random) -> None:
    """Start the run, disturb it, and see it to its end."""
    began = time.time()
    trial.start()
    row.statuses = trial.statuses
    for number in range(1 if fault.once else repeats):
        wanted = trial.finished() + rng.randint(2, 4)
        there = trial.until(f"step {wanted}", lambda wanted=wanted: trial.finished() >= wanted and whole(fault, trial), may_end=number > 0)
        if not there:  # the run was done before what the fault is about was there again
            break
        time.sleep(rng.uniform(0, 0.5))
        reached, moment = trial.finished(), time.time()
        fault.inject(trial)
        cured = None if fault.ends else cure_later(fault, trial)
        say(f"{fault.name}: {number + 1} of {repeats}, after {reached} steps and {moment - began:.0f} s")
        if fault.ends:
            trial.ended()
            if fault.cure:
                fault.cure(trial)
            trial.resume()
        row.injections.append(Injection(reached, round(moment - began, 1)))
        if not fault.stops:
            row.injections[-1] = recovered(trial, row.injections[-1], moment)
            say(f"{fault.name}: next step {row.injections[-1].next_step_s:.1f} s, through {row.injections[-1].through_s:.1f} s later")
        if cured:
            cured.join()
    trial.ended()


def whole(fault: Fault, trial: Trial) -> bool:
    """Whether all is there that a fault is about."""
    return fault.pool is None or len(trial.find(fault.pool[0])) >= fault.pool[1]


def recovered(trial: Trial, injection: Injection, moment: float) -> Injection:
    """Wait until the run is over the fault."""
    beyond = injection.step + STALENESS + 1
    first: list[float] = []

    def over() -> float | None:
        after = [record for record in trial.records() if record["time_s"] > moment]
        first.extend(record["time_s"] for record in after[:1])
        return next((record["time_s"] for record in after if record["step"] >= beyond), None)

    through = trial.until(f"step {beyond} after the fault", over)
    return replace(injection, next_step_s=round(first[0] - moment, 2), through_s=round(through - moment, 2))


def judge_row(fault: Fault, row: Row, run: Path, reference: Path, steps: int) -> None:
    """Whether everything holds that has to."""
    row.books = books(run, None if fault.stops else steps)
    row.restarts = sum("beginning again" in record["event"] for record in RunFolder(run).lines("events.jsonl"))
    if row.books.lost or row.books.twice or row.books.faults:
        row.faults.append(f"ledger: lost {row.books.lost}, twice {row.books.twice} {'; '.join(row.books.faults)}".strip())
    wanted = 1 if fault.stops else 0
    if not row.statuses or row.statuses[-1] != wanted or (fault.ends and 0 in row.statuses[:-1]):
        row.faults.append(f"exit statuses {row.statuses}, the last should be {wanted}")
    if row.books.dropped and fault.drops:
        row.weights = f"n/a: {row.books.dropped} rows dropped"
        return
    differs = difference(run, reference)
    row.weights = f"NO: {differs}" if differs else "yes"
    if differs:
        row.faults.append(f"not the undisturbed run's: {differs}; {row.books.dropped} rows dropped {row.books.reasons or ''}".rstrip())


@contextmanager
def disk(output: Path) -> Iterator[Path | None]:
    """A small disk of its own for a run's folder; None where this user may not mount one."""
    folder = output / "disk"
    folder.mkdir(exist_ok=True)
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(folder)]).returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)])


def table(rows: Sequence[Row]) -> None:
    """The table for people."""
    shown = Table(*HEADS)
    for row in rows:
        at = " ".join(f"{one.step} ({one.after_s:.0f})" for one in row.injections)
        next_steps = [one.next_step_s for one in row.injections if one.next_step_s is not None]
        through = [one.through_s for one in row.injections if one.through_s is not None]
        ledger = [str(row.books.lost), str(row.books.twice)] if row.books else ["?", "?"]
        statuses = " ".join(map(str, row.statuses))
        shown.add_row(row.name, at, spread(next_steps), spread(through), *ledger, row.weights, statuses, str(row.restarts))
    Console().print(shown)
    for row in rows:
        for fault in row.faults:
            print(f"{row.name}: {fault}")
        if row.left_over:
            print(f"{row.name}: outlived the run: {', '.join(row.left_over)}")


def say(text: str) -> None:
    """A line of progress."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def spread(values: Sequence[float]) -> str:
    """Median and largest."""
    return f"{statistics.median(values):.1f}, {max(values):.1f}" if values else "-"


def _arguments(known: dict[str, Fault], argv: Sequence[str] | None) -> argparse.Namespace:
    width = max(map(len, known))
    listed = "faults:\n" + "".join(f"  {fault.name:{width}}  {fault.about}\n" for fault in known.values())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.chaos",
        description=__doc__,
        epilog=f"{listed}\n{EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--faults", default="", metavar="A,B", help="only these, in this order (default: all)")
    parser.add_argument("--repeats", type=int, default=3, help="how often each fault strikes (default 3)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments at which they strike (default 0)")
    parser.add_argument("--output", type=Path, default=Path("runs/chaos"), help="folder for run folders and results (default runs/chaos)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
