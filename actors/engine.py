"""A DeepSpeed engine around any torch module: ranks, optimiser, ZeRO stage, weights and checkpoints.

    join_group -> Engine(module, config) -> forward / backward / step ... -> save / load -> leave_group

Invariants
- Losses passed to `backward` are a rank's share of the global loss: shares are added up over ranks, not averaged.
- `weights`, `save` and `load` are collective: every rank calls them. With the same world size a resumed engine goes on to the bit.
- No compiler is needed: DeepSpeed's CPU operators, which it would build for minutes, are switched off.
"""

import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import uuid
import warnings
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from actors.plain_loading import plain_loading
from auricle.errors import CheckpointError, PoolError
from auricle.learning.config import EngineConfig

STATE_FILE = "engine.json"
_TAG = "engine"
_UNIVERSAL = "universal"
_NO_GROUP = "this process belongs to no group of learner ranks: call actors.engine.join_group first"


def join_group(rank: int, world_size: int, address: str, port: int, *, timeout_s: float, listener: int | None = None) -> None:
    """Make this process rank `rank` of `world_size` (gloo on CPUs, NCCL where there are GPUs). Raises PoolError after `timeout_s`.

    listener: on rank 0, the file descriptor of the socket that `open_port` bound to (address, port), so that no one takes it meanwhile.
    """
    os.environ["LOCAL_RANK"] = "0"  # Ray shows each actor its own device only
    gpu = torch.cuda.is_available()
    os.environ["DS_ACCELERATOR"] = "cuda" if gpu else "cpu"
    if address == "127.0.0.1":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    limit = timedelta(seconds=timeout_s)
    store = dist.TCPStore(address, port, world_size, is_master=rank == 0, timeout=limit, wait_for_workers=False, master_listen_fd=listener)
    try:
        dist.init_process_group("nccl" if gpu else "gloo", store=store, rank=rank, world_size=world_size, timeout=limit)
    except (RuntimeError, ValueError) as error:
        raise PoolError(
            f"learner rank {rank} of {world_size} could not join at {address}:{port} within {timeout_s:.0f} s: {error}"
        ) from error


def join_alone() -> None:
    """A group of one, for a learner as a plain object. Harmless where the process has joined a group already."""
    if not dist.is_initialized():
        address, port, listener = open_port("127.0.0.1")
        join_group(0, 1, address, port, timeout_s=60, listener=listener)


def leave_group() -> None:
    """Undo `join_group`; harmless where there is none."""
    if dist.is_initialized():
        dist.destroy_process_group()


def open_port(address: str) -> tuple[str, int, int]:
    """(address, port, file descriptor) of a fresh listening socket; the caller hands the descriptor to `join_group`."""
    listener = socket.create_server((address, 0))
    return address, listener.getsockname()[1], listener.detach()


def gather_objects(item: Any) -> list[Any]:
    """Every rank's `item`, by rank."""
    items: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(items, item)
    return items


def autocast(device: torch.device | str, precision: str) -> torch.autocast:
    """The context for a network's layers under `precision`."""
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=precision == "bf16")


class Engine:
    """A module, its AdamW, and DeepSpeed between them."""

    def __init__(self, module: nn.Module, config: EngineConfig, groups: list[dict[str, Any]] | None = None) -> None:
        """Needs a group (`join_group`, `join_alone`); the module's parameters on rank 0 become everyone's.

        groups: AdamW's parameter groups, for weight decay and betas of their own; by default all that requires a gradient, in one.
        """
        if not dist.is_initialized():
            raise PoolError(_NO_GROUP)
        self.config = config
        self._engine = _initialise(module, config, groups)
        self.steps = 0

    @property
    def module(self) -> Any:
        """What DeepSpeed calls: use it for forward passes that are followed by `backward`."""
        return self._engine

    @property
    def unwrapped(self) -> nn.Module:
        """The module itself. Under stage 3 its parameters are only whole inside a forward pass."""
        return self._engine.module

    @property
    def device(self) -> torch.device:
        """Where the module lives and its inputs belong."""
        return self._engine.device

    @property
    def world_size(self) -> int:
        """Number of ranks."""
        return dist.get_world_size()

    def backward(self, loss: Tensor) -> None:
        """Gradients of this rank's share of the loss, added up over ranks."""
        # DeepSpeed averages gradients over the ranks; a sum of shares is wanted.
        self._engine.backward(loss * self.world_size)

    def step(self, lr_scale: float = 1.0) -> float:
        """One optimiser step; returns the gradient's norm before it was limited. lr_scale: for schedules, on top of the warm-up."""
        warm = min(1.0, (self.steps + 1) / self.config.warmup_steps) if self.config.warmup_steps else 1.0
        for group in self._engine.optimizer.param_groups:
            group["lr"] = self.config.lr * warm * lr_scale
        gradients = [parameter.grad for parameter in self.unwrapped.parameters() if parameter.grad is not None]
        own_norm = torch.nn.utils.get_total_norm(gradients) if gradients else torch.zeros(())
        self._engine.step()
        self.steps += 1
        norm = self._engine.get_global_grad_norm()  # None where nothing is partitioned, and every rank has the whole gradient
        return float(own_norm if norm is None else norm)

    def weights(self) -> dict[str, np.ndarray]:
        """All parameters and persistent buffers as whole fp32 arrays. Collective."""
        return {name: value.detach().float().cpu().numpy().copy() for name, value in self._whole_tensors()}

    def save(self, folder: Path, **state: Any) -> None:
        """Parameters, optimiser and `state` (JSON) into `folder`, which the caller makes appear under its final name. Collective."""
        (folder / _TAG).mkdir(parents=True, exist_ok=True)  # DeepSpeed makes it on rank 0's node alone
        # The empty entry tells ds_to_universal that nothing is sliced but by ZeRO.
        self._engine.save_checkpoint(str(folder), tag=_TAG, client_state={"universal_checkpoint_info": {}})
        if dist.get_rank() == 0:
            record = {"world_size": self.world_size, "zero_stage": self.config.zero_stage, "steps": self.steps, "state": state}
            (folder / STATE_FILE).write_text(json.dumps(record))
        dist.barrier()

    def load(self, folder: Path) -> dict[str, Any]:
        """Go on from what `save` wrote, at this or another world size; returns its `state`. Raises CheckpointError. Collective."""
        record = read_state(folder)
        if record["zero_stage"] != self.config.zero_stage:
            raise CheckpointError(
                f"{folder}: saved with ZeRO stage {record['zero_stage']}, resumed with {self.config.zero_stage}; set that stage"
            )
        source, tag = folder, _TAG
        universal = record["world_size"] != self.world_size and self.config.zero_stage > 0
        if universal:
            source, tag = _to_universal(folder)
        self._engine._config.load_universal_checkpoint = universal
        with plain_loading(source):
            loaded, _ = self._engine.load_checkpoint(str(source), tag=tag)
        if loaded is None:
            raise CheckpointError(f"{folder}: DeepSpeed found no checkpoint in it; it is incomplete")
        self.steps = record["steps"]
        return record["state"]

    def close(self) -> None:
        """Release DeepSpeed's hooks and buffers."""
        self._engine.destroy()

    def _whole_tensors(self) -> Iterator[tuple[str, Tensor]]:
        from deepspeed.utils import safe_get_full_fp32_param

        partitioned = self.config.zero_stage == 3
        for name, parameter in self.unwrapped.named_parameters():
            yield name, safe_get_full_fp32_param(parameter) if partitioned else parameter
        parameters = dict(self.unwrapped.named_parameters())
        yield from ((name, value) for name, value in self.unwrapped.state_dict().items() if name not in parameters)


def read_state(folder: Path) -> dict[str, Any]:
    """The record beside an engine's checkpoint: world_size, zero_stage, steps, state. Raises CheckpointError."""
    try:
        return json.loads((folder / STATE_FILE).read_text())
    except (FileNotFoundError, json.JSONDecodeError) as error:
        raise CheckpointError(
            f"{folder / STATE_FILE}: missing or unreadable ({error}); the checkpoint is incomplete, take an earlier one"
        ) from error


def _initialise(module: nn.Module, config: EngineConfig, groups: list[dict[str, Any]] | None) -> Any:
    deepspeed = _deepspeed()
    on_cpu = os.environ["DS_ACCELERATOR"] == "cpu"
    trained = groups or [{"params": [parameter for parameter in module.parameters() if parameter.requires_grad]}]
    optimizer = torch.optim.AdamW(trained, lr=config.lr, weight_decay=config.weight_decay)
    settings: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": config.grad_norm,
        "zero_optimization": {"stage": config.zero_stage},
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": 10**9,
    }
    if on_cpu:
        # One bucket the size of the model: the default allocates 2 GB for models of a few MB.
        size = max(1 << 16, sum(parameter.numel() for parameter in module.parameters()))
        size += size % 2  # stages 1 and 2 want it even
        settings["zero_optimization"] |= {"reduce_bucket_size": size, "allgather_bucket_size": size}
    engine, *_ = deepspeed.initialize(model=module, optimizer=optimizer, config=settings, dist_init_required=False)
    return engine


def _deepspeed() -> Any:
    import deepspeed

    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.distributed")  # DeepSpeed's calls, not ours
    # The shared-memory operator is compiled at first use; gloo does the same without a compiler.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.init_distributed(dist_backend=dist.get_backend(), auto_mpi_discovery=False, verbose=False)
    return deepspeed


def is_derived(name: str) -> bool:
    """Whether a file of a checkpoint, by its name below the folder, is made again where it is wanted."""
    return name.partition("/")[0].startswith(_UNIVERSAL)


def _to_universal(folder: Path) -> tuple[Path, str]:
    """Have rank 0 rewrite the checkpoint for any world size, once on each node; answers with where it is, and its tag."""
    failure = [_convert(folder) if dist.get_rank() == 0 else ""]
    dist.broadcast_object_list(failure)
    if not failure[0] and not (folder / _UNIVERSAL).exists():  # a node that has a copy of its own
        failure = [_convert(folder)]
    if failure[0]:
        raise CheckpointError(f"{folder}: cannot be converted for {dist.get_world_size()} ranks: {failure[0]}")
    return folder / _UNIVERSAL, _TAG


def _convert(folder: Path) -> str:
    """Empty where it worked, or was done before; else why not."""
    # A partial of one's own: ranks of several nodes may convert on a disk that they share.
    target, partial = folder / _UNIVERSAL, folder / f"{_UNIVERSAL}-{uuid.uuid4().hex}.tmp"
    if target.exists():
        return ""
    command = [sys.executable, "-m", "actors.plain_loading", "--input_folder", str(folder / _TAG)]
    command += ["--output_folder", str(partial / _TAG), "--num_extract_workers", "1", "--num_merge_workers", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
    if done.returncode:
        return done.stderr.strip()[-500:] or f"exit status {done.returncode}"
    try:
        os.replace(partial, target)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)
        if not target.exists():
            raise
    return ""
