"""What one can ask the listener, in several wordings each. The first wording of a task is the one that judges use."""

from dataclasses import dataclass

import numpy as np

from auricle.listeners.labels import DIMENSIONS
from auricle.listeners.profiles import PROFILE_OF, ProfileName, prefix
from auricle.listeners.quality import MEANINGS, NISQA_DIMENSIONS
from auricle.listeners.wordings import (
    ABOUT_ONE_DIMENSION,
    CORE_TASKS,
    DOUBLE_ENDED,
    DOUBLE_ENDED_HELD_OUT,
    HELD_OUT_WORDINGS,
    RATED_TASKS,
    TASKS,
    WORDINGS,
    Task,
)

__all__ = ["CORE_TASKS", "RATED_TASKS", "TASKS", "Question", "Task", "all_questions", "held_out_questions", "question", "random_question"]

TWO_CLIPS: frozenset[Task] = frozenset({"compare", "reference"})


@dataclass(frozen=True)
class Question:
    """One question. dimension: for the tasks about one; double_ended: whether the clean reference is heard first; profile: who listens."""

    task: Task
    text: str
    dimension: str | None = None
    double_ended: bool = False
    profile: ProfileName = "neutral"

    @property
    def clips(self) -> int:
        """How many audios the question is about."""
        return 2 if self.task in TWO_CLIPS or self.double_ended else 1

    @property
    def reference_first(self) -> bool:
        """Whether the first of two audios is the clean original of the second."""
        return self.double_ended or self.task == "reference"


def question(
    task: Task,
    dimension: str | None = None,
    wording: int = 0,
    *,
    double_ended: bool = False,
    profile: ProfileName = "neutral",
    held_out: bool = False,
) -> Question:
    """The question in its `wording`-th form; held_out: in a form that training never sees. Raises ValueError for what cannot be asked."""
    if (task in ABOUT_ONE_DIMENSION) != (dimension is not None):
        raise ValueError(
            f"question: task {task!r} with dimension {dimension!r}; a dimension goes with {', '.join(sorted(ABOUT_ONE_DIMENSION))} only"
        )
    if (double_ended or profile != "neutral" or held_out) and task not in RATED_TASKS:
        raise ValueError(f"question: task {task!r} knows no double_ended, profile or held_out; those go with {', '.join(RATED_TASKS)}")
    meaning = ""
    if dimension is not None:
        known = DIMENSIONS if task == "dimension" else tuple(MEANINGS)
        if dimension not in known:
            raise ValueError(f"question: no dimension {dimension!r} in task {task!r}; choose one of {', '.join(known)}")
        meaning = MEANINGS.get(dimension, "")
    text = (HELD_OUT_WORDINGS if held_out else WORDINGS)[task][wording].format(dimension=dimension, meaning=meaning)
    if double_ended:
        leads = DOUBLE_ENDED_HELD_OUT if held_out else DOUBLE_ENDED
        text = leads[wording % len(leads)] + text
    return Question(task, prefix(profile, wording, held_out=held_out) + text, dimension, double_ended, profile)


def random_question(
    task: Task,
    rng: np.random.Generator,
    *,
    dimensions: tuple[str, ...] = NISQA_DIMENSIONS[1:],
    double_ended: bool = False,
    profile: ProfileName = "neutral",
) -> Question:
    """The question in any of its wordings (lead-in and profile too), about any dimension: of `dimensions` for the rated tasks."""
    dimension = None
    if task in ABOUT_ONE_DIMENSION:
        dimension = str(rng.choice(DIMENSIONS if task == "dimension" else dimensions))
    asked = question(task, dimension, int(rng.integers(len(WORDINGS[task]))))
    if task not in RATED_TASKS:
        return asked
    lead = DOUBLE_ENDED[int(rng.integers(len(DOUBLE_ENDED)))] if double_ended else ""
    said = prefix(profile, int(rng.integers(len(PROFILE_OF[profile].prefixes))))
    return Question(task, said + lead + asked.text, dimension, double_ended, profile)


def all_questions(tasks: tuple[Task, ...] = CORE_TASKS) -> list[Question]:
    """Every question in every wording (for building vocabularies)."""
    found = []
    for task in tasks:
        names = (None,) if task not in ABOUT_ONE_DIMENSION else DIMENSIONS if task == "dimension" else NISQA_DIMENSIONS[1:]
        found += [question(task, name, wording) for wording in range(len(WORDINGS[task])) for name in names]
    return found


def held_out_questions(task: Task, dimension: str | None = None, *, double_ended: bool = False) -> list[Question]:
    """The wordings of a rated task that training never sees."""
    ways = range(len(HELD_OUT_WORDINGS[task]))
    return [question(task, dimension, wording, double_ended=double_ended, held_out=True) for wording in ways]
