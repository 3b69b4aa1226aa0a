"""A real vLLM engine beside transformers: the same folder, the same answers."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from auricle.judging.verdict import Scored
from auricle.listeners.answers import SCORES, expected_score
from auricle.listeners.asking import expected_scores, features_of_audio
from auricle.listeners.assets import default_listener
from auricle.listeners.calibration import ListenerConfig
from auricle.listeners.checkpoint import Listener, load_listener, new_listener, save_listener
from auricle.listeners.prompts import prompt
from auricle.listeners.questions import question
from auricle.listeners.vllm_plugin import register

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shipped() -> Listener:
    return load_listener(default_listener())


@pytest.fixture(scope="module")
def engine() -> Iterator[object]:
    from vllm import LLM

    from auricle.judging.vllm_engine import ENVIRONMENT

    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        yield LLM(
            str(default_listener()),
            dtype="float32",
            enforce_eager=True,
            max_model_len=512,
            max_num_seqs=16,
            max_num_batched_tokens=2048,
            kv_cache_memory_bytes=64 << 20,
            skip_mm_profiling=True,
            limit_mm_per_prompt={"audio": 2, "image": 0, "video": 0},
        )


def requests_of(asked: list[tuple[str, list[np.ndarray]]]) -> list[dict]:
    return [{"prompt": text, "multi_modal_data": {"audio": [(audio, 16_000) for audio in audios]}} for text, audios in asked]


def test_greedy_answers_are_equal_with_one_and_two_audios(engine, shipped: Listener, clips: list[np.ndarray]) -> None:
    from vllm import SamplingParams

    asked = [(prompt(question(task).text), [clip]) for task in ("describe", "artefact", "score") for clip in clips]
    asked += [(prompt(question(task).text, 2), [clips[k], clips[k - 1]]) for task in ("compare", "reference") for k in range(4)]
    outputs = engine.generate(requests_of(asked), SamplingParams(temperature=0.0, max_tokens=64), use_tqdm=False)
    for (text, audios), output in zip(asked, outputs, strict=True):
        inputs = shipped.processor(text=text, audio=audios)
        assert output.prompt_token_ids == inputs["input_ids"][0].tolist()
        made = shipped.model.generate(**inputs, max_new_tokens=64, do_sample=False)[0, inputs["input_ids"].shape[1] :]
        assert list(output.outputs[0].token_ids) == made.tolist()


def test_expected_scores_are_equal_in_one_call(engine, shipped: Listener, clips: list[np.ndarray]) -> None:
    from vllm import SamplingParams

    tokens = {score: shipped.processor.tokenizer.convert_tokens_to_ids(score) for score in SCORES}
    sampling = SamplingParams(temperature=0.0, max_tokens=1, logprob_token_ids=list(tokens.values()))
    asked = question("score")
    outputs = engine.generate(requests_of([(prompt(asked.text), [clip]) for clip in clips]), sampling, use_tqdm=False)
    ours = expected_scores(shipped, asked, *features_of_audio(shipped, clips))
    for output, own in zip(outputs, ours, strict=True):
        found = output.outputs[0].logprobs[0]
        theirs = expected_score({score: found[token].logprob for score, token in tokens.items()})
        assert isinstance(theirs, Scored)
        assert isinstance(own, Scored)
        assert theirs.score == pytest.approx(own.score, abs=1e-3)


def test_a_choice_can_be_enforced(engine, clips: list[np.ndarray]) -> None:
    from vllm import SamplingParams
    from vllm.sampling_params import StructuredOutputsParams

    sampling = SamplingParams(temperature=1.0, max_tokens=4, seed=0, structured_outputs=StructuredOutputsParams(choice=list(SCORES)))
    outputs = engine.generate(requests_of([(prompt("Tell me a story."), [clip]) for clip in clips]), sampling, use_tqdm=False)
    assert all(output.outputs[0].text in SCORES for output in outputs)


def test_a_clip_longer_than_the_window_is_refused_and_the_engine_lives_on(engine, clips: list[np.ndarray]) -> None:
    from vllm import SamplingParams

    sampling = SamplingParams(temperature=0.0, max_tokens=2)
    with pytest.raises(ValueError, match="apply AuricleListenerProcessor"):
        engine.generate(requests_of([(prompt("How?"), [np.zeros(80_000, np.float32)])]), sampling, use_tqdm=False)
    assert engine.generate(requests_of([(prompt("How?"), clips[:1])]), sampling, use_tqdm=False)[0].outputs[0].token_ids


def test_new_weights_are_heard(engine, shipped: Listener, clips: list[np.ndarray], tmp_path: Path) -> None:
    """As a listener that is being trained would hand them over."""
    from vllm import SamplingParams

    sampling = SamplingParams(temperature=0.0, max_tokens=1, logprobs=1)
    requests = requests_of([(prompt(question("score").text), clips[:1])])

    def confidence() -> float:
        (found,) = engine.generate(requests, sampling, use_tqdm=False)[0].outputs[0].logprobs[0].values()
        return math.exp(found.logprob)

    before = confidence()
    changed = load_listener(default_listener())
    with torch.no_grad():
        changed.model.language_model.lm_head.weight.mul_(0.2)
    save_listener(changed, tmp_path)
    for folder, expected_change in ((tmp_path, True), (default_listener(), False)):
        engine.collective_rpc("reload_weights", kwargs={"weights_path": str(folder)})
        engine.reset_prefix_cache()
        engine.reset_mm_cache()
        engine.llm_engine.reset_encoder_cache()
        assert (abs(confidence() - before) > 1e-3) == expected_change


def test_the_plugin_registers_twice_without_harm() -> None:
    from vllm import ModelRegistry

    register()
    register()
    assert "AuricleListenerForConditionalGeneration" in ModelRegistry.get_supported_archs()


@pytest.mark.parametrize("kind", ["ast", "whisper"])
def test_other_encoders_load_and_answer_alike(kind: str, clips: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vllm import LLM, SamplingParams

    from auricle.judging.vllm_engine import ENVIRONMENT

    sizes = {"kind": kind, "hidden_size": 32, "layers": 1, "heads": 2, "intermediate_size": 64}
    save_listener(new_listener(ListenerConfig(encoder=sizes), seed=1), tmp_path)
    made = load_listener(tmp_path)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    other = LLM(
        str(tmp_path),
        dtype="float32",
        enforce_eager=True,
        max_model_len=256,
        max_num_seqs=4,
        max_num_batched_tokens=1024,
        kv_cache_memory_bytes=32 << 20,
        skip_mm_profiling=True,
        limit_mm_per_prompt={"audio": 2, "image": 0, "video": 0},
    )
    asked = [(prompt(question("score").text), [clip]) for clip in clips[:2]] + [(prompt(question("compare").text, 2), clips[2:4])]
    outputs = other.generate(requests_of(asked), SamplingParams(temperature=0.0, max_tokens=6, ignore_eos=True), use_tqdm=False)
    for (text, audios), output in zip(asked, outputs, strict=True):
        inputs = made.processor(text=text, audio=audios)
        ours = made.model.generate(**inputs, max_new_tokens=6, min_new_tokens=6, do_sample=False)[0, inputs["input_ids"].shape[1] :]
        assert list(output.outputs[0].token_ids) == ours.tolist()
