"""How many failures a run bears before it stops: a pure rule."""

from dataclasses import dataclass

from auricle.config import Config


class FailureBudgetConfig(Config):
    """When failed judgements and unusable scenes stop the run."""

    share: float = 0.2
    """Largest bearable share of dropped rollouts, over the last `window` rollouts."""
    window: int = 256
    """Number of most recent rollouts looked at; nothing is decided before as many have ended."""


@dataclass(frozen=True)
class FailureBudget:
    """The rule; `counts` are (dropped, ended) of the steps so far, newest last."""

    config: FailureBudgetConfig

    def verdict(self, counts: list[tuple[int, int]]) -> str:
        """A sentence where the budget is spent, else an empty string."""
        dropped = ended = 0
        for step_dropped, step_ended in reversed(counts):
            dropped, ended = dropped + step_dropped, ended + step_ended
            if ended >= self.config.window:
                break
        if ended < self.config.window or dropped <= self.config.share * ended:
            return ""
        return (
            f"{dropped} of the last {ended} rollouts were dropped, more than the {self.config.share:.0%} that failure_budget.share allows; "
            "the reasons stand in the ledger (auricle ledger RUN)"
        )
