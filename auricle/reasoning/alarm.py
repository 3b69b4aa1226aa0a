"""The alarm: answers that have collapsed, seen without looking at the reward. A pure state machine over the steps' counts.

A judge that says one score to everything can earn well (the L2 reward of GSRM, arXiv 2602.13891: PCC .012), so no reward would show it.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from auricle.listeners.answers import SCORES
from auricle.reasoning.config import AlarmConfig

FEWEST = 12
"""Answers of a kind within a window below which nothing is said about them."""


@dataclass(frozen=True)
class Collapse:
    """A named alarm, and a sentence for people."""

    name: str
    sentence: str


@dataclass(frozen=True)
class Window:
    """Means over a window of steps; None where there were too few answers to tell."""

    one_score: float | None
    entropy: float
    distinct: float | None
    unparsable: float


class Alarm:
    """Takes the metrics of each step in order; says each warning once."""

    def __init__(self, config: AlarmConfig) -> None:
        self._config = config
        self._steps: deque[Mapping[str, float]] = deque(maxlen=config.window)
        self._start: Window | None = None
        self._said: set[str] = set()

    def add(self, step: int, metrics: Mapping[str, float]) -> list[Collapse]:
        """The warnings that are due after this step: those that were not said before."""
        self._steps.append(metrics)
        if len(self._steps) < self._config.window:
            return []
        now = window_of(list(self._steps))
        if self._start is None:
            self._start = now
        found = [warning for warning in _warnings(self._config, self._start, now, step) if warning.name not in self._said]
        self._said |= {warning.name for warning in found}
        return found


def window_of(steps: list[Mapping[str, float]]) -> Window:
    """The means of several steps' counts."""

    def total(name: str) -> float:
        return sum(step.get(f"answers/{name}", 0.0) for step in steps)

    digits = [total(f"score_{digit}") for digit in SCORES]
    scores, words, answers = sum(digits), total("in_words"), total("all")
    return Window(
        one_score=max(digits) / scores if scores >= FEWEST else None,
        entropy=total("entropy_nats") / max(len(steps), 1),
        distinct=total("distinct_words") / words if words >= FEWEST else None,
        unparsable=total("unparsable") / max(answers, 1.0),
    )


def _warnings(config: AlarmConfig, start: Window, now: Window, step: int) -> list[Collapse]:
    found = []
    after = f"after step {step + 1}"
    if config.one_score and now.one_score is not None and now.one_score > config.one_score:
        found.append(
            Collapse(
                "one_score", f"{after} {now.one_score:.0%} of the scores are one and the same digit (alarm above {config.one_score:.0%})"
            )
        )
    if config.entropy and now.entropy < config.entropy * start.entropy:
        found.append(
            Collapse(
                "entropy",
                f"{after} the answers' entropy is {now.entropy:.3f} nats a token, {start.entropy:.3f} at the start (alarm below "
                f"{config.entropy:.0%} of it): the listener says one thing only",
            )
        )
    if config.distinct and now.distinct is not None and start.distinct is not None and now.distinct < config.distinct * start.distinct:
        found.append(
            Collapse(
                "distinct",
                f"{after} {now.distinct:.0%} of a step's answers in words are distinct, {start.distinct:.0%} at the start (alarm below "
                f"{config.distinct:.0%} of it)",
            )
        )
    if config.unparsable and now.unparsable > config.unparsable:
        found.append(
            Collapse("unparsable", f"{after} {now.unparsable:.0%} of the answers do not parse (alarm above {config.unparsable:.0%})")
        )
    return found
