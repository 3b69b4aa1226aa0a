"""How many failures a run bears before it stops: a pure rule."""

from dataclasses import dataclass

from pydantic import Field, NonNegativeInt

from auricle.config import Config

STEPS = 8
"""Learner steps that the window holds where it is not given."""


class FailureBudgetConfig(Config):
    """When failed judgements and unusable scenes stop the run."""

    share: float = Field(default=0.2, ge=0, le=1)
    """Largest bearable share of dropped rollouts, over the last `window` rollouts."""
    window: NonNegativeInt = 0
    """Number of most recent rollouts looked at; nothing is decided before as many have ended. 0: those of the last eight steps, whatever
    the batch, so that one bad step of a large batch does not end a run."""


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
