"""Agreement with people: figures by dimension, files and conditions, never without their coverage."""

from pathlib import Path

import numpy as np
import pytest

from auricle.ratings.agreement import Heard, agreement
from auricle.ratings.record import RatedClip


def heard(count: int, *, conditions: int = 6, failed: int = 0) -> list[Heard]:
    rng = np.random.default_rng(0)
    rows = []
    for index in range(count):
        truth = float(rng.uniform(1, 5))
        clip = RatedClip(Path(f"{index}.wav"), {"mos": truth, "bak": 3.0 + index / count}, index + 2, condition=f"c{index % conditions}")
        judged = float(np.clip(truth + rng.normal(0, 0.3), 1, 5))
        scores = {} if index < failed else {"mos": judged, "noisiness": 1.0 + index / count}
        rows.append(Heard(clip, scores, "" if scores else "unparsable"))
    return rows


def test_every_figure_has_its_coverage() -> None:
    tables = {(row.dimension, row.level): row for row in agreement(heard(60, failed=6), resamples=100)}
    assert set(tables) == {("mos", "file"), ("mos", "condition"), ("bak", "file"), ("bak", "condition")}
    files = tables["mos", "file"]
    assert (files.rated, files.parsed, files.coverage) == (60, 54, 0.9)
    assert files.measures["pearson"].rows == 54
    assert files.measures["pearson"].low < files.measures["pearson"].value < files.measures["pearson"].high
    assert files.measures["mae"].value == pytest.approx(0.24, abs=0.1)
    assert (tables["mos", "condition"].rated, tables["mos", "condition"].parsed) == (6, 6)


def test_dimensions_of_other_tests_are_named_as_such() -> None:
    row = next(row for row in agreement(heard(30), resamples=50) if row.dimension == "bak")
    assert row.judged == "noisiness"
    assert row.measures["spearman"].value == pytest.approx(1.0)
    assert row.measures["mae"].value == pytest.approx(2.0)


def test_a_judge_that_failed_everywhere_has_no_figures() -> None:
    assert agreement(heard(10, failed=10)) == []
    (few,) = [row for row in agreement(heard(10, conditions=1, failed=8), resamples=20) if row.dimension == "mos"]
    assert (few.parsed, few.measures) == (2, {})
