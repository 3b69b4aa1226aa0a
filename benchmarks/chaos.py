"""Does a run get over it?  python -m benchmarks.chaos

The main job, small and exact (`staleness.exact_staleness`), is disturbed while it runs, by one fault after the other and `--repeats`
times each, at a random moment once it is over the one before. Faults that ask for the same kind of run share one; the others have their
own. What has to hold: no rollout is lost, none is counted twice, and the weights at the end are those of an undisturbed run, to the bit.
Prints a table; exit status 1 where something does not hold. OUTPUT/NAME.json has the results of a run, OUTPUT/NAME/ the run. What is there
already is kept.

Times are from the fault to the next finished learner step, and to the first step all of whose rollouts were made after it (what is in the
stream already is learned from meanwhile, so the first of them says little).
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from actors.coordinator import checkpoint_folder
from benchmarks.chaos_faults import Fault, catalogue, cure_later
from benchmarks.chaos_nodes import Nodes
from benchmarks.chaos_run import JUDGE, STALENESS, Books, ChaosError, Trial, books, differing_books, differing_weights, make_workplace
from pipelines.run_folder import RunFolder

STEPS_A_FAULT = 8
STEPS_AFTER = 14
"""Beyond those of the faults, so that the last one is got over before the run is at its end."""
STEPS_A_SECOND = 5
"""While a judge answers badly the run goes on as fast as it can."""
STEPS_A_NODE = 12
"""While a node is missed, too, with what the others have."""
WIDTH = 160
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
    """One fault: after how many finished steps and seconds of the run, and the seconds to the two steps (see the module's text).

    restarts: phases begun again meanwhile. differs: in what the next checkpoint is not the undisturbed run's.
    """

    step: int
    after_s: float
    next_step_s: float | None = None
    through_s: float | None = None
    restarts: int = 0
    differs: str = ""


@dataclass
class Row:
    """What became of a run. faults: what does not hold; empty: all does."""

    name: str
    about: str
    injections: list[Injection] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    books: Books | None = None
    weights: str = ""
    left_over: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> "Row":
        """As it was written."""
        injections = [Injection(**one) for one in values["injections"]]
        return cls(**{**values, "injections": injections, "books": values["books"] and Books(**values["books"])})


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
    rows = [row for plan in plans([known[name] for name in names], together=not arguments.apart) for row in tried(plan, output, arguments)]
    table(rows)
    print(f"run folders, logs and results: {output}")
    return int(any(row.faults for row in rows))


def plans(faults: Sequence[Fault], *, together: bool) -> list[list[Fault]]:
    """Which faults share a run: each has its own, or those that ask for the same kind of run have one."""
    found: dict[object, list[Fault]] = {}
    for fault in faults:
        found.setdefault(fault.kind_of_run if together and fault.kind_of_run else fault.name, []).append(fault)
    return list(found.values())


def tried(faults: Sequence[Fault], output: Path, arguments: argparse.Namespace) -> list[Row]:
    """One run with these faults in it, and what became of each of them; kept where it is there already."""
    name = run_name(faults, arguments.repeats, arguments.seed)
    result = output / f"{name}.json"
    if result.exists():
        return [Row.read(values) for values in json.loads(result.read_text())]
    rng, first = random.Random(f"{arguments.seed} {name}"), faults[0]
    order = [fault for _ in range(1 if first.once else arguments.repeats) for fault in rng.sample(faults, len(faults))]
    steps = STEPS_AFTER + sum(fault_steps(fault) for fault in order)
    reference = undisturbed(first, output, steps)
    rows, began = {fault.name: Row(fault.name, fault.about) for fault in faults}, time.monotonic()
    shutil.rmtree(output / name, ignore_errors=True)  # of an attempt that was broken off
    with Nodes() if first.nodes else nullcontext() as nodes, disk(output) if first.disk else nullcontext(output) as folder:
        if folder is None:
            say(f"{name}: not tried; a disk of its own needs root (a tmpfs is mounted)")
            return []
        trial = Trial(output / "workplace", folder, name, steps, first.settings, first.judges, nodes)
        trial.judges = first.judges or JUDGE.format(mood=trial.mood, more=first.judge_more)
        try:
            disturb(order, trial, rows, rng, reference)
            broken = ""
        except ChaosError as error:
            broken = str(error)
            trial.give_up()
        left_over = trial.left_over()
        if first.disk:
            subprocess.run(["cp", "-r", str(trial.run), str(output)], check=True)
    for fault in faults:
        wanted = sum(one is fault for one in order)
        judge_row(fault, rows[fault.name], output / name, reference, steps, trial.statuses, left_over, broken, wanted=wanted)
    result.write_text(json.dumps([asdict(row) for row in rows.values()], indent=1))
    say(f"{name}: {'; '.join({what for row in rows.values() for what in row.faults}) or 'all holds'} ({minutes(began)})")
    return list(rows.values())


def run_name(faults: Sequence[Fault], repeats: int, seed: int) -> str:
    """One fault's own name, or one that says which faults share the run: what is kept under it is of the same plan."""
    if len(faults) == 1:
        return f"{faults[0].name}-{1 if faults[0].once else repeats}x-{seed}"
    which = hashlib.sha256(" ".join(fault.name for fault in faults).encode()).hexdigest()[:8]
    return f"together-{which}-{repeats}x-{seed}"


def fault_steps(fault: Fault) -> int:
    """For how many steps of a run a fault is there, and got over."""
    return STEPS_A_FAULT + round(STEPS_A_SECOND * fault.lasts_s * fault.drops) + STEPS_A_NODE * bool(fault.nodes)


def undisturbed(fault: Fault, output: Path, steps: int) -> Path:
    """The run to compare with: as long at least, with all its checkpoints; made where it is not there yet."""
    for run in sorted(output.glob(f"{fault.reference}-*")):
        if run.is_dir() and (run / "report.html").exists() and checkpoint_folder(run, steps).is_dir():
            return run
    name, began = f"{fault.reference}-{steps}", time.monotonic()
    shutil.rmtree(output / name, ignore_errors=True)
    trial = Trial(output / "workplace", output, name, steps, fault.settings, fault.judges)
    trial.judges = fault.judges or JUDGE.format(mood="", more="")
    trial.start()
    if trial.ended():
        raise ChaosError(f"the undisturbed run ended with {trial.statuses[-1]}; see {trial.log}")
    say(f"{name}: to compare with ({minutes(began)})")
    return output / name


def disturb(order: Sequence[Fault], trial: Trial, rows: Mapping[str, Row], rng: random.Random, reference: Path) -> None:
    """Start the run, disturb it by one fault after the other, and see it to its end."""
    began = time.time()
    trial.start()
    for number, fault in enumerate(order):
        wanted = trial.finished() + rng.randint(2, 4)
        what = f"step {wanted} and all of {fault.pool}"
        if not trial.until(what, lambda w=wanted, f=fault: trial.finished() >= w and whole(f, trial), may_end=number > 0):  # type: ignore[misc]
            say(f"{fault.name}: the run was done before all of {fault.pool} were there again")
            break
        if trial.nodes is not None:
            trial.nodes.complete(fault.nodes)
        time.sleep(rng.uniform(0, 0.5))
        reached, moment, restarts = trial.finished(), time.time(), trial.restarts()
        fault.inject(trial)
        cured = None if fault.ends else cure_later(fault, trial)
        say(f"{number + 1} of {len(order)}: {fault.name}, after {reached} steps and {moment - began:.0f} s")
        if fault.ends:
            trial.ended()
            if fault.cure:
                fault.cure(trial)
            trial.resume()
        injection = Injection(reached, round(moment - began, 1))
        if not fault.stops:
            injection = recovered(trial, injection, moment, reference)
            injection = replace(injection, restarts=trial.restarts() - restarts)
            say(f"  next step {injection.next_step_s:.1f} s, through {injection.through_s:.1f} s later; {injection}")
        rows[fault.name].injections.append(injection)
        if cured:
            cured.join()
    trial.ended()


def whole(fault: Fault, trial: Trial) -> bool:
    """Whether all is there that a fault is about."""
    return fault.pool is None or len(trial.find(fault.pool[0])) >= fault.pool[1]


def recovered(trial: Trial, injection: Injection, moment: float, reference: Path) -> Injection:
    """Wait until the run is over the fault, and has written a checkpoint that holds steps made wholly after it."""
    beyond = injection.step + STALENESS + 1
    first: list[float] = []

    def over() -> float | None:
        after = [record for record in trial.records() if record["time_s"] > moment]
        first.extend(record["time_s"] for record in after[:1])
        return next((record["time_s"] for record in after if record["step"] >= beyond), None)

    def checkpoint() -> Any:
        found = RunFolder(trial.run).last_checkpoint()
        return found if found and found[0] > beyond else None

    through = trial.until(f"step {beyond} after the fault", over)
    step, _ = trial.until(f"a checkpoint beyond step {beyond}", checkpoint, may_end=True) or (0, None)
    return replace(
        injection,
        next_step_s=round(first[0] - moment, 2),
        through_s=round(through - moment, 2),
        differs=differing_weights(trial.run, reference, step) if step else "",
    )


def judge_row(
    fault: Fault,
    row: Row,
    run: Path,
    reference: Path,
    steps: int,
    statuses: Sequence[int],
    left_over: Sequence[str],
    broken: str,
    *,
    wanted: int,
) -> None:
    """Whether everything holds that has to; wanted: how often it was to strike."""
    row.statuses, row.left_over = list(statuses), list(left_over)
    row.faults += [broken] if broken else []
    if len(row.injections) < wanted:
        row.faults.append(f"it struck {len(row.injections)} of {wanted} times, or what came of the others is not known")
    row.books = books(run, None if fault.stops or broken else steps)
    if row.books.lost or row.books.twice or row.books.faults:
        row.faults.append(f"ledger: lost {row.books.lost}, twice {row.books.twice} {'; '.join(row.books.faults)}".strip())
    if broken:
        return
    ending = 1 if fault.stops else 0
    if not statuses or statuses[-1] != ending or (fault.ends and 0 in statuses[:-1]):
        row.faults.append(f"exit statuses {row.statuses}, the last should be {ending}")
    if row.books.dropped and fault.drops:
        row.weights = f"n/a: {row.books.dropped} rows dropped"
        return
    differs = next((one.differs for one in row.injections if one.differs), "") or differing_weights(run, reference, steps)
    row.weights = f"NO: {differs}" if differs else "yes"
    if differs:
        row.faults.append(f"not the undisturbed run's: {differs}; {row.books.dropped} rows dropped {row.books.reasons or ''}".rstrip())
    elif told := differing_books(run, reference, steps):
        row.faults.append(f"not the undisturbed run's: {told}")


def minutes(began: float) -> str:
    """Since a moment of the monotonic clock."""
    return f"{(time.monotonic() - began) / 60:.1f} minutes"


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
        restarts = " ".join(str(one.restarts) for one in row.injections)
        shown.add_row(row.name, at, spread(next_steps), spread(through), *ledger, row.weights, statuses, restarts)
    console = Console()
    Console(width=None if console.is_terminal else WIDTH).print(shown)
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
    parser.add_argument("--apart", action="store_true", help="each in a run of its own, also where several could share one: slower")
    parser.add_argument("--seed", type=int, default=0, help="of the moments at which they strike (default 0)")
    parser.add_argument("--output", type=Path, default=Path("runs/chaos"), help="folder for run folders and results (default runs/chaos)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
