"""What the judge that listens asks, in several wordings: those our own listener was trained on, and plain ones for other models."""

from typing import TYPE_CHECKING, Any

from auricle.listeners.questions import WORDINGS, question

if TYPE_CHECKING:
    from auricle.judging.listener_judge import ListenerOptions

# For models that are not ours, in several wordings; the first of all is the prompt of LR-AVSE (arXiv 2603.13952).
FOREIGN_DESCRIBE = (
    "Give me an assessment of the quality of this speech sample.",
    "Describe how this speech recording sounds.",
    "What do you hear? Describe the quality of this recording of speech.",
    "Write a short report on the quality of the speech in this clip.",
)
FOREIGN_RATE = (
    "Rate the overall quality of this speech sample from 1 (bad) to 5 (excellent). Answer with one digit only.",
    "How good is this recording of speech, from 1 (bad) to 5 (excellent)? Say one digit and nothing else.",
    "On a scale of 1 (bad) to 5 (excellent), what is the quality of this speech? One digit only.",
    "Give an overall quality score between 1 (bad) and 5 (excellent) to this speech: a single digit.",
)


def listener_questions(options: "ListenerOptions", *, own: bool, wording: int) -> dict[str, str]:
    """The text of each question, by kind, in the order in which they are asked; the first wording is the one for rewards."""
    overrides = {"describe": options.describe_prompt, "rate": options.rate_prompt} if wording == 0 else {}
    texts = {"describe": FOREIGN_DESCRIBE[wording], "rate": FOREIGN_RATE[wording]}
    if own:
        texts = {"describe": _asked("describe", wording), "rate": _asked("reference" if options.double_ended else "score", wording)}
    texts |= {kind: text for kind, text in overrides.items() if text} | {"artefact": _asked("artefact", wording)}
    wanted = [task for task in options.ask if own or task != "artefact"]
    aspects = {aspect: _asked("dimension", wording, aspect) for aspect in options.aspects} if own else {}
    return {task: texts[task] for task in wanted} | aspects


def _asked(task: Any, wording: int, dimension: str | None = None) -> str:
    return question(task, dimension, wording % len(WORDINGS[task])).text
