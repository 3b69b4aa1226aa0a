"""The machine's part of a vLLM engine's configuration. Imports neither torch nor vLLM, so that `--help` and `--dry-run` stay quick."""

from typing import Any

from pydantic import PositiveInt

from auricle.config import Config


class EngineOptions(Config):
    """vLLM's engine arguments that depend on the machine; `extra` takes any other by vLLM's name."""

    max_model_len: PositiveInt = 1024
    """Longest prompt and answer together, in tokens (audio tokens included)."""
    max_num_seqs: PositiveInt = 32
    """Sequences in flight."""
    max_num_batched_tokens: PositiveInt = 4096
    """Tokens of one engine step."""
    cache_mib: PositiveInt = 128
    """Memory of the key-value cache on a CPU, in MiB. A GPU uses `gpu_memory_share`."""
    gpu_memory_share: float = 0.5
    """Share of a GPU's memory that the engine may use, 0-1."""
    dtype: str = "auto"
    """float32 on a CPU, the checkpoint's own on a GPU; or as vLLM names it."""
    extra: dict[str, Any] = {}
    """Further arguments of vllm.LLM, such as {"tensor_parallel_size": 2, "enable_lora": true}."""
