"""A real vLLM engine whose weights are swapped, beside transformers with the same weights: the same answers, the same log-probabilities."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from auricle.judging.engine_options import EngineOptions
from auricle.listeners.assets import default_listener
from auricle.listeners.checkpoint import Listener, load_listener
from auricle.listeners.listener_module import ListenerModule
from auricle.listeners.questions import question
from auricle.listeners.turns import prompt_ids, turns_of_ids
from auricle.reasoning.answering import Answer, AnswerEngine, Request, engine_options
from auricle.reasoning.config import AnswerConfig

TASKS = ("artefact", "score", "describe")


@pytest.fixture(scope="module")
def engine() -> Iterator[AnswerEngine]:
    options = EngineOptions(max_model_len=256, cache_mib=32, max_num_seqs=16)
    started = AnswerEngine(default_listener(), AnswerConfig(engine=options, max_tokens=60))
    yield started
    started.close()


@pytest.fixture(scope="module")
def requests() -> list[Request]:
    rng = np.random.default_rng(0)
    clips = [rng.normal(0, 1, (80, 300)).astype(np.float32).cumsum(1) / 10 for _ in range(2)]
    return [
        Request(question(task).text, clip, frames, seed)
        for seed, task in enumerate(TASKS)
        for clip, frames in zip(clips, (300, 240), strict=True)
    ]


def changed(listener: Listener, seed: int) -> Listener:
    """Other weights, in every part of the model."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in listener.model.parameters():
            parameter.add_(0.03 * parameter.std() * torch.randn(parameter.shape, generator=generator))
    return listener


def greedy(listener: Listener, request: Request, tokens: int = 60) -> list[int]:
    ids = torch.tensor([prompt_ids(request.question, 1, listener.processor)])
    made = listener.model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        input_features=torch.from_numpy(request.features)[None],
        feature_lengths=torch.tensor([request.frames]),
        max_new_tokens=tokens,
        do_sample=False,
    )
    return made[0, ids.shape[1] :].tolist()


def log_probs(listener: Listener, requests: list[Request], answers: list[Answer]) -> list[list[float]]:
    features = torch.from_numpy(np.stack([request.features for request in requests]))
    lengths = torch.tensor([request.frames for request in requests])
    asked = [prompt_ids(request.question, 1, listener.processor) for request in requests]
    turns = turns_of_ids(asked, [list(answer.ids) for answer in answers], [(row,) for row in range(len(requests))], listener.processor)
    with torch.no_grad():
        [values] = ListenerModule(listener.model)(features, lengths, [turns], temperature=AnswerConfig().temperature).log_probs
    table, mask = turns.by_row(values)
    return [row[kept].tolist() for row, kept in zip(table, mask, strict=True)]


def test_an_exact_runs_engine_keeps_no_prefixes_and_says_so_by_names_that_vllm_knows() -> None:
    mine = EngineOptions(extra={"seed": 3})
    plain, exact = (engine_options(mine, keep_prefixes=keep).extra for keep in (True, False))
    assert "enable_prefix_caching" not in plain
    assert exact == plain | {"enable_prefix_caching": False}
    assert EngineOptions(extra=exact).extra["seed"] == 3  # an unknown name would be refused


@pytest.mark.slow
def test_after_a_swap_answers_and_log_probabilities_are_those_of_the_new_weights(engine: AnswerEngine, requests: list[Request]) -> None:
    before = [answer.ids for answer in engine.answers(requests, greedy=True)]
    for seed in (1, 2):
        listener = changed(load_listener(default_listener()), seed)
        engine.swap_weights({name: value.numpy() for name, value in listener.model.state_dict().items()})
        found = engine.answers(requests, greedy=True)
        assert [list(answer.ids) for answer in found] == [greedy(listener, request) for request in requests]
        assert [answer.ids for answer in found] != before
        before = [answer.ids for answer in found]
        sampled = engine.answers(requests)
        for own, theirs in zip(log_probs(listener, requests, sampled), sampled, strict=True):
            np.testing.assert_allclose(theirs.log_probs, own, atol=2e-4)


@pytest.mark.slow
def test_an_answer_depends_on_its_seed_alone(engine: AnswerEngine, requests: list[Request]) -> None:
    together = engine.answers(requests)
    alone = [engine.answers([request])[0] for request in reversed(requests)][::-1]
    assert [answer.ids for answer in together] == [answer.ids for answer in alone]
    others = [Request(one.question, one.features, one.frames, one.seed + 100) for one in requests]
    assert [answer.ids for answer in engine.answers(others)] != [answer.ids for answer in together]
