"""`auricle evaluate --judge`: a judge beside people, and the released answers, from the command line."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from auricle.audio import write_audio
from auricle.judging.panel import JudgeConfig
from auricle.ratings.robustness import profile_spread, wording_effects
from pipelines.command import load_settings
from pipelines.evaluate import main
from pipelines.evaluate_judge import judge_config

RATE_HZ = 16_000


@pytest.fixture
def rated(tmp_path: Path) -> Path:
    """Eight tones under more and more noise, rated by a careful listener; one row cannot be used."""
    rng = np.random.default_rng(0)
    lines = ["file,mos,condition"]
    for index in range(8):
        tone = np.sin(2 * np.pi * 300 * np.arange(RATE_HZ) / RATE_HZ)
        write_audio(tmp_path / f"{index}.wav", (0.1 * tone + 0.01 * index * rng.standard_normal(RATE_HZ)).astype(np.float32), RATE_HZ)
        lines.append(f"{index}.wav,{5 - 0.5 * index},c{index % 4}")
    table = tmp_path / "ratings.csv"
    table.write_text("\n".join([*lines, "9.wav,3,c1"]) + "\n", encoding="utf-8")
    return table


def test_a_judge_beside_people(rated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out"
    status = main(["--judge", "tests.judges:BandJudge", "--ratings", str(rated), "--output", str(output), "--set", "evaluate.resamples=50"])
    shown = capsys.readouterr().out
    assert status == 0
    assert "1 of 9 rows left out (1 missing)" in shown
    assert "8 of 8" in shown
    (table,) = output.glob("BandJudge-*.csv")
    with table.open(encoding="utf-8", newline="") as file:
        rows = {(row["level"], row["measure"]): row for row in csv.DictReader(file)}
    assert float(rows["file", "spearman"]["value"]) > 0.95
    assert rows["file", "mae"]["coverage"] == "1.0000"
    assert {level for level, _ in rows} == {"file", "condition"}
    (lines,) = output.glob("BandJudge-*.jsonl")
    assert json.loads(lines.read_text(encoding="utf-8").splitlines()[0])["people"] == {"mos": 5.0}


def test_failures_are_counted_beside_the_figures(rated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--judge", "tests.judges:FailingJudge", "--ratings", str(rated), "--output", str(tmp_path / "out")]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "failed:" in shown
    assert "unparsable; the first: no number in it" in shown


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--judge", "dnsmos"], "Give a table of people's ratings"),
        (["--judge", "dnsmoss", "--ratings", "x.csv"], "did you mean 'dnsmos'"),
        (["--judge", "dnsmos", "--ratings", "x.csv"], "x.csv: no such file"),
        (["--judge", "dnsmos", "--option", "slow=1", "--ratings", "RATED"], "unknown key 'slow'"),
        (["--judge", "tests.judges:BandJudge", "--ratings", "RATED", "--paraphrases"], "one wording only"),
        (["--judge", "tests.judges:BandJudge", "--ratings", "RATED", "--profiles"], "only judges of the kind `questions`"),
    ],
)
def test_what_cannot_be_evaluated_says_so(
    arguments: list[str], told: str, rated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = [str(rated) if word == "RATED" else word for word in arguments]
    assert main([*named, "--output", str(tmp_path / "out")]) == 1
    assert told in capsys.readouterr().err


def test_the_released_answers_in_one_command(shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shared_data / "judge_answers_speechqualityllm" / "Reference"
    assert main(["--answers", str(folder), "--output", str(tmp_path)]) == 0
    assert "111 of 118" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "released.json").read_text(encoding="utf-8"))["strict"]) == 15


def test_a_judge_from_a_file_with_options_on_top(tmp_path: Path) -> None:
    path = tmp_path / "ear.toml"
    path.write_text('kind = "questions"\n[options]\ntasks = ["multi_dim"]\nsamples = 4\n', encoding="utf-8")
    config = judge_config(str(path), ["samples=8"], load_settings("tiny"))
    assert config == JudgeConfig(name="ear", kind="questions", options={"tasks": ["multi_dim"], "samples": 8})
    assert judge_config("sentiment", [], load_settings("tiny")).reads == "listener"


def test_effects_of_wordings_and_profiles() -> None:
    people = np.array([1.0, 2.0, 3.0, 4.0])
    first, other = wording_effects(np.stack([people, people + np.array([0.5, 0.5, np.nan, -0.5])]), people)
    assert (first.difference, first.with_people) == (0.0, 1.0)
    assert (other.clips, other.asked, other.difference) == (3, 4, 0.5)
    spread = profile_spread({"strict": people - 0.5, "casual": people + 0.5}, people, np.array([0.4, 0.5, 0.6, np.nan]))
    assert spread is not None
    assert (spread.clips, spread.spread, spread.people) == (3, pytest.approx(0.5), pytest.approx(0.5))
    assert np.isnan(spread.pearson)
    assert profile_spread({"strict": people}, people, np.full(4, np.nan)) is None
