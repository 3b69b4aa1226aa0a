"""The judge that asks SpeechQualityLLM's questions: what it asks, how answers become a verdict, and a real engine held to the grammar."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from auricle.errors import ConfigError
from auricle.judging.judge import JudgeClip
from auricle.judging.questions_judge import QuestionsJudge, QuestionsOptions, joined, questions_of
from auricle.judging.registry import check_options, find_judge
from auricle.judging.verdict import Failed, Scored, Span
from auricle.judging.vllm_engine import EngineOptions
from auricle.listeners.checkpoint import ListenerConfig, new_listener, save_listener
from auricle.listeners.questions import question
from auricle.listeners.wordings import HELD_OUT_WORDINGS, RATED_TASKS, WORDINGS

RATE_HZ = 16_000


def test_it_is_registered_and_its_options_are_strict() -> None:
    assert find_judge("questions") is QuestionsJudge
    for options, told in (
        ({"tasks": []}, "tasks is empty"),
        ({"tasks": ["sing"]}, "tasks"),
        ({"dimensions": ["taste"]}, "'taste' is unknown"),
        ({"samples": 4, "temperature": 0.0}, "raise the temperature"),
        ({"profil": "strict"}, "did you mean 'profile'"),
    ):
        with pytest.raises(ConfigError, match=told):
            check_options("questions", options)


def test_it_asks_in_the_trained_wording_and_elsewhere_in_held_out_ones() -> None:
    options = QuestionsOptions(tasks=RATED_TASKS, double_ended=True, profile="strict")  # type: ignore[arg-type]
    asked = questions_of(options, 0)
    assert [one.task for one in asked] == ["mos_numeric", *["dim_numeric"] * 4, *["dim_categ"] * 4, "multi_dim", "explanatory"]
    assert all(one.clips == 2 and one.text.startswith("You are a strict audio engineer.") for one in asked)
    assert asked[0].text.endswith(WORDINGS["mos_numeric"][0])
    for wording in range(1, QuestionsJudge.wordings):
        assert any(questions_of(options, wording)[0].text.endswith(text) for text in HELD_OUT_WORDINGS["mos_numeric"])


def test_answers_become_one_verdict() -> None:
    scores = {"mos": 2.0, "noisiness": 3.0, "coloration": 4.0, "discontinuity": 5.0, "loudness": 5.0}
    verdict = joined(
        [
            (question("mos_numeric"), [Scored(3.0), Scored(4.0), Failed("unparsable", "")]),
            (question("dim_numeric", "noisiness"), [Scored(2.0)]),
            (question("explanatory"), [Scored(2.0, "There is noise.", scores, (Span("noise", 0.0, 1.0),))]),
        ]
    )
    assert isinstance(verdict, Scored)
    assert verdict.score == pytest.approx((3.5 + 2.0) / 2)
    assert verdict.dimensions["noisiness"] == pytest.approx(2.5)
    assert verdict.dimensions["parsed"] == pytest.approx(4 / 5)
    assert verdict.dimensions["spread"] > 0
    assert (verdict.rationale, verdict.spans) == ("There is noise.", (Span("noise", 0.0, 1.0),))
    only = joined([(question("dim_numeric", "noisiness"), [Scored(2.0)])])
    assert only == Scored(None, "", {"noisiness": 2.0})


def test_one_question_without_an_answer_fails_the_verdict() -> None:
    failed = Failed("unparsable", "expected a score from 1.0 to 5.0, got 'good'")
    verdict = joined([(question("mos_numeric"), [Scored(3.0)]), (question("dim_categ", "noisiness"), [failed])])
    assert isinstance(verdict, Failed)
    assert verdict.detail.startswith("dim_categ of noisiness: expected")


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QuestionsJudge]:
    """A listener that has learned nothing, held to the grammars, double-ended."""
    folder: Path = tmp_path_factory.mktemp("untrained")
    save_listener(new_listener(ListenerConfig()), folder)
    tasks = ("mos_numeric", "dim_numeric", "dim_categ", "multi_dim")
    engine = EngineOptions(max_model_len=512, cache_mib=32)
    judge = QuestionsJudge(QuestionsOptions(model=str(folder), tasks=tasks, double_ended=True, samples=2, engine=engine))
    yield judge
    judge.close()


@pytest.mark.slow
def test_even_an_untrained_listener_keeps_to_the_grammar(untrained: QuestionsJudge) -> None:
    rng = np.random.default_rng(0)
    speech = (0.05 * rng.standard_normal(4 * RATE_HZ)).astype(np.float32)
    late = np.concatenate([np.zeros(RATE_HZ // 2, dtype=np.float32), speech])
    clips = [
        JudgeClip("long", speech, RATE_HZ, late),
        JudgeClip("short", speech[:100], RATE_HZ, speech[:100]),
        JudgeClip("alone", speech, RATE_HZ),
    ]
    long, short, alone = untrained.judge(clips)
    assert isinstance(long, Scored), long
    assert set(long.dimensions) == {"mos", "noisiness", "coloration", "discontinuity", "loudness", "spread", "parsed"}
    assert long.dimensions["parsed"] == 1.0
    assert all(1.0 <= long.dimensions[name] <= 5.0 for name in ("mos", "noisiness", "coloration", "discontinuity", "loudness"))
    assert untrained.judge(clips[:1]) == [long]
    assert isinstance(short, Failed)
    assert short.reason == "too_short"
    assert isinstance(alone, Failed)
    assert alone.reason == "no_reference"


@pytest.mark.slow
def test_the_reference_is_moved_onto_the_clip(untrained: QuestionsJudge) -> None:
    rng = np.random.default_rng(1)
    speech = (0.05 * rng.standard_normal(2 * RATE_HZ)).astype(np.float32)
    late = np.concatenate([np.zeros(RATE_HZ // 4, dtype=np.float32), speech])
    aligned = untrained._aligned(JudgeClip("late", speech, RATE_HZ, late))
    assert aligned.reference is not None
    assert len(aligned.reference) == len(speech)
    np.testing.assert_allclose(aligned.reference[:RATE_HZ], speech[:RATE_HZ], atol=1e-6)


@pytest.mark.slow
def test_another_listener_asks_on_the_same_engine(untrained: QuestionsJudge) -> None:
    before = untrained.identity
    untrained.listen_as("casual")
    assert untrained.identity.prompt_hash != before.prompt_hash
    assert untrained.identity.model_hash == before.model_hash
    untrained.listen_as("neutral")
    assert untrained.identity == before
