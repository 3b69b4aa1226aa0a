"""An in-process vLLM engine for listeners, on a CPU or a GPU."""

import base64
import importlib
import io
import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
import torch
import torch.distributed as dist

from auricle.errors import EnvironmentSetupError, JudgeError
from auricle.judging.async_engine import AsyncEngine
from auricle.judging.engine_options import EngineOptions
from auricle.judging.shared_engine import SharedEngine
from auricle.listeners.configuration import AuricleListenerConfig

if TYPE_CHECKING:
    from vllm import LLM
    from vllm.v1.engine.async_llm import AsyncLLM

ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    # Standard output is for what a command prints, such as a report in JSON.
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    # Of compiled grammars. A clip's own (gsrm) is of no use after its answers, and vLLM would keep half a gigabyte of them.
    "VLLM_XGRAMMAR_CACHE_MB": "32",
}
"""In-process and quiet; what is set already wins. An engine of several processes is 1.5 to 3 times slower on two cores."""


def start_engine(model: str, revision: str, options: EngineOptions, *, audios: int = 1) -> "LLM":
    """The engine, ready; `audios`: most clips in one prompt. Raises JudgeError where the model cannot be loaded."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        from vllm import LLM
    except ImportError as error:
        raise EnvironmentSetupError(
            f"listener: vLLM is not installed or does not import ({error}); install auricle[cpu] or auricle[gpu]"
        ) from error
    if options.mode != "in_process":
        raise JudgeError(f"listener {model!r}: engine.mode = {options.mode!r} is for judges of the kind `listener`; leave it out here")
    on_gpu = _prepare()
    arguments = _arguments(model, revision, options, audios, on_gpu)
    with _as_a_judges_fault(model):
        return LLM(**arguments)


def open_engine(model: str, revision: str, options: EngineOptions, *, audios: int = 1) -> SharedEngine | AsyncEngine:
    """An engine for several threads that ask at once, in this process or in one of its own (`mode`). Raises as `start_engine`."""
    if options.mode == "in_process":
        return SharedEngine(partial(start_engine, model, revision, options, audios=audios))
    return AsyncEngine(partial(_start_async, model, revision, options, audios))


def _start_async(model: str, revision: str, options: EngineOptions, audios: int) -> "AsyncLLM":
    on_gpu = torch.cuda.is_available()
    # The engine's process is started anew: this one has threads. What `_prepare` does for one's own process cannot reach into that.
    for name, value in (
        {"VLLM_WORKER_MULTIPROC_METHOD": "spawn"} | ({} if on_gpu else {"TORCH_COMPILE_DISABLE": "1"}) | ENVIRONMENT
    ).items():
        os.environ.setdefault(name, value)
    try:
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM
    except ImportError as error:
        raise EnvironmentSetupError(
            f"listener: vLLM is not installed or does not import ({error}); install auricle[cpu] or auricle[gpu]"
        ) from error
    arguments = _arguments(model, revision, options, audios, on_gpu)
    del arguments["use_tqdm_on_load"]  # of LLM alone
    with _as_a_judges_fault(model):
        return AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments))


def _prepare() -> bool:
    """What this process needs before an engine starts in it; whether there is a GPU."""
    on_gpu = torch.cuda.is_available()
    if not on_gpu:
        # vLLM compiles a kernel for `logprob_token_ids` at its first use: 3-9 s, 83 s once on a busy machine, for the same speed.
        importlib.import_module("torch._dynamo").config.disable = True
        _join_alone()
    logging.getLogger("vllm.v1.worker.cpu_worker").addFilter(_is_news)
    return on_gpu


def _arguments(model: str, revision: str, options: EngineOptions, audios: int, on_gpu: bool) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "model": model,
        "dtype": options.dtype if options.dtype != "auto" or on_gpu else "float32",
        "enforce_eager": not on_gpu,
        "max_model_len": options.max_model_len,
        "max_num_seqs": options.max_num_seqs,
        "max_num_batched_tokens": max(options.max_num_batched_tokens, options.max_model_len),
        "limit_mm_per_prompt": {"audio": audios, "image": 0, "video": 0},
        "skip_mm_profiling": not on_gpu,
        # The cache of preprocessed audio keeps gigabytes of clips that never come back (Qwen2.5-Omni#351).
        "mm_processor_cache_gb": 0.1,
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
    }
    if on_gpu:
        arguments["gpu_memory_utilization"] = options.gpu_memory_share
        arguments["tensor_parallel_size"] = options.tensor_parallel
    else:
        arguments["kv_cache_memory_bytes"] = options.cache_mib << 20
        # A seeded prompt that is cut in two asks its generator to go back, which a CPU's cannot: "CPU Generator does not use offset".
        arguments["enable_chunked_prefill"] = False
    if not Path(model).is_dir():
        arguments["revision"] = revision
    return arguments | options.extra


@contextmanager
def _as_a_judges_fault(model: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, RuntimeError, KeyError, NotImplementedError) as error:
        raise JudgeError(f"listener {model!r} does not load in vLLM: {type(error).__name__}: {error}") from error


def _join_alone() -> None:
    """A group of one in memory, which vLLM then takes. Its own would meet in a file, /tmp/vllm_dist_*, that nobody ever removes.

    (Removing it while the process lives is no way out: the next group that is made waits for it for ever.)
    """
    if not dist.is_initialized():
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)


def is_own_listener(model: str) -> bool:
    """Whether a model is a checkpoint of Auricle's own listener. Raises JudgeError for a folder without a model."""
    folder = Path(model)
    if not folder.is_dir():
        if folder.is_absolute() or model.startswith("."):
            raise JudgeError(f"listener {model!r}: no such folder; train one with `auricle calibrate`, or name a model of a hub")
        return False
    if not (folder / "config.json").is_file():
        raise JudgeError(f"listener {model!r}: no config.json there; give the checkpoint's own folder")
    return json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type") == AuricleListenerConfig.model_type


def own_window_s(folder: str) -> float:
    """The window of a checkpoint of Auricle's own listener, in seconds."""
    for name in ("processor_config.json", "preprocessor_config.json"):
        path = Path(folder) / name
        if path.is_file():
            values = json.loads(path.read_text(encoding="utf-8"))
            values = values.get("feature_extractor", values)
            if "clip_s" in values:
                return float(values["clip_s"])
    raise JudgeError(f"listener {folder!r}: its processor files do not say clip_s; was it written by auricle.listeners.checkpoint?")


def answer_messages(question: str, audios: Sequence[np.ndarray], sample_rate_hz: int) -> list[dict[str, Any]]:
    """One user message with audio and a question, in the form of chat interfaces; the model's own template places the audio."""
    parts: list[dict[str, Any]] = []
    for audio in audios:
        buffer = io.BytesIO()
        soundfile.write(buffer, audio, sample_rate_hz, format="WAV", subtype="FLOAT")
        parts.append({"type": "input_audio", "input_audio": {"data": base64.b64encode(buffer.getvalue()).decode(), "format": "wav"}})
    return [{"role": "user", "content": [*parts, {"type": "text", "text": question}]}]


def _is_news(record: logging.LogRecord) -> bool:
    """vLLM warns at every prompt that preprocessing may not change the number of threads. (A filter: its levels are reset later.)"""
    return "set_num_threads" not in str(record.msg)
