"""Evaluation: the arithmetic of the table, the scoring of clips, and the verb on a small corpus with real metrics and real enhancers."""

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from auricle.audio import write_audio
from auricle.enhancers.checkpoint import save_enhancer
from auricle.enhancers.registry import build_enhancer
from auricle.errors import ConfigError
from auricle.judging.panel import JudgeConfig, PanelConfig
from auricle.metrics.scoring import check_metrics, score_clip
from auricle.scenes.choice import spread_choice
from auricle.scenes.scene import Scene
from pipelines.evaluate import choose_baseline, main
from pipelines.reporting.evaluation import Evaluation, print_evaluation, read_evaluation
from pipelines.reporting.panel import panel_answer
from pipelines.reporting.runs import enhancers_of, fine_tuned_is
from pipelines.reporting.scores import SceneScores, count_failures, groups_of, interferer_type, snr_band, tabulate
from tests.runs import RATE_HZ, tone, write_run

METRICS = ("stoi", "si_sdr")


def scene(number: int, snr_db: float | None = 0.0, kinds: tuple = ("noise",), speaker: str | None = None) -> Scene:
    return Scene(f"S{number:02d}", "eval", Path("mix.wav"), snr_db=snr_db, interferer_kinds=kinds, speaker=speaker)


def write_corpus(folder: Path, scenes: int = 4, *, without_target: int = 0) -> Path:
    """A corpus in AVSEC-4 layout without pictures: gliding tones in noise, two speakers, two SNRs, two kinds of interferer."""
    records = []
    clips = folder / "eval" / "scenes"
    for number in range(scenes):
        noise = 0.1 if number % 2 else 0.02
        write_audio(clips / f"S{number:05d}_mono_mix.wav", tone(number, noise, 1.2), RATE_HZ)
        if number >= without_target:
            write_audio(clips / f"S{number:05d}_target_mono.wav", tone(number, 0.0, 1.2), RATE_HZ)
        kind = {"type": "noise" if number % 2 else "speech"}
        about = {"SNR": -3.0 if number % 2 else 8.0, "speaker": f"speaker-{number % 3}", "interferers": [kind]}
        records.append({"scene": f"S{number:05d}", **about})
    (folder / "metadata").mkdir()
    (folder / "metadata" / "scenes.eval.json").write_text(json.dumps(records))
    return folder


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two small, untrained enhancers."""
    folders = {}
    for seed, name in enumerate(("pretrained", "ours")):
        torch.manual_seed(seed)
        folders[name] = save_enhancer(build_enhancer("tf_fusion"), tmp_path_factory.mktemp(name))
    return folders


@pytest.fixture(scope="module")
def evaluated(checkpoints: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one evaluation by the verb."""
    corpus = write_corpus(tmp_path_factory.mktemp("corpus"))
    output = tmp_path_factory.mktemp("output")
    assert main(arguments(corpus, checkpoints, output)) == 0
    return output


def arguments(corpus: Path, checkpoints: dict[str, Path], output: Path, metrics: tuple[str, ...] = METRICS) -> list[str]:
    enhancers = [word for name, folder in checkpoints.items() for word in ("--enhancer", f"{name}={folder}")]
    settings = ["--set", f"evaluate.metrics={list(metrics)}", "--set", "evaluate.workers=1", "--set", "evaluate.resamples=200"]
    return ["--scenes", str(corpus), *enhancers, "--no-panel", "--output", str(output), *settings]


def test_the_verb_scores_every_system_on_every_scene(evaluated: Path) -> None:
    rows = list(csv.DictReader((evaluated / "scenes.csv").open()))
    assert [(row["scene_id"], row["system"]) for row in rows] == [
        (f"S{number:05d}", system) for number in range(4) for system in ("noisy", "pretrained", "ours")
    ]
    for row in rows:
        assert 0 < float(row["stoi"]) < 1
        assert row["failures"] == ""
    noisy = {row["scene_id"]: float(row["si_sdr"]) for row in rows if row["system"] == "noisy"}
    assert noisy["S00000"] > noisy["S00001"] + 5
    assert {row["snr_band"] for row in rows} == {"-5 to 0 dB", "5 to 10 dB"}


def test_the_table_is_the_mean_of_the_scenes(evaluated: Path) -> None:
    rows = list(csv.DictReader((evaluated / "scenes.csv").open()))
    evaluation = read_evaluation(evaluated)
    assert evaluation is not None
    assert (evaluation.scenes, evaluation.speakers, evaluation.baseline) == (4, 3, "pretrained")
    column = {system: np.array([float(row["stoi"]) for row in rows if row["system"] == system]) for system in evaluation.systems}
    cell = evaluation.cell("ours", "stoi")
    assert cell is not None
    assert cell.difference is not None
    assert cell.mean == pytest.approx(column["ours"].mean(), rel=1e-5)
    assert cell.difference == pytest.approx((column["ours"] - column["pretrained"]).mean(), abs=1e-5)
    assert cell.difference_low <= cell.difference <= cell.difference_high
    assert evaluation.groups() == [
        ("all", "all"),
        ("snr", "-5 to 0 dB"),
        ("snr", "5 to 10 dB"),
        ("interferer", "noise"),
        ("interferer", "speech"),
    ]
    assert len(list(csv.DictReader((evaluated / "table.csv").open()))) == len(evaluation.cells) == 5 * 3 * 2


def test_the_same_command_gives_the_same_files(evaluated: Path, checkpoints: dict[str, Path], tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus")
    assert main(arguments(corpus, checkpoints, tmp_path / "again")) == 0
    for name in ("table.csv", "scenes.csv"):
        assert (tmp_path / "again" / name).read_bytes() == (evaluated / name).read_bytes()


def test_scenes_without_target_get_what_needs_none(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", scenes=2, without_target=2)
    one = {"pretrained": checkpoints["pretrained"]}
    assert main(arguments(corpus, one, tmp_path / "out", ("stoi", "dnsmos_ovrl"))) == 0
    evaluation = read_evaluation(tmp_path / "out")
    assert evaluation is not None
    assert evaluation.metrics == ("dnsmos_ovrl",)
    assert evaluation.notes == ("2 of 2 scenes have no clean target: for them, of the metrics, only dnsmos_ovrl.",)
    assert evaluation.failures == {}


def test_the_printed_table_fits_a_terminal(evaluated: Path) -> None:
    evaluation = read_evaluation(evaluated)
    assert evaluation is not None
    console = Console(width=80)
    with console.capture() as capture:
        print_evaluation(evaluation, console)
    text = capture.get()
    assert max(map(len, text.splitlines())) <= 80
    for expected in ("4 scenes, 3 speakers", "ours \N{MINUS SIGN} pretrained", "SI-SDR dB", "SNR -5 to 0 dB", "speech"):
        assert expected in text


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "nothing to evaluate"),
        (["--enhancer", "ours"], "expected NAME=FOLDER"),
        (["--enhancer", "noisy=x"], "that name stands for the clips as they are"),
        (["--enhancer", "a=missing", "--baseline", "b"], "--baseline 'b'"),
        (["--enhancer", "a=missing"], "missing"),
        (["--enhancer", "a=x", "--set", 'evaluate.metrics=["mos"]'], "unknown metric mos"),
    ],
)
def test_faults_are_one_clear_line(
    words: list[str], complaint: str, checkpoints: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = write_corpus(tmp_path / "corpus", scenes=1)
    words = [word.replace("a=x", f"a={checkpoints['ours']}") for word in words]
    assert main(["--scenes", str(corpus), "--no-panel", "--output", str(tmp_path / "out"), *words]) == 1
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_failed_score_is_counted_and_never_zero() -> None:
    scores = []
    for number in range(4):
        one = scene(number, speaker=f"p{number}")
        scores.append(SceneScores(one, "base", {"pesq": 2.0 + number}))
        failed = number == 2
        values = {"pesq": None if failed else 2.5 + number}
        scores.append(SceneScores(one, "ours", values, {"pesq": "no utterance"} if failed else {}))
    cell = next(
        cell for cell in tabulate(scores, ("base", "ours"), ("pesq",), "base", snr_band_db=5, resamples=50, seed=0) if cell.system == "ours"
    )
    assert (cell.mean, cell.scenes, cell.failed) == (pytest.approx((2.5 + 3.5 + 5.5) / 3), 3, 1)
    assert cell.difference == pytest.approx(0.5)
    assert cell.clusters == 3
    assert not cell.is_clear
    assert replace(cell, clusters=6).is_clear
    assert count_failures(scores) == {"pesq": {"no utterance": 1}}


def test_a_single_speaker_has_no_interval() -> None:
    scores = [SceneScores(scene(n, speaker="p"), system, {"stoi": 0.5 + n / 10}) for n in range(3) for system in ("base", "ours")]
    cells = tabulate(scores, ("base", "ours"), ("stoi",), "base", snr_band_db=5, resamples=50, seed=0)
    assert math.isnan(cells[1].difference_low or 0.0)
    assert not cells[1].is_clear


@pytest.mark.parametrize(("speakers", "shown"), [("pp", "[n < 3 speakers]"), ("pq", "[n < 3 speakers]"), ("pqr", "[+")])
def test_of_one_or_two_speakers_no_interval_is_shown(speakers: str, shown: str) -> None:
    scores = []
    for number, speaker in enumerate(speakers):
        one = scene(number, speaker=speaker)
        scores += [SceneScores(one, "pretrained", {"stoi": 0.5}), SceneScores(one, "ours", {"stoi": 0.6 + number / 100})]
    cells = tuple(tabulate(scores, ("pretrained", "ours"), ("stoi",), "pretrained", snr_band_db=5, resamples=50, seed=0))
    evaluation = Evaluation(("noisy", "pretrained", "ours"), ("stoi",), "pretrained", len(speakers), len(set(speakers)), cells)
    console = Console(width=100)
    with console.capture() as capture:
        print_evaluation(evaluation, console)
    assert shown in capture.get()


def test_the_table_says_which_checkpoint_is_the_fine_tuned_one(tmp_path: Path) -> None:
    run = write_run(tmp_path, steps=30, samples=0)
    assert fine_tuned_is(run) == "fine-tuned: the best checkpoint by the guard on held-out scenes of the split dev, of step 30."
    assert enhancers_of(run)["fine-tuned"].parent.name == "step-000030"
    (run / "checkpoints" / "best.json").unlink()
    assert fine_tuned_is(run).startswith("fine-tuned: the last checkpoint, of step 30 (on held-out scenes none was the best")


def test_speakers_not_clips_are_drawn() -> None:
    """One speaker's many equal clips must not make the interval narrow."""
    gains = {"p": 1.0, "q": -1.0}
    scores = []
    for number in range(40):
        one = scene(number, speaker="pq"[number % 2])
        scores += [SceneScores(one, "base", {"stoi": 0.0}), SceneScores(one, "ours", {"stoi": gains["pq"[number % 2]]})]
    cell = tabulate(scores, ("base", "ours"), ("stoi",), "base", snr_band_db=5, resamples=500, seed=0)[1]
    assert cell.difference_low <= -1.0
    assert cell.difference_high >= 1.0


@pytest.mark.parametrize(
    ("snr_db", "band"),
    [(-7.2, "-10 to -5 dB"), (-5.0, "-5 to 0 dB"), (0.0, "0 to 5 dB"), (None, "unknown"), (math.nan, "unknown")],
)
def test_snr_bands(snr_db: float | None, band: str) -> None:
    assert snr_band(snr_db, 5.0) == band


def test_groups_run_from_low_to_high_snr_and_need_two() -> None:
    scenes = [scene(0, 7.0, ("speech", "noise")), scene(1, -12.0, ("noise", "speech")), scene(2, None)]
    groups = groups_of(scenes, 5.0)
    assert list(groups)[:4] == [("all", "all"), ("snr", "-15 to -10 dB"), ("snr", "5 to 10 dB"), ("snr", "unknown")]
    assert groups["interferer", "noise + speech"] == ["S00", "S01"]
    assert interferer_type(replace(scenes[0], interferer_kinds=())) == "unknown"
    assert list(groups_of(scenes[:1], 5.0)) == [("all", "all")]


def test_a_clip_without_reference_is_not_asked_for_what_needs_one() -> None:
    answer = score_clip(tone(0, 0.01), None, RATE_HZ, ("pesq", "stoi", "dnsmos_ovrl"))
    assert set(answer.values) == {"dnsmos_ovrl"}
    assert answer.reasons == {}


def test_a_silent_clip_fails_with_reasons() -> None:
    answer = score_clip(np.zeros(RATE_HZ, np.float32), tone(0, 0.0), RATE_HZ, ("pesq", "stoi", "si_sdr"))
    assert answer.values == {"pesq": None, "stoi": None, "si_sdr": None}
    assert all("silent" in reason for reason in answer.reasons.values())


def test_dnsmos_does_not_mind_the_level() -> None:
    audio = tone(0, 0.02, 1.5)
    quiet, loud = (score_clip(gain * audio, None, RATE_HZ, ("dnsmos_ovrl",)).values["dnsmos_ovrl"] for gain in (0.05, 3.0))
    assert quiet == pytest.approx(loud, abs=1e-3)


def test_unknown_metrics_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="unknown metric mos; choose from pesq"):
        check_metrics(["pesq", "mos"])


def test_the_baseline_is_the_pretrained_one_unless_told() -> None:
    assert choose_baseline(None, ("ours", "pretrained")) == "pretrained"
    assert choose_baseline(None, ("a", "b")) == "a"
    assert choose_baseline("noisy", ("a",)) == "noisy"


def test_a_choice_of_scenes_is_spread_and_repeatable() -> None:
    scenes = [scene(number) for number in range(10)]
    assert [one.scene_id for one in spread_choice(scenes[::-1], 4)] == ["S00", "S03", "S06", "S09"]
    assert spread_choice(scenes, 0) == scenes


def test_a_panels_answer_keeps_failures_apart() -> None:
    panel = PanelConfig(judges=(JudgeConfig(name="listener"), JudgeConfig(name="dnsmos", weights={"score": 0.5, "bak": 0.5})))
    heard = {"state": "scored", "score": 3.0, "rationale": "hum", "dimensions": {}}
    scored = {"state": "scored", "score": 2.0, "rationale": "", "dimensions": {"bak": 4.0}}
    answer = panel_answer(panel, {"listener": heard, "dnsmos": scored})
    assert answer.values == {"panel": pytest.approx((3.0 + 1.0 + 2.0) / 2), "listener": 3.0, "dnsmos": 2.0, "dnsmos.bak": 4.0}
    assert answer.words == "hum"
    failed = panel_answer(panel, {"listener": heard, "dnsmos": {"state": "failed", "reason": "timeout", "detail": ""}})
    assert failed.values == {"panel": None, "listener": 3.0, "dnsmos": None, "dnsmos.bak": None}
    assert failed.reasons == {"panel": "failed: dnsmos", "dnsmos": "timeout", "dnsmos.bak": "timeout"}
