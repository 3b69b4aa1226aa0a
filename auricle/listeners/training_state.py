"""What a training resumes from: weights, optimiser moments, averaged weights and the step, as tensors in one safetensors file."""

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from auricle.errors import CheckpointError
from auricle.files import replacing

NAME = "training.safetensors"


def save_training_state(folder: Path, modules: nn.Module, optimizer: torch.optim.Optimizer, average: list[Tensor], step: int) -> None:
    """Replaces the folder's last state; a reader never sees half of one."""
    tensors = {f"weight.{name}": tensor for name, tensor in modules.state_dict().items()}
    tensors |= {f"average.{index}": tensor for index, tensor in enumerate(average)}
    for index, parameter in enumerate(_parameters(optimizer)):
        tensors |= {f"optimizer.{index}.{name}": value for name, value in optimizer.state[parameter].items()}
    with replacing(Path(folder) / NAME) as temporary:
        # Copies: parameters may share storage, which safetensors refuses.
        save_file(
            {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()},
            temporary,
            metadata={"auricle": json.dumps({"step": step})},
        )


def load_training_state(folder: Path, modules: nn.Module, optimizer: torch.optim.Optimizer, average: list[Tensor]) -> int:
    """Puts the last state in place and returns its step; 0 where the folder has none. Raises CheckpointError where it does not fit."""
    path = Path(folder) / NAME
    if not path.is_file():
        return 0
    with safe_open(path, framework="pt") as file:
        step = int(json.loads(file.metadata()["auricle"])["step"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (safe_open is no mapping)
    try:
        modules.load_state_dict({name.removeprefix("weight."): tensor for name, tensor in tensors.items() if name.startswith("weight.")})
    except RuntimeError as error:
        raise CheckpointError(
            f"{path}: belongs to another listener ({str(error).splitlines()[0]}); remove it or name another --output"
        ) from error
    for index, tensor in enumerate(average):
        tensor.copy_(tensors[f"average.{index}"])
    for index, parameter in enumerate(_parameters(optimizer)):
        prefix = f"optimizer.{index}."
        optimizer.state[parameter] = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    return step


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
