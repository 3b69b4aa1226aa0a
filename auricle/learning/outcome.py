"""What a learner says of one step: the end of every row, and the numbers to watch."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class RowOutcome:
    """What became of one rollout: `trained`, or `dropped` with a reason. reward: NaN where a verdict failed."""

    rollout_id: int
    state: Literal["trained", "dropped"]
    reason: str
    reward: float
    advantage: float


@dataclass(frozen=True)
class UpdateReport:
    """One learner step. version: after it. metrics: over all ranks, equal on each. rows: this rank's, in the order given."""

    version: int
    metrics: dict[str, float]
    rows: list[RowOutcome]
