"""Which of SpeechQualityLLM's questions a listener is taught. Apart from `pairs`, so that the command line can print it without torch."""

from pydantic import Field, model_validator

from auricle.config import Config
from auricle.listeners.profiles import ProfileName
from auricle.listeners.quality import NISQA_DIMENSIONS
from auricle.listeners.wordings import RATED_TASKS, Task


class PairsConfig(Config):
    """Which questions are drawn, and how often."""

    tasks: dict[Task, float] = {"mos_numeric": 0.3, "dim_numeric": 0.25, "dim_categ": 0.15, "multi_dim": 0.15, "explanatory": 0.15}
    """Shares of the rated tasks, relative to each other."""
    dimensions: tuple[str, ...] = NISQA_DIMENSIONS[1:]
    """Dimensions that dim_numeric and dim_categ ask about; clips without a score for any of them are asked other tasks."""
    double_ended: float = Field(default=0.25, ge=0.0, le=1.0)
    """Share of questions with the clean reference beside the clip, 0-1."""
    profiles: dict[ProfileName, float] = {"neutral": 0.7, "strict": 0.1, "casual": 0.1, "hard-of-hearing": 0.1}
    """Shares of the listeners' profiles, relative to each other."""

    @model_validator(mode="after")
    def _consistent(self) -> "PairsConfig":
        for name, shares in (("tasks", self.tasks), ("profiles", self.profiles)):
            if min(shares.values(), default=-1.0) < 0 or sum(shares.values()) <= 0:
                raise ValueError(f"{name} = {shares}: give shares of at least 0, one of them above")
        if unknown := [task for task in self.tasks if task not in RATED_TASKS]:
            raise ValueError(f"tasks: {unknown[0]!r} is no rated task; choose from {', '.join(RATED_TASKS)}")
        return self
