"""One random tiny listener for all tests of this folder, in memory and as a checkpoint folder."""

from pathlib import Path

import numpy as np
import pytest

from auricle.listeners.calibration import ListenerConfig
from auricle.listeners.checkpoint import Listener, load_listener, new_listener, save_listener


@pytest.fixture(scope="session")
def listener_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("listener")
    save_listener(new_listener(ListenerConfig(), seed=3), folder, half=True)
    return folder


@pytest.fixture(scope="session")
def listener(listener_folder: Path) -> Listener:
    return load_listener(listener_folder)


@pytest.fixture
def clips() -> list[np.ndarray]:
    """Four noisy tones of different lengths, 1.25 to 3 s at 16 kHz."""
    rng = np.random.default_rng(0)
    lengths = (48_000, 40_000, 20_000, 33_333)
    return [
        (0.05 * rng.standard_normal(length) + 0.05 * np.sin(np.arange(length) * rng.uniform(0.05, 0.5))).astype(np.float32)
        for length in lengths
    ]
