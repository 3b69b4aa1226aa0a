"""A panel whose verdicts are a function of the clip alone, to the bit: what a run that is to be repeated exactly asks.

Sums in another order end in other bits. Which clips a judge hears together depends on timing (vLLM batches whatever is there at each step;
a retried block, or one of whose clips the cache knows some, is another batch), and so does what an engine still has in its prefix cache.
"""

from typing import Any

from auricle.judging.panel import JudgeConfig, PanelConfig
from auricle.judging.registry import find_judge, options_class


def exact_panel(panel: PanelConfig) -> PanelConfig:
    """The same judges, each hearing one clip at a time, with engines that keep nothing of earlier prompts. Raises ConfigError."""
    return panel.model_copy(update={"judges": tuple(_alone(judge) for judge in panel.judges)})


def _alone(judge: JudgeConfig) -> JudgeConfig:
    options: dict[str, Any] = judge.options
    if "engine" in options_class(find_judge(judge.kind_or_name)).model_fields:
        engine = options.get("engine", {})
        options = options | {"engine": engine | {"extra": engine.get("extra", {}) | {"enable_prefix_caching": False}}}
    return judge.model_copy(update={"alone": True, "options": options})
