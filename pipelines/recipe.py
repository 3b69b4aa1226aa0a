"""What differs between policies that learn from the stream: an enhancer's job and a listener's are one job with two recipes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from actors.learner_pool import Learner
from actors.stream import Stage, StreamPlan
from auricle.learning.schedule import RolloutSchedule
from pipelines.settings import StreamSettings


@dataclass(frozen=True)
class Recipe:
    """One policy's part of a phase.

    size: how long the run is, and its deadlines. learner: builds the learner inside a rank. first_weights: version 0 of the policy. stages:
    the stream's pools, given the plan, the weight store and the coordinator. columns: those that the learner reads. part_names: of the
    column `parts`. panel_app: the Serve application that judges, where there is one. quarantine_after: see QuarantineConfig; 0 where the
    stages know nothing of it.
    """

    schedule: RolloutSchedule
    size: StreamSettings
    checkpoint_every: int
    learner: Callable[[], Learner]
    first_weights: Callable[[], Mapping[str, np.ndarray]]
    stages: Callable[[StreamPlan, Any, Any], Sequence[Stage]]
    columns: tuple[str, ...]
    part_names: tuple[str, ...]
    panel_app: str = ""
    quarantine_after: int = 0
