"""The five tasks: true answers read back, and whatever else a model may write is Failed."""

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auricle.judging.verdict import Failed, Scored, Span
from auricle.listeners.grammars import CATEGORIES, DECIMALS, category_of, grammar_of
from auricle.listeners.labels import Damage, Labels, make_labels
from auricle.listeners.pairs import question_lessons, training_pairs
from auricle.listeners.pairs_config import PairsConfig
from auricle.listeners.profiles import PROFILES, heard_by
from auricle.listeners.quality import MOS, NISQA_DIMENSIONS, Quality, quality_of, vote_spread
from auricle.listeners.questions import RATED_TASKS, held_out_questions, question, random_question
from auricle.listeners.rated_answers import dimensions_needed, parse_rated, rated_answer
from auricle.listeners.wordings import ABOUT_ONE_DIMENSION, HELD_OUT_WORDINGS, WORDINGS

NOISY = Damage("noise", 0.7, ((0.0, 3.0),))
TORN = Damage("drop-outs", 0.5, ((0.4, 0.6), (1.2, 1.5)))


def labels_of(pesq: float = 2.0, *damages: Damage) -> Labels:
    return make_labels(pesq, damages, 3.0)


def asked(task: str):
    return question(task, "noisiness" if task in ABOUT_ONE_DIMENSION else None)  # type: ignore[arg-type]


ANSWERS = {
    "mos_numeric": "3.4",
    "dim_numeric": "2.0",
    "dim_categ": "good, 4.1",
    "multi_dim": '{"mos": 3.2, "noisiness": 4.1, "coloration": 3.0, "discontinuity": 2.4, "loudness": 4.5}',
    "explanatory": "There is strong noise throughout. It suffers from slight drop-outs from 0.4 to 0.6, 1.2 to 1.5 seconds. "
    "Scores: noisiness 2.1, coloration 4.0, discontinuity 3.0, loudness 4.5, overall 2.4.",
}


def test_answers_come_back_with_their_numbers() -> None:
    assert parse_rated(asked("mos_numeric"), " 3.4\n", 3.0) == Scored(3.4)
    assert parse_rated(asked("dim_categ"), "good, 4.1", 3.0) == Scored(4.1, "good")
    scores = {"mos": 3.2, "noisiness": 4.1, "coloration": 3.0, "discontinuity": 2.4, "loudness": 4.5}
    assert parse_rated(asked("multi_dim"), ANSWERS["multi_dim"], 3.0) == Scored(3.2, dimensions=scores)
    explained = parse_rated(asked("explanatory"), ANSWERS["explanatory"], 3.0)
    assert isinstance(explained, Scored)
    assert explained.score == 2.4
    assert explained.spans == (Span("drop-outs", 0.4, 0.6), Span("drop-outs", 1.2, 1.5))
    assert explained.rationale.startswith("There is strong noise")
    assert explained.dimensions["discontinuity"] == 3.0


@pytest.mark.parametrize("task", ["mos_numeric", "dim_numeric"])
@pytest.mark.parametrize("text", ["", "3", "5.1", "0.9", "3.45", "about 3.4", "3.4 / 5", "3,4", "nan", "٣.٤", "3.4\n4.1", "4.1 3.4"])
def test_only_a_score_with_one_decimal_is_a_score(task: str, text: str) -> None:
    answer = parse_rated(asked(task), text, 3.0)
    assert isinstance(answer, Failed)
    assert answer.reason == "unparsable"


@pytest.mark.parametrize("text", ["good", "4.1", "good, 3.4", "excellent, 4.4", "Good, 4.1", "good 4.1", "good, 4.1.", "fine, 4.1"])
def test_word_and_score_must_agree(text: str) -> None:
    assert isinstance(parse_rated(asked("dim_categ"), text, 3.0), Failed)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        '{"mos": 3.2}',
        ANSWERS["multi_dim"].replace("3.2", "7"),
        ANSWERS["multi_dim"].replace("3.2", "true"),
        ANSWERS["multi_dim"].replace("3.2", "NaN"),
        ANSWERS["multi_dim"].replace("3.2", "null"),
        ANSWERS["multi_dim"].replace("3.2", "3.20e0"),
        ANSWERS["multi_dim"].replace("3.2", '"3.2"'),
        ANSWERS["multi_dim"].replace("3.2", '{"a": 3.2}'),
        ANSWERS["multi_dim"].replace('"mos": 3.2', '"mos": 3.2, "mos": 4.2'),
        ANSWERS["multi_dim"][:-1] + ', "taste": 3.0}',
        ANSWERS["multi_dim"] + ANSWERS["multi_dim"],
        "[" * 100_000,
    ],
)
def test_scores_want_every_dimension_once(text: str) -> None:
    assert isinstance(parse_rated(asked("multi_dim"), text, 3.0), Failed)


@pytest.mark.parametrize(
    "text",
    [
        "Scores: noisiness 2.1, coloration 4.0, discontinuity 3.0, loudness 4.5, overall 2.4.",
        ANSWERS["explanatory"].replace("overall 2.4", "overall 24"),
        ANSWERS["explanatory"].replace(", overall 2.4", ""),
        ANSWERS["explanatory"].replace("0.4 to 0.6", "0.6 to 0.4"),
        ANSWERS["explanatory"].replace("1.2 to 1.5", "3.2 to 3.5"),
        ANSWERS["explanatory"] + " Scores: none.",
        ANSWERS["explanatory"].split("Scores")[0],
    ],
)
def test_explanations_end_in_their_scores(text: str) -> None:
    assert isinstance(parse_rated(asked("explanatory"), text, 3.0), Failed)


@given(st.sampled_from(RATED_TASKS), st.one_of(st.text(), st.integers(0, 40).flatmap(lambda cut: st.just(cut).map(str))))
def test_no_text_raises_or_gives_a_number_of_its_own(task: str, text: str) -> None:
    check_numbers(task, text)


@given(st.sampled_from(RATED_TASKS), st.data())
def test_no_damaged_answer_raises_or_gives_a_number_of_its_own(task: str, data: st.DataObject) -> None:
    text = ANSWERS[task]
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(text)))
        longer = data.draw(st.integers(0, 6))
        text = text[:place] + data.draw(st.text(alphabet='0123456789.,- aegnov"{}:NT\u0663', max_size=5)) + text[place + longer :]
    check_numbers(task, text)


def check_numbers(task: str, text: str) -> None:
    answer = parse_rated(asked(task), text, 3.0)
    if isinstance(answer, Failed):
        assert answer.reason == "unparsable"
        assert answer.detail
        return
    written = {float(number) for number in re.findall(r"[0-9]+(?:\.[0-9]+)?", text)}
    numbers = [answer.score, *answer.dimensions.values()]
    assert all(number in written and 1.0 <= number <= 5.0 for number in numbers)
    assert all(span.start_s in written and (span.end_s in written or span.end_s == 3.0) for span in answer.spans)


def test_every_true_answer_reads_back_and_fits_its_grammar() -> None:
    rng = np.random.default_rng(0)
    truths = [
        labels_of(4.6),
        labels_of(1.3, NOISY, TORN),
        labels_of(2.5, TORN),
        make_labels(None, (Damage("no speech", 1.0, ((0.0, 3.0),)),), 3.0),
    ]
    for truth in [*truths, Quality(dict.fromkeys(NISQA_DIMENSIONS, 3.3), 3.0)]:
        for task in RATED_TASKS:
            one = random_question(task, rng, double_ended=True)
            text = rated_answer(one, quality_of(truth), rng)
            read = parse_rated(one, text, 3.0)
            assert isinstance(read, Scored), (text, read)
            wanted = quality_of(truth).scores[dimensions_needed(one)[0]]
            assert read.score == pytest.approx(wanted, abs=0.051)
            grammar = grammar_of(one)
            if grammar.kind == "regex":
                assert re.fullmatch(grammar.value, text)
            else:
                assert text in grammar.value
            if task == "multi_dim":
                assert list(json.loads(text)) == list(NISQA_DIMENSIONS)


def test_an_explanation_names_what_was_done_and_when() -> None:
    text = rated_answer(question("explanatory"), quality_of(labels_of(1.3, NOISY, TORN)), np.random.default_rng(0))
    assert "strong noise throughout" in text
    assert "noticeable drop-outs from 0.4 to 0.6, 1.2 to 1.5 seconds" in text


def test_labels_in_the_dimensions_of_nisqa() -> None:
    clean, noisy, torn = (quality_of(labels_of(pesq, *damages)).scores for pesq, damages in ((4.6, ()), (1.5, (NOISY,)), (1.5, (TORN,))))
    assert all(clean[name] == 5.0 for name in NISQA_DIMENSIONS[1:])
    assert noisy["noisiness"] == pytest.approx(5 - 4 * 0.7)
    assert noisy["discontinuity"] == 5.0
    assert torn["discontinuity"] == pytest.approx(3.0)
    assert torn["noisiness"] == 5.0


def test_profiles_move_the_truth_by_their_rule() -> None:
    rng = np.random.default_rng(0)
    truth = quality_of(labels_of(2.0, NOISY))
    by = {name: heard_by(name, truth, rng).scores for name in PROFILES}
    assert by["neutral"] == truth.scores
    assert by["strict"][MOS] == pytest.approx(truth.scores[MOS] - vote_spread(truth.scores[MOS]))
    assert by["casual"][MOS] > truth.scores[MOS] > by["hard-of-hearing"][MOS]
    measured = Quality({MOS: 3.0}, 3.0, {MOS: 0.4})
    assert heard_by("strict", measured, rng).scores[MOS] == pytest.approx(2.6)
    votes = [heard_by("vote", measured, rng).scores[MOS] for _ in range(2000)]
    assert np.mean(votes) == pytest.approx(3.0, abs=0.05)
    assert np.std(votes) == pytest.approx(0.4, abs=0.03)
    assert vote_spread(1.0) == vote_spread(5.0) == 0.0


def test_categories_round_halves_up() -> None:
    assert [category_of(score) for score in (1.0, 1.4, 1.5, 2.5, 3.4, 3.5, 4.5, 5.0)] == [
        "very bad", "very bad", "poor", "fair", "fair", "good", "excellent", "excellent",
    ]  # fmt: skip
    assert {category_of(float(score)) for score in DECIMALS} == set(CATEGORIES)


def test_held_out_wordings_are_never_trained_on() -> None:
    for task in RATED_TASKS:
        assert not set(HELD_OUT_WORDINGS[task]) & set(WORDINGS[task])
        dimension = "coloration" if task in ABOUT_ONE_DIMENSION else None
        assert len({one.text for one in held_out_questions(task, dimension)}) == len(HELD_OUT_WORDINGS[task]) >= 2


def test_pairs_ask_only_what_the_truth_can_answer() -> None:
    rng = np.random.default_rng(0)
    only_mos = Quality({MOS: 3.0}, 3.0)
    asked_of = training_pairs([only_mos] * 20 + [labels_of(2.0, NOISY)] * 200, rng)
    assert {pair.asked.task for pair in asked_of[:20]} == {"mos_numeric"}
    assert not any(pair.asked.reference_first for pair in asked_of[:20])
    assert {pair.asked.task for pair in asked_of[20:]} == set(RATED_TASKS)
    assert {pair.asked.profile for pair in asked_of[20:]} == {"neutral", "strict", "casual", "hard-of-hearing"}
    assert any(pair.asked.clips == 2 for pair in asked_of[20:])
    assert all(isinstance(parse_rated(pair.asked, pair.answer, 3.0), Scored) for pair in asked_of)
    with pytest.raises(ValueError, match="none of"):
        training_pairs([only_mos], rng, PairsConfig(tasks={"multi_dim": 1.0}))
    with pytest.raises(ValueError, match="rated task"):
        PairsConfig(tasks={"describe": 1.0})


def test_a_double_ended_question_hears_the_clips_own_reference_first() -> None:
    rng = np.random.default_rng(0)
    lessons = question_lessons([labels_of(2.0, NOISY)] * 60, rng, PairsConfig(double_ended=0.5))
    assert sum(len(lesson.exchanges) for lesson in lessons) == 60
    assert sum(lesson.weight for lesson in lessons) == pytest.approx(1.0)
    audios = [exchange.audios for lesson in lessons for exchange in lesson.exchanges]
    assert sorted(heard[-1] for heard in audios) == list(range(60))
    assert {len(heard) for heard in audios} == {1, 2}
    assert all(heard[0] == 60 + heard[1] for heard in audios if len(heard) == 2)
