"""`auricle pretrain` from end to end: two ranks, a resumed run, and what it leaves on disk."""

import json

import pytest
import ray

from auricle.enhancers.checkpoint import load_enhancer
from pipelines.pretrain import main
from tests.talking import talking_scenes

SMALL = [
    "pretrain.options={window_samples=256, hop_samples=128, frame_size_px=16, channels=2, width=8, video_width=4, layers=1}",
    "pretrain.batch_clips=4",
    "pretrain.remix.crop_s=0.5",
    "pretrain.validate_every=2",
    "pretrain.validation_scenes=2",
    "learner_pool.num_cpus=0.1",
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    talking_scenes(folder, 6)
    talking_scenes(folder, 4, split="dev")
    return folder


def arguments(corpus, runs, *more):
    settings = [*SMALL, f"scenes.folder={corpus}", f"run.folder={runs}", "run.name=p", *more]
    return [part for setting in settings for part in ("--set", setting)]


@pytest.mark.slow
def test_two_ranks_train_validate_and_go_on(corpus, tmp_path, capsys):
    ray.shutdown()  # the verb starts its own; the session's comes back with its next user
    runs = tmp_path / "runs"
    two = ("learner_pool.ranks=2", "pretrain.engine.zero_stage=2")
    assert main(arguments(corpus, runs, *two, "pretrain.steps=3")) == 0
    run = runs / "p"
    assert "shuffled picture" in capsys.readouterr().out
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step-000003"]
    assert load_enhancer(run / "best").config.width == 8
    assert main(["--resume", str(run), "--set", "pretrain.steps=4", "--set", f"scenes.folder={corpus}"]) == 0
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 3, 4]
    assert all("dev_pesq" in line for line in lines)
    rows = json.loads((run / "evaluation.json").read_text())
    assert {row["system"] for row in rows} == {"noisy", "enhanced", "shuffled picture", "no picture"}


def test_a_run_that_stands_there_is_not_overwritten(corpus, tmp_path, capsys):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "config.toml").write_text("")
    assert main(arguments(corpus, tmp_path)) == 1
    assert "resume it" in capsys.readouterr().err


def test_a_run_without_a_checkpoint_cannot_be_resumed(tmp_path, capsys):
    assert main(["--resume", str(tmp_path / "nothing")]) == 1
    assert "no config.toml" in capsys.readouterr().err


def test_dry_run_shows_the_section(capsys):
    assert main(["--dry-run"]) == 0
    assert "[pretrain.engine]" in capsys.readouterr().out
