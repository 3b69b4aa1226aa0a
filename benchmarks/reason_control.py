"""The control of `benchmarks.reason`: calibration goes on for as long as GRPO took, on the same clips, from the same listener.

What supervised questions teach in that time is no gain of the rewards.
"""

import time
from collections.abc import Sequence
from pathlib import Path

from actors.listener_learner import ListenerLearner
from auricle.listeners.calibration import CalibrateConfig, TrainingConfig
from auricle.listeners.checkpoint import save_listener
from auricle.listeners.trainable import assembled

PROBE_STEPS = 5
"""Steps that tell how many fit into the time; thrown away."""


def continued(
    listener: Path, sets: Sequence[Path], rows: Sequence[int], minutes: float, learning_rate: float, seed: int, folder: Path
) -> Path:
    """Calibrates on and writes the listener into `folder`, unless it is there. The rate decays linearly over the last steps, as GRPO's.

    rows: of the sets, those that GRPO may learn from.
    """
    if not (folder / "config.json").exists():
        learner = ListenerLearner(_config(listener, PROBE_STEPS, learning_rate, seed), sets, rows)
        learner.train(1)  # DeepSpeed's and torch's beginnings are no steps
        began = time.monotonic()
        learner.train(PROBE_STEPS - 1)
        step_s = (time.monotonic() - began) / (PROBE_STEPS - 1)
        config = _config(listener, max(10, round(60 * minutes / step_s)), learning_rate, seed)
        learner = ListenerLearner(config, sets, rows)
        learner.train(config.training.steps)
        save_listener(assembled(config, learner.trained()), folder)
        (folder / "steps").write_text(str(config.training.steps))
    return folder


def _config(listener: Path, steps: int, learning_rate: float, seed: int) -> CalibrateConfig:
    training = TrainingConfig(
        steps=steps, learning_rate=learning_rate, hearing_share=0.0, auxiliary_weight=0.0, warmup_steps=1, weight_decay=0.0, seed=seed
    )
    return CalibrateConfig(start=listener, training=training)
