"""What an exact run (`staleness.exact_staleness`) works with in place of its settings: judges that hear clips alone, and the time for it.

All deadlines that lie around judging grow by one factor, so their order (pipelines/deadlines.py) stays.
"""

from auricle.judging.exact import ALONE_FACTOR, exact_panel
from pipelines.settings import Settings


def exact_settings(settings: Settings) -> Settings:
    """The settings of the job; as they are where the run need not be exact. Raises ConfigError."""
    if not settings.staleness.exact_staleness:
        return settings
    longer = {
        "reward": ("timeout_s",),
        "guard": ("timeout_s",),
        "finetune": ("step_timeout_s",),
        "rollout": ("gate_timeout_s",),
        "learner_pool": ("call_timeout_s",),
    }
    sections = {
        name: (section := getattr(settings, name)).model_copy(update={field: ALONE_FACTOR * getattr(section, field) for field in fields})
        for name, fields in longer.items()
    }
    return settings.model_copy(update={"panel": exact_panel(settings.panel), **sections})
