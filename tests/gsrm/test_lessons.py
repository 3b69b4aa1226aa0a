"""Answers are true of what is shown, also of a table that was moved a little; grades that are drawn are right on average."""

from dataclasses import replace

import numpy as np

from auricle.gsrm.answers import answer_text, check_answer, parse_answer
from auricle.gsrm.evidence import CheckConfig
from auricle.gsrm.lessons import Record, true_answer, varied

STRICT = CheckConfig(share_tolerance=0.0, decile_tolerance=0, count_tolerance=0.0)


def test_answers_about_varied_tables_hold_and_the_tables_differ(measured, findings):
    rng = np.random.default_rng(0)
    subjects = ("hiss high", "flatness", "duration", "pitch slope")
    tables = [varied(one, rng) for one in findings]
    for clip, table in zip(measured, tables, strict=True):
        answer = true_answer(Record(clip, 3.0, 2.0, subjects, "test", None), table, rng=rng)
        assert check_answer(answer, table, STRICT) is None
        assert parse_answer(answer_text(answer)) == answer
    moved = [np.abs(table.deciles - one.deciles).max() for table, one in zip(tables, findings, strict=True)]
    assert max(moved) == 1
    assert np.mean(moved) > 0.5
    assert any(table.vowels < one.vowels for table, one in zip(tables, findings, strict=True))


def test_drawn_grades_are_right_on_average(measured, findings):
    rng = np.random.default_rng(0)
    record = Record(measured[0], 3.3, 1.8, (), "test", None)
    drawn = [true_answer(record, findings[0], "judgement", rng=rng) for _ in range(400)]
    assert abs(np.mean([answer.naturalness for answer in drawn]) - 3.3) < 0.1
    assert abs(np.mean([answer.sound for answer in drawn]) - 1.8) < 0.1
    rounded = true_answer(replace(record, naturalness=3.6), findings[0], "judgement")
    assert (rounded.naturalness, rounded.sound) == (4, 2)
