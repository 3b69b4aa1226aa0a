"""How many failures a run bears before it stops: a pure rule.

Rollouts of quarantined scenes are not looked at: their scenes' failures were counted before they were left out. How many scenes may be left
out has its own limit, by the same share.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import Field, NonNegativeInt

from auricle.config import Config
from auricle.learning.quarantine import QUARANTINED
from auricle.ledger import LedgerEntry

STEPS = 8
"""Learner steps that the window holds where it is not given."""


class FailureBudgetConfig(Config):
    """When failed judgements and unusable scenes stop the run."""

    share: float = Field(default=0.2, ge=0, le=1)
    """Largest bearable share of dropped rollouts, over the last `window` rollouts; also of the training scenes that are quarantined."""
    window: NonNegativeInt = 0
    """Number of most recent rollouts looked at; nothing is decided before as many have ended. 0: those of the last eight steps, whatever
    the batch, so that one bad step of a large batch does not end a run. A resumed run looks back into its ledger; one that this budget had
    stopped starts with an empty window."""


@dataclass(frozen=True)
class FailureBudget:
    """The rule. global_batch: rollouts of a step. `counts` are (dropped, ended) of the steps so far, newest last."""

    config: FailureBudgetConfig
    global_batch: int

    @property
    def window(self) -> int:
        """Rollouts looked at."""
        return self.config.window or STEPS * self.global_batch

    def verdict(self, counts: list[tuple[int, int]], *, last: bool = False) -> str:
        """A sentence where the budget is spent, else an empty string. last: nothing follows, so what there is has to do for a window."""
        dropped = ended = 0
        for step_dropped, step_ended in reversed(counts):
            dropped, ended = dropped + step_dropped, ended + step_ended
            if ended >= self.window:
                break
        if (ended < self.window and not last) or dropped <= self.config.share * ended:
            return ""
        return (
            f"{dropped} of the last {ended} rollouts were dropped, more than the {self.config.share:.0%} that failure_budget.share allows; "
            "the reasons stand in the ledger (auricle ledger RUN)"
        )

    def scenes_verdict(self, quarantined: int, scenes: int) -> str:
        """As `verdict`, on how many of the training scenes are quarantined."""
        if quarantined <= self.config.share * scenes:
            return ""
        return (
            f"{quarantined} of {scenes} training scenes are quarantined, more than the {self.config.share:.0%} that failure_budget.share "
            "allows; RUN/quarantine.json names them. Mend them and resume with a larger quarantine.after, or raise failure_budget.share"
        )


def step_counts(entries: Iterable[LedgerEntry]) -> tuple[int, int]:
    """(dropped, ended) of a step's rollouts, as the budget looks at them."""
    looked_at = [entry for entry in entries if entry.reason != QUARANTINED]
    return sum(entry.state == "dropped" for entry in looked_at), len(looked_at)
