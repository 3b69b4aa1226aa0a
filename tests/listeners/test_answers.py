"""Questions, true answers, and parsers that never guess."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auricle.judging.verdict import Failed, Scored, Span
from auricle.listeners.answers import (
    ArtefactAnswer,
    artefact_text,
    expected_score,
    parse_answer,
    parse_artefact,
    parse_choice,
    parse_description,
    parse_score,
    score_text,
    true_answer,
)
from auricle.listeners.descriptions import VERDICTS, describe
from auricle.listeners.labels import ARTEFACTS, DIMENSIONS, Damage, Labels, make_labels
from auricle.listeners.questions import CORE_TASKS, TASKS, all_questions, question, random_question


def labels_of(pesq: float = 2.0, *damages: Damage) -> Labels:
    return make_labels(pesq, damages, 3.0)


@pytest.mark.parametrize("text", ["", "6", "0", "3.5", "3 4", "three", "Score: 3", "3.", "33", "-3", "٣"])
def test_only_one_digit_from_1_to_5_is_a_score(text: str) -> None:
    answer = parse_score(text)
    assert isinstance(answer, Failed)
    assert answer.reason == "unparsable"
    assert repr(text) in answer.detail


def test_scores_round_to_their_expectation() -> None:
    rng = np.random.default_rng(0)
    drawn = [parse_score(score_text(3.3, rng)) for _ in range(4000)]
    scores = [answer.score for answer in drawn if isinstance(answer, Scored)]
    assert len(scores) == 4000
    assert np.mean(scores) == pytest.approx(3.3, abs=0.03)
    assert set(scores) == {3.0, 4.0}
    assert {score_text(5.0, rng) for _ in range(20)} == {"5"}


@pytest.mark.parametrize("artefact", ARTEFACTS)
def test_artefact_answers_read_back(artefact: str) -> None:
    spans = ((0.4, 0.6), (1.25, 2.0)) if artefact == "drop-outs" else ((0.0, 3.0),)
    damage = Damage(artefact, 0.8, spans)  # type: ignore[arg-type]
    answer = parse_artefact(artefact_text(labels_of(2.0, damage)), 3.0)
    assert isinstance(answer, ArtefactAnswer)
    assert answer.artefact == artefact
    assert [(span.start_s, span.end_s) for span in answer.spans] == [(round(a, 1), round(b, 1)) for a, b in spans]


def test_a_clip_without_audible_damage_has_no_artefact() -> None:
    assert artefact_text(labels_of(4.6, Damage("noise", 0.05, ((0.0, 3.0),)))) == "none"
    assert parse_artefact("none", 3.0) == ArtefactAnswer(None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "noise",
        "noise: 0.0-3.0",
        "hiss: 0.0-3.0 s",
        "noise: 2.0-1.0 s",
        "noise: 3.1-3.4 s",
        "noise: 0-3 s",
        "noise: 0.0-1.0 s. none",
        "None",
    ],
)
def test_malformed_artefacts_fail(text: str) -> None:
    assert isinstance(parse_artefact(text, 3.0), Failed)


def test_spans_are_cut_at_the_clips_end() -> None:
    assert parse_artefact("noise: 1.0-3.0 s", 2.5) == ArtefactAnswer("noise", (Span("noise", 1.0, 2.5),))


def test_choices_and_descriptions() -> None:
    assert parse_choice(" first\n") == "first"
    assert isinstance(parse_choice("the first"), Failed)
    assert parse_description(" It is good. ") == "It is good."
    for cut_off in ("", "It is", "4", "4."):
        assert isinstance(parse_description(cut_off), Failed)


def test_the_expected_score_is_the_mean_of_the_distribution() -> None:
    answer = expected_score({"1": np.log(0.1), "2": np.log(0.2), "3": np.log(0.4), "4": np.log(0.1), "5": np.log(1e-9)})
    assert isinstance(answer, Scored)
    assert answer.score == pytest.approx((0.1 + 0.4 + 1.2 + 0.4) / 0.8)
    assert answer.dimensions["mass"] == pytest.approx(0.8)


def test_a_distribution_off_the_scale_is_no_score() -> None:
    assert isinstance(expected_score({str(score): np.log(0.05) for score in range(1, 6)}), Failed)
    assert isinstance(expected_score({"1": 0.0}), Failed)
    assert isinstance(expected_score({str(score): float("nan") for score in range(1, 6)}), Failed)


def test_words_carry_the_score_on_average() -> None:
    rng = np.random.default_rng(0)
    for pesq in (1.1, 1.8, 3.0, 4.5):
        labels = labels_of(pesq)
        ranks = []
        for _ in range(300):
            text = describe(labels, rng)
            last = max((verdict for verdict in VERDICTS if text.endswith(f" {verdict}.")), key=len)
            ranks.append(VERDICTS.index(last))
        assert 1 + 4 * np.mean(ranks) / (len(VERDICTS) - 1) == pytest.approx(labels.quality, abs=0.1)


def test_descriptions_name_what_was_done() -> None:
    damages = Damage("drop-outs", 0.9, ((0.5, 0.7), (1.4, 1.6))), Damage("noise", 0.5, ((1.0, 2.0),))
    text = describe(labels_of(1.5, *damages), np.random.default_rng(0))
    assert "at 0.5 and 1.4 seconds" in text
    assert "from 1.0 to 2.0 seconds" in text
    assert parse_description(text) == text


def test_every_question_has_an_answer_that_parses() -> None:
    rng = np.random.default_rng(0)
    better, worse = labels_of(4.0), labels_of(1.2, Damage("clipping", 0.9, ((0.0, 3.0),)))
    for task in TASKS:
        asked = random_question(task, rng)
        text = true_answer(asked, worse, rng, better)
        assert not isinstance(parse_answer(asked, text, 3.0), Failed)
    assert true_answer(question("compare"), worse, rng, better) == "first"
    assert true_answer(question("compare"), better, rng, worse) == "second"


def test_questions_are_distinct_and_name_their_dimension() -> None:
    texts = [asked.text for asked in all_questions()]
    assert len(texts) == len(set(texts))
    for name in DIMENSIONS:
        assert name in question("dimension", name).text
    with pytest.raises(ValueError, match="no dimension 'taste'"):
        question("dimension", "taste")
    with pytest.raises(ValueError, match="goes with"):
        question("score", "noise")


TEXTS = st.one_of(
    st.text(max_size=40),
    st.text(alphabet="0123456789.,:-s nodriptuceagfh!?\u0663\n", max_size=60),
    st.sampled_from(["noise: 0.4-1.2 s", "drop-outs: 0.4-0.6, 1.2-1.3 s", "none", "first", "second", "3", "It is good."]).flatmap(
        lambda text: st.tuples(st.integers(0, len(text)), st.text(max_size=2), st.integers(0, 3)).map(
            lambda cut: text[: cut[0]] + cut[1] + text[cut[0] + cut[2] :]
        )
    ),
)


@given(TEXTS, st.sampled_from(CORE_TASKS), st.floats(0.3, 12.0))
def test_no_text_raises_or_gives_a_number_of_its_own(text: str, task: str, duration_s: float) -> None:
    asked = question(task, "noise" if task == "dimension" else None)  # type: ignore[arg-type]
    answer = parse_answer(asked, text, duration_s)
    written = {float(number) for number in re.findall(r"[0-9]+(?:\.[0-9]+)?", text)}
    if isinstance(answer, Failed):
        assert answer.reason == "unparsable"
    elif isinstance(answer, Scored):
        assert answer.score in written
        assert answer.score in {1.0, 2.0, 3.0, 4.0, 5.0}
    elif isinstance(answer, ArtefactAnswer):
        assert all(0 <= span.start_s < span.end_s <= duration_s for span in answer.spans)
        assert all(span.start_s in written and (span.end_s in written or span.end_s == duration_s) for span in answer.spans)
    else:
        assert answer == text.strip()


@given(st.dictionaries(st.sampled_from(["1", "2", "3", "4", "5", "6", ""]), st.floats(), max_size=6))
def test_no_probabilities_raise_or_give_a_score_off_the_scale(log_probabilities: dict[str, float]) -> None:
    answer = expected_score(log_probabilities)
    if isinstance(answer, Failed):
        assert answer.reason == "unparsable"
        return
    assert answer.score is not None
    assert 1.0 <= answer.score <= 5.0
    assert 0.5 <= answer.dimensions["mass"] <= 1.001


@given(st.lists(st.floats(-6.0, 0.0), min_size=5, max_size=5))
def test_expected_scores_are_means_of_the_five(logits: list[float]) -> None:
    masses = np.exp(logits) / np.exp(logits).sum()
    answer = expected_score(dict(zip("12345", np.log(masses), strict=True)))
    assert isinstance(answer, Scored)
    assert answer.score == pytest.approx(float(masses @ np.arange(1, 6)), abs=1e-6)
