"""The answers' grammar and parser: every text is an answer or Failed, and no number comes from anywhere but the score's line."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from auricle.gsrm.answers import Answer, answer_text, check_answer, grammar, grounded_grammar, parse_answer
from auricle.gsrm.evidence import LARGEST_COUNT, SHARES, CheckConfig, Claim, clip_claim, contradiction, notable, ordinary, vowel_claim
from auricle.gsrm.features import CLIP_MEASURES
from auricle.gsrm.findings import SUBJECT_WORDS, VOWEL_SUBJECTS
from auricle.gsrm.judge import GsrmOptions, decoding_grammar
from auricle.gsrm.lessons import Record, true_answer
from auricle.gsrm.method import Method
from auricle.gsrm.rendering import instructions, rendered
from auricle.judging.verdict import Failed

CHECK = CheckConfig()
FORMS = ("evidence", "judgement", "score")

CLAIMS = st.sampled_from(
    [Claim(subject, word, share) for subject in VOWEL_SUBJECTS for word in SUBJECT_WORDS[subject] for share in SHARES]
    + [Claim(subject, word) for subject in CLIP_MEASURES for word in SUBJECT_WORDS[subject]]
)
SCORES = st.integers(10, 50).map(lambda tenths: tenths / 10)
SECTION = st.lists(CLAIMS, max_size=3).map(tuple)
GRADES = st.integers(1, 5)
ANSWERS = st.one_of(
    st.builds(Answer, SCORES),
    st.builds(Answer, SCORES, GRADES, GRADES),
    st.builds(Answer, SCORES, GRADES, GRADES, st.integers(0, 99), SECTION, SECTION, SECTION, SECTION),
)


def _form(answer):
    return "evidence" if answer.vowels is not None else "judgement" if answer.naturalness is not None else "score"


@given(ANSWERS)
def test_an_answer_is_read_as_it_was_written(answer):
    text = answer_text(answer)
    assert re.fullmatch(grammar(_form(answer)), text)
    assert parse_answer(text, _form(answer)) == answer
    assert parse_answer(f"\n {text} \n", _form(answer)) == answer


@given(SECTION, SECTION)
def test_a_claim_that_is_made_twice_is_one_piece_of_evidence(context, issue):
    claims = Answer(2.0, 3, 2, 7, context, (), issue, issue).claims
    assert len(claims) == len(set(claims))
    assert set(claims) == {*context, *issue}


@given(st.lists(CLAIMS, max_size=6, unique=True), st.integers(0, 200), st.integers(0, 3))
def test_a_grounded_grammar_has_the_answers_that_say_nothing_else(claims, vowels, place):
    pattern = re.compile(grounded_grammar(claims[1:], vowels))
    own = Answer(2.5, 3, 2, min(vowels, LARGEST_COUNT), tuple(claims[1:4]), tuple(claims[2:5]), (), tuple(claims[4:]))
    assert pattern.fullmatch(answer_text(own))
    assert parse_answer(answer_text(own)) == own
    assert not pattern.fullmatch(answer_text(replace(own, vowels=own.vowels - 1 if own.vowels else 1)))
    for stranger in claims[:1]:
        section = ("context", "sounds", "positive", "issue")[place]
        assert not pattern.fullmatch(answer_text(replace(own, **{section: (stranger,)})))


@pytest.mark.parametrize(("pitch", "way"), [(True, "read"), (False, "read"), (True, "listen")])
@pytest.mark.parametrize("measures", [CLIP_MEASURES, CLIP_MEASURES[:10]])
def test_a_clips_grammar_has_the_claims_that_stand_in_its_rendering_and_no_others(findings, norms, pitch, way, measures):
    method = Method(norms=norms.model_copy(update={"measures": measures}), pitch=pitch, most_vowels=0)
    for found in findings[:20]:
        pattern = re.compile(decoding_grammar(found, method, GsrmOptions(way=way, model="one that hears or reads")))
        head, *lines = rendered(found, **method.shown).split("\n")
        quoted = [re.sub(r" \d$", "", part) for line in lines for part in line.split("; ") if not part.endswith(" none")]
        said = [
            f"{subject} {word}{share}"
            for subject, words in SUBJECT_WORDS.items()
            for word in words
            for share in ([""] if subject in CLIP_MEASURES else [f" in {name} vowels" for name in SHARES])
        ]
        empty = answer_text(Answer(2.5, 3, 2, found.vowels))
        fits = [claim for claim in said if pattern.fullmatch(empty.replace("issue: none", f"issue: {claim}"))]
        assert sorted(fits) == sorted(quoted)
        assert f"{found.vowels} vowels" in head


def test_more_vowels_than_can_be_told_contradict_nothing(findings):
    many = replace(findings[0], bins=np.repeat(findings[0].bins, 130, axis=0))
    assert many.vowels > 110
    answer = true_answer(Record(None, 2.2, 4.4, (), "", None), many)  # type: ignore[arg-type]
    assert answer.vowels == LARGEST_COUNT
    assert check_answer(answer, many, CHECK) is None
    assert isinstance(check_answer(replace(answer, vowels=80), many, CHECK), Failed)


def test_what_cannot_be_grounded_says_so():
    GsrmOptions(constrained=False)
    with pytest.raises(ValidationError, match="grounded = true needs"):
        GsrmOptions(grounded=True, constrained=False)
    with pytest.raises(ValidationError, match="needs a model that hears"):
        GsrmOptions(way="listen")


@given(st.text(), st.sampled_from(FORMS))
def test_any_text_is_an_answer_or_failed(text, form):
    assert isinstance(parse_answer(text, form), Failed)


@settings(max_examples=200)
@given(ANSWERS, st.data())
def test_a_spoilt_answer_fails_or_says_what_stands_there(answer, data):
    text = answer_text(answer)
    place = data.draw(st.integers(0, len(text) - 1))
    piece = data.draw(st.one_of(st.text(max_size=3), st.sampled_from(["9", "5.0", "score: 5.0", "none", "\n", "; ", "٣"])))
    cut = data.draw(st.integers(0, 3))
    spoilt = text[:place] + piece + text[place + cut :]
    found = parse_answer(spoilt, _form(answer))
    if isinstance(found, Failed):
        assert found.reason == "unparsable"
    else:
        assert spoilt.strip().endswith(f"score: {found.score:.1f}")
        assert answer_text(found) == spoilt.strip()


@pytest.mark.parametrize(
    "text", ["4.5", "score: 6.0", "score: 4.55", "score: 4", "score: 5.1", "Score: 4.0", "score: 4.0.", "I rate it score: 4.0"]
)
def test_what_is_nearly_a_score_is_none(text):
    assert isinstance(parse_answer(text, "score"), Failed)


def test_true_claims_are_borne_out_and_their_contraries_are_not(findings):
    for found in findings:
        for claim in [claim for _, claim in notable(found)] + ordinary(found):
            assert contradiction(claim, found, CHECK) == ""
    found = next(one for one in findings if 0.7 < one.share("duration", "usual") < 0.8 and one.share("duration", "lowest") < 0.1)
    assert contradiction(Claim("duration", "lowest", "most"), found, CHECK)
    assert contradiction(Claim("duration", "usual", "few"), found, CHECK)
    assert not contradiction(Claim("duration", "usual", "most"), found, CHECK)


def test_a_measure_may_be_off_by_one_decile_and_no_more(findings):
    found = next(one for one in findings if one.decile("noise") == 5)
    assert contradiction(Claim("noise", "usual"), found, CHECK) == ""
    assert contradiction(Claim("noise", "high"), found, CHECK) == "noise high: measured in decile 5 of 0-9"
    assert contradiction(Claim("noise", "high"), found, CheckConfig(decile_tolerance=2)) == ""


def test_evidence_of_another_clip_contradicts(findings):
    """The check can fail: answers about one clip, held against another."""
    record = Record(None, 3.0, 3.0, ("melody", "clarity", "duration", "dynamics", "noise"), "", None)  # type: ignore[arg-type]
    answers = [true_answer(record, found) for found in findings]
    assert all(check_answer(answer, found, CHECK) is None for answer, found in zip(answers, findings, strict=True))
    swapped = [check_answer(answer, found, CHECK) for answer, found in zip(answers, findings[1:], strict=False)]
    assert sum(isinstance(one, Failed) and one.reason == "contradicts_evidence" for one in swapped) > 0.9 * len(swapped)


def test_a_wrong_count_contradicts(findings):
    found = findings[9]
    assert check_answer(Answer(3.0, 3, 3, found.vowels + 1), found, CHECK) is None
    fault = check_answer(Answer(3.0, 3, 3, found.vowels + 5), found, CHECK)
    assert isinstance(fault, Failed)
    assert f"measured {found.vowels}" in fault.detail


def test_true_answers_parse_in_every_form_and_need_no_pitch(findings):
    record = Record(None, 2.2, 4.4, ("melody low", "clarity low"), "", None)  # type: ignore[arg-type]
    for found in findings[:20]:
        for form in FORMS:
            answer = true_answer(record, found, form)
            assert parse_answer(answer_text(answer), form) == answer
        plain = true_answer(record, found, pitch=False)
        assert not any("pitch" in str(claim) or claim.subject in ("melody", "voice") for claim in plain.claims)
        assert "pitch" not in rendered(found, pitch=False)


def test_the_example_in_the_instructions_is_an_answer():
    for form in FORMS:
        told = instructions(form)
        assert all(f"{name} is " in told for name in CLIP_MEASURES)
        start = told.rindex({"evidence": "context:", "judgement": "judgement:", "score": "score:"}[form])
        assert isinstance(parse_answer(told[start:], form), Answer)
    assert "listen" in instructions("evidence", "listen").lower()


@pytest.mark.parametrize("way", ["read", "listen"])
def test_without_pitch_nobody_is_told_to_speak_of_it(way):
    told = instructions("evidence", way, pitch=False, most_vowels=0)
    assert not re.search("pitch|melody|slope|Hz|voice missing", told)
    assert isinstance(parse_answer(told[told.rindex("context:") :]), Answer)


def test_a_rendering_names_every_vowel_up_to_its_limit(findings):
    found = max(findings, key=lambda one: one.vowels)
    shares = len(rendered(found, most_vowels=0).splitlines())
    assert len(rendered(found).splitlines()) == shares + 1 + found.vowels
    assert len(rendered(found, most_vowels=5).splitlines()) == shares + 1 + 5
    claim = vowel_claim(found, "intensity", "usual")
    assert claim is not None
    assert str(claim).startswith("intensity usual in ")
    assert clip_claim(found, "noise") is not None
