"""`auricle ledger RUN`: what became of every rollout of a run, and whether the sum is right."""

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from auricle.ledger import Account, account
from pipelines.command import EXIT_ERROR, EXIT_OK, run_verb, verb_parser
from pipelines.run_store import run_at
from pipelines.settings import Settings


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; exits non-zero where `--check` finds the ledger out of balance."""
    parser = verb_parser(
        "ledger",
        "What became of every rollout of a run: issued = trained + dropped + in flight, every id exactly once.",
        ["auricle ledger runs/demo", "auricle ledger runs/demo --check"],
    )
    parser.add_argument("run", nargs="?", help="the run's folder, such as runs/demo, or its URI in a store")
    parser.add_argument("--check", action="store_true", help="exit with status 1 where the sum is wrong")
    return run_verb(parser, story, argv)


def story(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print the account of one run."""
    with run_at(arguments.run or settings.run.folder / settings.run.name) as run:
        sums = account(run / "ledger")
    print(sums.sentence())
    for fault in sums.faults:
        print(f"FAULT: {fault}", file=sys.stderr)
    if sums.remark():
        print(sums.remark(), file=sys.stderr)
    if not arguments.check:
        Console().print(reasons_table(sums))
    return EXIT_OK if sums.balanced or not arguments.check else EXIT_ERROR


def reasons_table(sums: Account) -> Table:
    """Why rollouts were dropped."""
    table = Table("state", "reason", "rollouts", title="rollouts by state")
    table.add_row("trained", "", str(sums.trained))
    for reason, count in sorted(sums.reasons.items(), key=lambda item: -item[1]):
        table.add_row("dropped", reason, str(count))
    table.add_row("in flight", "", str(sums.in_flight))
    table.add_row("withdrawn", "the run ended", str(sums.withdrawn))
    return table


if __name__ == "__main__":
    sys.exit(main())
