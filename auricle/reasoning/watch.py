"""What a step's answers look like from outside, whatever they earn: the counts in which a collapse shows."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from auricle.listeners.answers import SCORES
from auricle.reasoning.rows import AnswerRows

IN_WORDS = ("artefact", "describe")


def answer_table(rows: AnswerRows) -> dict[str, Any]:
    """What the other ranks need to know of one rank's answers. surprise_nats: minus the log-probabilities of the sampled tokens, summed."""
    tokens = rows.answer_ids >= 0
    return {
        "tasks": rows.task,
        "answers": rows.answer,
        "failed": tuple(bool(failure) for failure in rows.failure),
        "surprise_nats": float(-rows.answer_log_probs[tokens].sum()),
        "tokens": int(tokens.sum()),
    }


def answer_counts(tables: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Counts over all ranks' answers of one step. entropy_nats: a token's, estimated on the samples themselves."""
    every = [
        (task, text, failed)
        for table in tables
        for task, text, failed in zip(table["tasks"], table["answers"], table["failed"], strict=True)
    ]
    words = [text for task, text, _ in every if task in IN_WORDS]
    digits = Counter(text for task, text, failed in every if task not in IN_WORDS and not failed)
    tokens = sum(table["tokens"] for table in tables)
    return {
        "answers/all": float(len(every)),
        "answers/unparsable": float(sum(failed for *_, failed in every)),
        "answers/in_words": float(len(words)),
        "answers/distinct_words": float(len(set(words))),
        **{f"answers/score_{digit}": float(digits[digit]) for digit in SCORES},
        "answers/entropy_nats": sum(table["surprise_nats"] for table in tables) / max(tokens, 1),
        "answers/tokens": tokens / max(len(every), 1),
    }
