"""What one can ask the listener, in several wordings each. The first wording of a task is the one that judges use."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from auricle.listeners.labels import DIMENSIONS

Task = Literal["describe", "score", "dimension", "artefact", "compare", "reference"]
TASKS: tuple[Task, ...] = get_args(Task)
"""describe: free words. score: overall, 1-5. dimension: one aspect, 1-5. artefact: the worst one and when. compare: which of two clips is
better. reference: overall, 1-5, of a clip with its clean original beside it."""

WORDINGS: dict[Task, tuple[str, ...]] = {
    "describe": (
        "Describe how this speech sounds.",
        "Give me an assessment of the quality of this speech sample.",
        "What do you hear? Describe the quality of the recording.",
        "Please describe noise, distortion and naturalness of this clip.",
        "How does this recording sound?",
        "Write a short report on the quality of this speech.",
    ),
    "score": (
        "Rate the overall quality of this speech from 1 to 5.",
        "How good is this recording overall, from 1 (bad) to 5 (excellent)?",
        "Give an overall quality score between 1 and 5.",
        "On a scale of 1 to 5, what is the quality of this clip?",
        "Score the speech quality: 1 to 5.",
        "What mean opinion score from 1 to 5 does this speech deserve?",
    ),
    "dimension": (
        "Rate the {dimension} of this speech from 1 to 5, 5 is best.",
        "From 1 (bad) to 5 (excellent), how is the {dimension}?",
        "Give a score between 1 and 5 for {dimension}.",
        "Score the aspect {dimension}: 1 to 5.",
    ),
    "artefact": (
        "Which artefact is the worst, and when?",
        "Name the main artefact and its time.",
        "What is wrong with this clip, and from when to when?",
        "Find the most severe damage and say where it is.",
        "Which damage do you hear, at which time?",
    ),
    "compare": (
        "Which clip sounds better, the first or the second?",
        "Of these two clips, which one has the better quality?",
        "First or second: which is better?",
        "Say which recording you prefer, first or second.",
    ),
    "reference": (
        "The first clip is the clean original. Rate the quality of the second from 1 to 5.",
        "Compared with the first clip, the reference, how good is the second from 1 to 5?",
        "The first clip is the reference. Score the second: 1 to 5.",
    ),
}

TWO_CLIPS: frozenset[Task] = frozenset({"compare", "reference"})


@dataclass(frozen=True)
class Question:
    """One question. clips: how many audios go with it (1 or 2); dimension: only for the task of that name."""

    task: Task
    text: str
    dimension: str | None = None

    @property
    def clips(self) -> int:
        """How many audios the question is about."""
        return 2 if self.task in TWO_CLIPS else 1


def question(task: Task, dimension: str | None = None, wording: int = 0) -> Question:
    """The question in its `wording`-th form."""
    if (task == "dimension") != (dimension is not None):
        raise ValueError(f"question: task {task!r} with dimension {dimension!r}; a dimension goes with the task 'dimension' and no other")
    if dimension is not None and dimension not in DIMENSIONS:
        raise ValueError(f"question: no dimension {dimension!r}; choose one of {', '.join(DIMENSIONS)}")
    return Question(task, WORDINGS[task][wording].format(dimension=dimension), dimension)


def random_question(task: Task, rng: np.random.Generator) -> Question:
    """The question in any of its wordings, about any dimension."""
    dimension = str(rng.choice(DIMENSIONS)) if task == "dimension" else None
    return question(task, dimension, int(rng.integers(len(WORDINGS[task]))))


def all_questions() -> list[Question]:
    """Every question in every wording (for building vocabularies)."""
    found = []
    for task, wordings in WORDINGS.items():
        for wording in range(len(wordings)):
            found += [question(task, name, wording) for name in (DIMENSIONS if task == "dimension" else (None,))]
    return found
