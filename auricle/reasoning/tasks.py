"""Which clips are learned from, and what is asked about each: pure functions of labels, settings and seeds."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64

from auricle.errors import ConfigError
from auricle.listeners.auxiliary import LOCAL_SHARE
from auricle.listeners.labels import Labels
from auricle.listeners.questions import Question, question, random_question
from auricle.reasoning.config import QuestionConfig


def is_local(labels: Labels) -> bool:
    """Whether the main artefact has a place in time."""
    damage = labels.main_damage
    return damage is not None and sum(end - start for start, end in damage.spans) <= LOCAL_SHARE * labels.duration_s


def split_clips(
    labels: Sequence[Labels], config: QuestionConfig, seed: int
) -> tuple[Int64[np.ndarray, " train"], Int64[np.ndarray, " dev"]]:
    """Rows to learn from, of which `local_share` have an artefact with a place in time, and the last `dev_clips` rows, held out.

    Without such a share all are kept, else of the more frequent kind only as many as it allows. Raises ConfigError: too few clips.
    """
    first_dev = len(labels) - config.dev_clips
    local = np.array([is_local(label) for label in labels[: max(0, first_dev)]], dtype=bool)
    if not local.any() or local.all():
        raise ConfigError(
            f"reason: {len(labels)} clips, {config.dev_clips} of them for measuring: too few are left, or none with an artefact that has a "
            "place in time; prepare more clips, or lower reason.questions.dev_clips"
        )
    if config.local_share is None:
        return np.arange(first_dev), np.arange(first_dev, len(labels))
    share, counts = config.local_share, (int(local.sum()), int((~local).sum()))
    total = min(counts[0] / share if share else np.inf, counts[1] / (1 - share) if share < 1 else np.inf)
    rng = np.random.default_rng([seed, 6])
    wanted = (round(total * share), round(total * (1 - share)))
    kept = [rng.permutation(np.flatnonzero(which))[:count] for which, count in zip((local, ~local), wanted, strict=True)]
    return np.sort(np.concatenate(kept)), np.arange(first_dev, len(labels))


def name_weight(labels: Sequence[Labels], kept: Sequence[int], dev_clips: int) -> float:
    """What an answer's name counts in a clip whose artefact has a place in time, of those that are `kept`: the odds of such clips as they
    come over their odds among the kept ones, so that what is learned about names is what clips as they come would teach."""
    local = np.array([is_local(label) for label in labels[: len(labels) - dev_clips]], dtype=bool)
    came, drawn = float(local.mean()), float(local[list(kept)].mean())
    return came / (1 - came) * (1 - drawn) / drawn if 0 < drawn < 1 else 1.0


def draw_question(config: QuestionConfig, seed: int) -> Question:
    """The question of one clip in one step: the same for all answers to it."""
    rng = np.random.default_rng(seed)
    tasks, shares = list(config.shares), np.array(list(config.shares.values()), dtype=np.float64)
    if shares.sum() <= 0:
        raise ConfigError("reason.questions.shares: every kind of question has the share 0; give one a share")
    asked = random_question(tasks[int(rng.choice(len(tasks), p=shares / shares.sum()))], rng)
    return question(asked.task, asked.dimension) if rng.random() < config.first_wording_share else asked
