"""What a listener is taught, by name: each course turns a batch's labels into lessons. `calibrate.courses` gives their weights."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from auricle.listeners.calibration import CalibrateConfig
from auricle.listeners.labels import Labels
from auricle.listeners.lessons import Lesson, make_lessons
from auricle.listeners.pairs import question_lessons
from auricle.listeners.training import Course


def courses_of(config: CalibrateConfig) -> dict[str, Course]:
    """The configured courses."""
    known: dict[str, Course] = {
        "calibration": partial(_calibration, pairs=config.training.pairs),
        "questions": partial(question_lessons, config=config.questions),
    }
    return {name: _weighted(known[name], weight) for name, weight in config.courses.items() if weight > 0}


def _calibration(labels: Sequence[Labels], rng: np.random.Generator, *, pairs: int) -> list[Lesson]:
    return make_lessons(labels, rng, min(pairs, len(labels) - 1))


def _weighted(course: Course, weight: float) -> Course:
    return lambda labels, rng: [replace(lesson, weight=weight * lesson.weight) for lesson in course(labels, rng)]
