"""Made-up tables: their answers are true, each claim is one token that the rendering has too, and what has no truth is not learned."""

import numpy as np
import pytest

from auricle.gsrm.answers import answer_text, check_answer
from auricle.gsrm.drills import drills
from auricle.gsrm.evidence import CheckConfig
from auricle.gsrm.findings import SUBJECT_WORDS
from auricle.gsrm.lessons import Record
from auricle.gsrm.rendering import rendered
from auricle.gsrm.text_model import lesson_tokens, make_tokenizer


@pytest.fixture(scope="module")
def made(measured):
    return drills([Record(measured[0], 3.0, 2.0, ("melody low", "clarity"), "test", None)], 200, seed=0)


@pytest.fixture(scope="module")
def tokenizer(made):
    return make_tokenizer(text for found, answer in made for text in (rendered(found, most_vowels=0), answer_text(answer)))


def test_answers_of_drills_are_true_and_any_bin_is_met(made):
    assert all(check_answer(answer, found, CheckConfig()) is None for found, answer in made)
    deciles = np.stack([found.deciles for found, _ in made])
    assert set(np.unique(deciles)) == set(range(-1, 10))
    said = {claim.subject for _, answer in made for claim in answer.issue}
    assert len(said) > 0.7 * len(SUBJECT_WORDS)


def test_a_claim_is_one_token_and_stands_in_the_rendering(made, tokenizer):
    for found, answer in made:
        shown = set(tokenizer(rendered(found, most_vowels=0))["input_ids"])
        for claim in answer.claims:
            tokens = tokenizer(str(claim), add_special_tokens=False)["input_ids"]
            assert len(tokens) == 1
            assert tokens[0] in shown


def test_a_drill_teaches_evidence_and_nothing_that_it_has_no_truth_for(made, tokenizer):
    asked, answers = (list(texts) for texts in zip(*((rendered(found), answer_text(answer)) for found, answer in made), strict=True))
    for lesson, whole, answer in zip(
        lesson_tokens(tokenizer, asked, answers, quotes=True), lesson_tokens(tokenizer, asked, answers), answers, strict=True
    ):
        learned = tokenizer.decode([token for token, counts in zip(lesson.ids, lesson.learned, strict=True) if counts])
        assert learned.startswith(answer[: answer.index("issue")])
        assert "none" not in learned[learned.index("issue") :]
        assert "judgement" not in learned
        assert "score" not in learned
        assert whole.ids == lesson.ids
        assert sum(whole.learned) == len(whole.ids) - whole.asked
