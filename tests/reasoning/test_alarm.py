"""The alarm: each way to collapse is named, once, and healthy answers are left alone."""

import numpy as np
import pytest

from auricle.reasoning.alarm import Alarm
from auricle.reasoning.config import AlarmConfig

CONFIG = AlarmConfig(window=4)
HEALTHY = {
    "answers/all": 24.0,
    "answers/unparsable": 0.0,
    "answers/in_words": 12.0,
    "answers/distinct_words": 9.0,
    "answers/score_1": 3.0,
    "answers/score_2": 2.0,
    "answers/score_3": 3.0,
    "answers/score_4": 2.0,
    "answers/score_5": 2.0,
    "answers/entropy_nats": 0.3,
}
COLLAPSES = {
    "one_score": {"answers/score_1": 0.0, "answers/score_2": 0.0, "answers/score_3": 12.0, "answers/score_4": 0.0, "answers/score_5": 0.0},
    "entropy": {"answers/entropy_nats": 0.01},
    "distinct": {"answers/distinct_words": 1.0},
    "unparsable": {"answers/unparsable": 12.0},
}


def names(steps: list[dict[str, float]]) -> list[str]:
    alarm = Alarm(CONFIG)
    return [collapse.name for step, metrics in enumerate(steps) for collapse in alarm.add(step, metrics)]


def test_healthy_answers_are_left_alone() -> None:
    rng = np.random.default_rng(0)
    assert names([HEALTHY | {"answers/entropy_nats": float(rng.uniform(0.2, 0.4))} for _ in range(40)]) == []


@pytest.mark.parametrize("name", COLLAPSES)
def test_each_collapse_is_named_once(name: str) -> None:
    assert names([HEALTHY] * 6 + [HEALTHY | COLLAPSES[name]] * 10) == [name]


def test_nothing_is_said_about_too_few_answers() -> None:
    few = {"answers/score_3": 1.0, "answers/in_words": 1.0, "answers/distinct_words": 1.0, "answers/all": 2.0, "answers/entropy_nats": 0.3}
    assert names([few] * 10) == []
