"""The machine's part of a vLLM engine's configuration. Imports neither torch nor vLLM, so that `--help` and `--dry-run` stay quick."""

import ast
import difflib
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt, field_validator

from auricle.config import Config


class EngineOptions(Config):
    """vLLM's engine arguments that depend on the machine; `extra` takes any other by vLLM's name."""

    mode: Literal["in_process", "async"] = "in_process"
    """Where a listener's engine runs. async: vLLM's AsyncLLM, in a process of its own beside the judge's, so that preparing prompts does
    not hold up its steps: for GPUs. Both batch continuously what several calls ask."""
    max_model_len: PositiveInt = 1024
    """Longest prompt and answer together, in tokens (audio tokens included)."""
    max_num_seqs: PositiveInt = 32
    """Sequences in flight."""
    max_num_batched_tokens: PositiveInt = 4096
    """Tokens of one engine step."""
    cache_mib: PositiveInt = 128
    """Memory of the key-value cache on a CPU, in MiB. A GPU uses `gpu_memory_share`."""
    gpu_memory_share: float = Field(default=0.5, gt=0.0, le=1.0)
    """Share of a GPU's memory that the engine may use, 0-1; of each GPU, where it has several."""
    tensor_parallel: PositiveInt = 1
    """GPUs of one machine over which the model is split; the judge's num_gpus has to be the same."""
    dtype: str = "auto"
    """float32 on a CPU, the checkpoint's own on a GPU; or as vLLM names it."""
    extra: dict[str, Any] = {}
    """Further arguments of vllm.LLM, such as {"enable_lora": true}."""

    @field_validator("extra")
    @classmethod
    def _known(cls, extra: dict[str, Any]) -> dict[str, Any]:
        if "tensor_parallel_size" in extra:
            raise ValueError("tensor_parallel_size has a key of its own: tensor_parallel")
        known = vllm_arguments() if extra else frozenset()
        for name in extra if known else ():
            if name not in known:
                near = difflib.get_close_matches(name, sorted(known), n=1)
                raise ValueError(f"vLLM knows no engine argument {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        return extra


@cache
def vllm_arguments() -> frozenset[str]:
    """Names of the installed vLLM's engine arguments, read without importing it; empty where it is not installed."""
    spec = importlib.util.find_spec("vllm")
    path = Path(spec.origin).parent / "engine" / "arg_utils.py" if spec and spec.origin else None
    if path is None or not path.is_file():
        return frozenset()
    classes = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef)]
    fields = [field.target for node in classes if node.name == "EngineArgs" for field in node.body if isinstance(field, ast.AnnAssign)]
    return frozenset(field.id for field in fields if isinstance(field, ast.Name))
