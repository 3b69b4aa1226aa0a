"""Sampling answers with the current weights: a vLLM engine whose weights are swapped in place between steps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Float32

from auricle.judging.engine_options import EngineOptions
from auricle.judging.vllm_engine import start_engine
from auricle.listeners.prompts import prompt
from auricle.reasoning.config import AnswerConfig

if TYPE_CHECKING:
    from vllm import LLM


@dataclass(frozen=True)
class Request:
    """One answer that is wanted. features: of the clip, scaled as the model wants them; frames: how many of them hold sound."""

    question: str
    features: Float32[np.ndarray, "mels frames"]
    frames: int
    seed: int


@dataclass(frozen=True)
class Answer:
    """What was sampled: text, token ids (with the end mark, unless it was cut off) and the log-probability of each under the engine."""

    text: str
    ids: tuple[int, ...]
    log_probs: tuple[float, ...]


class AnswerEngine:
    """A vLLM engine that answers questions about prepared clips."""

    def __init__(self, folder: str | Path, config: AnswerConfig, *, keep_prefixes: bool = True) -> None:
        """keep_prefixes: whether vLLM may go on from what it computed for earlier prompts; without, a call's answers are a function of the
        weights and that call's requests to the bit."""
        self._config = config
        self._engine: LLM = start_engine(str(folder), "main", engine_options(config.engine, keep_prefixes=keep_prefixes))

    def swap_weights(self, weights: Mapping[str, Float[np.ndarray, "..."]]) -> None:
        """Take other weights, by the checkpoint's names, in place; forget all that was computed with the old ones.

        Prefixes and audio tokens of the old weights would otherwise be mixed with the new weights' answers, without an error.
        """
        tensors = ((name, torch.from_numpy(np.array(value))) for name, value in weights.items())
        self._engine.collective_rpc("reload_weights", kwargs={"weights_iterator": tensors})
        self._engine.reset_prefix_cache()
        self._engine.reset_mm_cache()
        self._engine.llm_engine.reset_encoder_cache()

    def answers(self, requests: Sequence[Request], *, greedy: bool = False) -> list[Answer]:
        """One answer each, sampled by the request's own seed (whoever else is in the batch), or the most likely one."""
        from vllm import SamplingParams

        sampling = [
            SamplingParams(
                temperature=0.0 if greedy else self._config.temperature,
                max_tokens=self._config.max_tokens,
                seed=request.seed & 0x7FFFFFFF,
                logprobs=0,
            )
            for request in requests
        ]
        prompts: list[Any] = [
            {
                "prompt": prompt(request.question),
                "multi_modal_data": {
                    "audio": {
                        "input_features": torch.from_numpy(request.features)[None],
                        "feature_lengths": torch.tensor([request.frames]),
                    }
                },
            }
            for request in requests
        ]
        return [_answer(output.outputs[0]) for output in self._engine.generate(prompts, sampling, use_tqdm=False)]

    def close(self) -> None:
        """Free the engine."""
        self._engine.llm_engine.engine_core.shutdown()


def engine_options(options: EngineOptions, *, keep_prefixes: bool) -> EngineOptions:
    """The options with what answers for a learner need: log-probabilities under the temperature that was sampled at, as its ratios want
    them; features in the place of audio; and, where a run has to be exact, nothing kept of earlier prompts."""
    extra = {"logprobs_mode": "processed_logprobs", "enable_mm_embeds": True} | options.extra
    if not keep_prefixes:
        extra = extra | {"enable_prefix_caching": False}
    return options.model_copy(update={"extra": extra})


def _answer(output: Any) -> Answer:
    ids = tuple(output.token_ids)
    log_probs = tuple(found[token].logprob for token, found in zip(ids, output.logprobs, strict=True))
    return Answer(output.text, ids, log_probs)
