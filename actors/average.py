"""The exponential average of a module's trained parameters, beside any ZeRO stage.

Under stage 3 each rank averages the part of a parameter that it holds; the whole is put together only where it is asked for.
"""

from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from auricle.errors import CheckpointError
from auricle.files import replacing

AVERAGE_FILE = "average.safetensors"


class AveragedWeights:
    """The average, starting at the module's weights as they are."""

    def __init__(self, module: nn.Module) -> None:
        self._parameters = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
        self._average = {name: _held(parameter).detach().float().clone() for name, parameter in self._parameters.items()}

    @torch.no_grad()
    def move(self, share: float) -> None:
        """Towards the weights as they are now, by `share` of the way."""
        held = [_held(parameter).detach().float() for parameter in self._parameters.values()]
        torch._foreach_lerp_(list(self._average.values()), held, share)

    def whole(self) -> dict[str, Tensor]:
        """The averages by parameter name, whole, on the CPU. Collective."""
        return {name: self._gathered(name, parameter).cpu() for name, parameter in self._parameters.items()}

    def save(self, folder: Path) -> None:
        """Into `folder`, beside the engine's checkpoint. Collective."""
        tensors = self.whole()
        if dist.get_rank() == 0:
            with replacing(folder / AVERAGE_FILE) as temporary:
                save_file({name: tensor.clone().contiguous() for name, tensor in tensors.items()}, temporary)
        dist.barrier()

    def load(self, folder: Path) -> None:
        """What `save` wrote, at any number of ranks. Raises CheckpointError."""
        path = folder / AVERAGE_FILE
        if not path.is_file():
            raise CheckpointError(f"{path}: missing; the checkpoint is incomplete, take an earlier one")
        tensors = load_file(path)
        if set(tensors) != set(self._average):
            odd = sorted(set(tensors) ^ set(self._average))[:3]
            raise CheckpointError(f"{path}: belongs to a training of other parts ({', '.join(odd)} ...); name another output folder")
        for name, parameter in self._parameters.items():
            self._average[name].copy_(_part(tensors[name], parameter))

    def _gathered(self, name: str, parameter: nn.Parameter) -> Tensor:
        own = self._average[name]
        if not _is_partitioned(parameter):
            return own
        parts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, own)
        shape = parameter.ds_shape  # type: ignore[attr-defined]
        return torch.cat(parts)[: shape.numel()].view(shape)


def _is_partitioned(parameter: nn.Parameter) -> bool:
    return hasattr(parameter, "ds_tensor")


def _held(parameter: nn.Parameter) -> Tensor:
    """What this rank holds of a parameter."""
    return parameter.ds_tensor if _is_partitioned(parameter) else parameter  # type: ignore[attr-defined]


def _part(whole: Tensor, parameter: nn.Parameter) -> Tensor:
    if not _is_partitioned(parameter):
        return whole
    size, rank = _held(parameter).numel(), dist.get_rank()
    padded = torch.zeros(size * dist.get_world_size(), dtype=whole.dtype)
    padded[: whole.numel()] = whole.flatten()
    return padded[rank * size : (rank + 1) * size]
