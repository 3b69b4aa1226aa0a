"""A panel whose verdicts are a function of the clip alone, to the bit: what a run that is to be repeated exactly asks.

Sums in another order end in other bits. Which clips a judge hears together depends on timing (vLLM batches whatever is there at each step;
a retried block, or one of whose clips the cache knows some, is another batch), and so does what an engine still has in its prefix cache.
And so does whether a judge was there, and in time: a verdict that is missing for that reason is an accident, not a verdict.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from auricle.judging.panel import Answer, JudgeConfig, PanelConfig
from auricle.judging.registry import find_judge, options_class

ALONE_FACTOR = 4.0
"""How much longer every deadline of judging is where clips are judged one after another."""
ACCIDENTS = frozenset({"timeout", "unavailable", "error"})
"""Reasons of failure that say nothing of the clip: another time there may be a verdict. (An exception may be an engine's that broke.)"""


def exact_panel(panel: PanelConfig) -> PanelConfig:
    """The same judges, each hearing one clip at a time, with engines that keep nothing of earlier prompts. Raises ConfigError."""
    return panel.model_copy(update={"judges": tuple(_alone(judge) for judge in panel.judges)})


def accident(answers: Sequence[Answer]) -> str:
    """The first verdict that is missing by accident, as a sentence's beginning; empty where there is none."""
    for answer in answers:
        for judge, verdict in answer.items():
            if verdict["state"] == "failed" and verdict["reason"] in ACCIDENTS:
                return f"judge {judge!r} gave no verdict ({verdict['reason']}: {verdict['detail']})"
    return ""


def _alone(judge: JudgeConfig) -> JudgeConfig:
    options: Mapping[str, Any] = judge.options
    if "engine" in options_class(find_judge(judge.kind_or_name)).model_fields:
        engine = options.get("engine", {})
        options = {**options, "engine": engine | {"extra": engine.get("extra", {}) | {"enable_prefix_caching": False}}}
    deadline_s = judge.deadline_s if judge.alone else ALONE_FACTOR * judge.deadline_s  # once, also where it is asked twice
    return judge.model_copy(update={"alone": True, "options": options, "deadline_s": deadline_s})
