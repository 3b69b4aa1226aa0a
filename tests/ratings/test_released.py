"""The released answers of SpeechQualityLLM: the published metrics come out, and nothing unreadable is dropped unseen."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auricle.errors import RatingsError
from auricle.judging.verdict import Failed, Scored
from auricle.ratings.released import NAMES, RELEASED_TASKS, ReleasedAnswer, read_answer, read_released, released_metrics

PUBLISHED = {"mae": "mae", "rmse": "rmse", "pearson": "pearson_r", "spearman": "spearman_rho"}


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    return shared_data / "judge_answers_speechqualityllm" / "Reference"


def test_the_published_metrics_come_out(folder: Path) -> None:
    answers = read_released(folder)
    assert len(answers) == 4320
    assert all(read_answer(answer, "published") == Scored(answer.published) for answer in answers)
    published = json.loads((folder / "metrics_all.json").read_text(encoding="utf-8"))
    metrics = released_metrics(answers, "published")
    assert len(metrics) == sum(len(task["dim_metrics"]) for task in published.values()) == 15
    for row in metrics:
        wanted = published[row.task]["dim_metrics"][row.dimension]
        assert (row.n, row.total) == (wanted["n"], wanted["n_total"])
        assert sum(row.failed.values()) == wanted["n_no_number"]
        for name, column in PUBLISHED.items():
            assert row.measures[name] == pytest.approx(wanted[column], abs=1e-9)


def test_read_strictly_contradictions_are_counted(folder: Path) -> None:
    metrics = {(row.task, row.dimension): row for row in released_metrics(read_released(folder), "strict")}
    assert sum(row.total for row in metrics.values()) == 4320
    assert all(row.n + sum(row.failed.values()) == row.total for row in metrics.values())
    assert {key: row.failed for key, row in metrics.items() if row.failed} == {
        ("dim_categ", "noi"): {"contradiction": 1},
        ("dim_categ", "dis"): {"contradiction": 5},
        ("dim_categ", "loud"): {"contradiction": 7},
    }
    assert metrics["dim_categ", "loud"].coverage == pytest.approx(111 / 118)


def test_unreadable_answers_are_counted_under_both_readings() -> None:
    rows = [ReleasedAnswer("mos_numeric", "mos", "", text, 3.0, None) for text in ("4.0", " 3.5", "I cannot tell.", "between 2.1 and 3")]
    (lenient,), (strict,) = released_metrics(rows, "published"), released_metrics(rows, "strict")
    assert (lenient.n, lenient.total, lenient.failed) == (3, 4, {"no_number": 1})
    assert (strict.n, strict.total, strict.failed) == (2, 4, {"unparsable": 2})


@given(st.sampled_from(RELEASED_TASKS), st.sampled_from(tuple(NAMES)), st.text(alphabet="1234567890.=:≈/ MOSoveralnigd", max_size=60))
def test_no_text_raises_or_gives_a_number_of_its_own(task: str, dimension: str, text: str) -> None:
    answer = ReleasedAnswer(task, dimension, "", text, 3.0, None)  # type: ignore[arg-type]
    for reading in ("published", "strict"):
        read = read_answer(answer, reading)  # type: ignore[arg-type]
        assert isinstance(read, Failed) or any(read.score == float(piece) for piece in pieces_of(text))


def pieces_of(text: str) -> list[str]:
    """Every run of digits with at most one point in it."""
    spans = [text[start:end] for start in range(len(text)) for end in range(start + 1, len(text) + 1)]
    return [piece for piece in spans if piece.replace(".", "", 1).isdecimal() and piece[0] != "." and piece[-1] != "."]


def test_a_damaged_file_says_where(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(RatingsError, match=r"predictions_mos_numeric\.csv: no such file"):
        read_released(tmp_path)
    for task in RELEASED_TASKS:
        (tmp_path / f"predictions_{task}.csv").write_bytes((folder / f"predictions_{task}.csv").read_bytes())
    broken = tmp_path / "predictions_mos_numeric.csv"
    broken.write_text(broken.read_text(encoding="utf-8").replace(",4.34615384615385,", ",none,", 1), encoding="utf-8")
    with pytest.raises(RatingsError, match="line 2"):
        read_released(tmp_path)
