"""What the failure budget looks at."""

from auricle.learning.budget import FailureBudget, FailureBudgetConfig, step_counts
from auricle.learning.quarantine import QUARANTINED
from auricle.ledger import LedgerEntry


def entry(reason: str) -> LedgerEntry:
    return LedgerEntry(0, 0, "S", 0, 0, "dropped" if reason else "trained", reason)


def test_rollouts_of_quarantined_scenes_are_not_counted_again() -> None:
    assert step_counts([entry(""), entry("timeout"), entry(QUARANTINED), entry(QUARANTINED)]) == (1, 2)


def test_too_many_quarantined_scenes_spend_the_budget() -> None:
    budget = FailureBudget(FailureBudgetConfig(share=0.2), global_batch=8)
    assert budget.scenes_verdict(2, 10) == ""
    assert "3 of 10 training scenes are quarantined" in budget.scenes_verdict(3, 10)
