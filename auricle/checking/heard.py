"""What one judge said of the sounds of a check."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from auricle.judging.judge import Choice
from auricle.judging.panel import JudgeConfig
from auricle.judging.verdict import Failed

Verdict = Mapping[str, Any]


@dataclass
class Heard:
    """One judge's verdicts (as in a panel's answer), by the sound's name.

    again: of a second hearing. reworded: wording -> verdicts. choices: (first, second, answer) of pairs, the better one first and then the
    other way round; None where the judge compares no pairs.
    """

    judge: JudgeConfig
    first: dict[str, Verdict] = field(default_factory=dict)
    again: dict[str, Verdict] = field(default_factory=dict)
    reworded: dict[int, dict[str, Verdict]] = field(default_factory=dict)
    choices: list[tuple[str, str, Choice | Failed]] | None = None

    def score(self, name: str) -> float:
        """The score of one sound; NaN where there is none."""
        return score_of(self.first.get(name), self.judge)

    def scores(self, names: Sequence[str], verdicts: Mapping[str, Verdict] | None = None) -> np.ndarray:
        """The scores of several, of the first hearing unless others are given."""
        found = self.first if verdicts is None else verdicts
        return np.array([score_of(found.get(name), self.judge) for name in names], dtype=np.float64)

    def failed(self, name: str) -> bool:
        """Whether it gave no verdict."""
        return self.first[name]["state"] == "failed"

    def identity(self) -> tuple[str, str]:
        """Hashes of its prompts and its model; empty for judges that have none."""
        return next(((v["prompt_hash"], v["model_hash"]) for v in self.first.values() if v["state"] == "scored"), ("", ""))


def score_of(verdict: Verdict | None, judge: JudgeConfig) -> float:
    """The judge's own score; where it has none the weighted sum of the dimensions that have a vote. NaN where it failed."""
    if verdict is None or verdict["state"] != "scored":
        return float("nan")
    if verdict["score"] is not None:
        return float(verdict["score"])
    parts = [weight * verdict["dimensions"].get(name, np.nan) for name, weight in judge.weights.items() if name != "score"]
    return float(np.sum(parts)) if parts else float("nan")
