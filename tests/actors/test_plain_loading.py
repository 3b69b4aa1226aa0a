"""A checkpoint that holds code instead of numbers is not loaded; DeepSpeed's own are, at every stage."""

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from actors.engine import Engine, join_alone
from actors.plain_loading import FORCE_VARIABLE
from auricle.errors import CheckpointError
from auricle.learning.config import EngineConfig


class Payload:
    """Runs when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return (os.mkdir, (str(self.mark),))


def stepped(stage: int) -> Engine:
    torch.manual_seed(0)
    engine = Engine(nn.Linear(8, 4), EngineConfig(zero_stage=stage))
    engine.backward(engine.module(torch.ones(2, 8)).square().sum())
    engine.step()
    return engine


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_own_checkpoints_load_and_code_does_not(stage: int, tmp_path: Path) -> None:
    join_alone()
    engine = stepped(stage)
    folder, mark = tmp_path / "engine", tmp_path / "it ran"
    engine.save(folder, note="kept")
    assert engine.load(folder) == {"note": "kept"}
    assert FORCE_VARIABLE not in os.environ
    for path in folder.rglob("*.pt"):
        stored = torch.load(path, weights_only=False)
        torch.save({**stored, "extra": Payload(mark)}, path)
    with pytest.raises(CheckpointError, match="could run code"):
        engine.load(folder)
    assert not mark.exists()
    engine.close()
