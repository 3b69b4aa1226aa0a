"""Whether judges fit onto the GPUs that their processes ask for, checked before anything starts: an engine says so only minutes later."""

from typing import Any

from auricle.config import Config
from auricle.errors import ConfigError
from auricle.judging.engine_options import EngineOptions
from auricle.judging.panel import JudgeConfig, PanelConfig
from auricle.judging.registry import check_options, find_judge


def judge_of_kind(kind: str) -> JudgeConfig:
    """A judge of a registered kind, called as that, or of a class by import path, called as its class. Raises ConfigError."""
    reads = "listener" if find_judge(kind).reads else ""
    return JudgeConfig(name=kind.rpartition(":")[2], kind=kind, reads=reads)


def check_judges(config: PanelConfig, *, source: str = "panel") -> dict[str, Config]:
    """Every judge's options by its name, validated, with the GPUs their engines need. Raises ConfigError naming judge, key and cure."""
    options = {
        judge.name: check_options(judge.kind_or_name, judge.options, source=f"{source} judge {judge.name!r}, options")
        for judge in config.judges
    }
    for judge in config.judges:
        engine: Any = getattr(options[judge.name], "engine", None)
        if isinstance(engine, EngineOptions):
            if judge.shared:
                # Found in vLLM's source: EngineCore.shutdown destroys the process's model-parallel groups, which the other engine runs on.
                raise ConfigError(
                    f"{source} judge {judge.name!r} in the shared pool {judge.shared!r}: engines of vLLM cannot live in one process with "
                    "others, since one that is put away takes the others' state with it; give the judge a pool of its own"
                )
            if fault := _fault(engine, judge.num_gpus):
                raise ConfigError(f"{source} judge {judge.name!r}: {fault}")
    return options


def _fault(engine: EngineOptions, num_gpus: float) -> str:
    if num_gpus == 0 and engine.tensor_parallel == 1:
        return ""
    if num_gpus != engine.tensor_parallel and (num_gpus > 1 or engine.tensor_parallel > 1):
        return (
            f"num_gpus = {num_gpus:g}, but options.engine.tensor_parallel = {engine.tensor_parallel}: an engine uses as many whole GPUs "
            "as its model is split over; make them equal"
        )
    share, most = engine.gpu_memory_share, min(num_gpus, 1.0)
    if share > most + 1e-9:
        return (
            f"options.engine.gpu_memory_share = {share:g} is more than the {most:g} of a GPU that is its own (num_gpus = {num_gpus:g}); "
            "the processes beside it would run out of memory. Lower the share, or give more"
        )
    return ""
