"""What a listener is taught, by name: each course turns a batch's truths into lessons. `calibrate.courses` gives their weights."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from auricle.errors import ConfigError
from auricle.gsrm.rendering import LISTENING
from auricle.listeners.answers import artefact_text, score_text
from auricle.listeners.calibration import CalibrateConfig
from auricle.listeners.labels import Labels
from auricle.listeners.lessons import Lesson, make_lessons
from auricle.listeners.pairs import question_lessons
from auricle.listeners.pairs_config import PairsConfig
from auricle.listeners.quality import QUALISPEECH_ASPECTS, Quality, quality_of
from auricle.listeners.questions import Question, random_question
from auricle.listeners.reasoned import Reasoned
from auricle.listeners.training import Course
from auricle.listeners.turns import Exchange
from auricle.listeners.wordings import WORDINGS

Truth = Labels | Quality


def courses_of(config: CalibrateConfig) -> dict[str, Course]:
    """The configured courses, weighted. Raises ConfigError where there is none."""
    known: dict[str, Course] = {
        "calibration": partial(_calibration, pairs=config.training.pairs),
        "questions": partial(_questions, config=config.questions),
        "dimensions": _dimensions,
        "artefacts": _artefacts,
        "evidence": _evidence,
    }
    found: dict[str, Course] = {name: _weighted(known[name], weight) for name, weight in config.courses.items() if weight > 0}
    if not found:
        raise ConfigError(f"calibrate.courses = {config.courses}: give at least one course a weight above 0")
    return found


def aspect_question(aspect: str, wording: int = 0) -> Question:
    """The question for the score of one of QualiSpeech's aspects. Where an aspect is a dimension of ours, it is the same question."""
    return Question("dimension", WORDINGS["dimension"][wording].format(dimension=aspect), aspect)


def _calibration(truths: Sequence[Truth], rng: np.random.Generator, *, pairs: int) -> list[Lesson]:
    """Of the clips that we damaged ourselves."""
    places = [place for place, truth in enumerate(truths) if isinstance(truth, Labels)]
    own = [truth for truth in truths if isinstance(truth, Labels)]
    if not own:
        return []
    lessons = make_lessons(own, rng, min(pairs, len(own) - 1))
    audios = [*places, *(len(truths) + place for place in places)]
    return [
        replace(lesson, exchanges=tuple(replace(one, audios=tuple(audios[audio] for audio in one.audios)) for one in lesson.exchanges))
        for lesson in lessons
    ]


def _questions(truths: Sequence[Truth], rng: np.random.Generator, *, config: PairsConfig) -> list[Lesson]:
    """The five tasks; only clips that we damaged ourselves have a clean original to be heard with."""
    return question_lessons(truths, rng, config, references=[isinstance(truth, Labels) for truth in truths])


def _dimensions(truths: Sequence[Truth], rng: np.random.Generator) -> list[Lesson]:
    """One aspect of each clip that has a score for any."""
    exchanges = []
    for place, truth in enumerate(truths):
        scores = quality_of(truth).scores
        known = [name for name in QUALISPEECH_ASPECTS if name in scores]
        if not known:
            continue
        aspect = known[int(rng.integers(len(known)))]
        asked = aspect_question(aspect, int(rng.integers(len(WORDINGS["dimension"]))))
        exchanges.append(Exchange(asked.text, score_text(scores[aspect], rng), (place,), scores[aspect]))
    return [Lesson(tuple(exchanges), 1.0)] if exchanges else []


def _artefacts(truths: Sequence[Truth], rng: np.random.Generator) -> list[Lesson]:
    """The worst artefact and its times in every clip that we damaged ourselves: reading times is learned from many examples."""
    exchanges = [
        Exchange(random_question("artefact", rng).text, artefact_text(truth), (place,))
        for place, truth in enumerate(truths)
        if isinstance(truth, Labels)
    ]
    return [Lesson(tuple(exchanges), 1.0)] if exchanges else []


def _evidence(truths: Sequence[Truth], rng: np.random.Generator) -> list[Lesson]:
    """What a clip sounds like and why, of the clips whose answer is known."""
    known = [(place, truth.answer) for place, truth in enumerate(truths) if isinstance(truth, Reasoned)]
    return [Lesson(tuple(Exchange(LISTENING, answer, (place,)) for place, answer in known), 1.0)] if known else []


def _weighted(course: Course, weight: float) -> Course:
    return lambda truths, rng: [replace(lesson, weight=weight * lesson.weight) for lesson in course(truths, rng)]
