"""Best of N: the judge's pick among real candidates of a small enhancer."""

import numpy as np
import pytest
import torch

from auricle.enhancers.checkpoint import save_enhancer
from auricle.enhancers.chunks import ChunkConfig, enhance_long
from auricle.enhancers.recording import read_recording, write_recording
from auricle.enhancers.registry import build_enhancer
from auricle.errors import ConfigError, JudgeError
from auricle.judging.panel import JudgeConfig, PanelConfig
from pipelines import enhance
from pipelines.best_of import BestOf, judge_alone
from pipelines.command import load_settings

JUDGE = "tests.judges:BandJudge"
CONFIG = ChunkConfig(chunk_s=1.0, overlap_s=0.25)


@pytest.fixture(scope="module")
def enhancer():
    torch.manual_seed(0)
    return build_enhancer("tf_fusion", {"channels": 4, "width": 16, "video_width": 8, "layers": 1}).eval()


@pytest.fixture(scope="module")
def audio():
    return 0.1 * torch.randn(1, 40_000, generator=torch.Generator().manual_seed(1))


def _best(judge=JUDGE, count=4, *assignments):
    return BestOf(load_settings("tiny", assignments), judge, count)


def test_the_pick_is_the_candidate_that_the_judge_likes_best(enhancer, audio):
    best = _best()
    kept = best(enhancer, audio, None, CONFIG)
    assert len(best.scores) == 4
    assert len(set(best.scores)) == 4
    assert best.picked == int(np.argmax(best.scores))
    plain = _best(count=1)
    assert torch.equal(plain(enhancer, audio, None, CONFIG), enhance_long(enhancer, audio, None, CONFIG))
    assert plain.scores[0] == best.scores[0]
    assert f"kept candidate {best.picked}" in best.told() or best.picked == 0
    assert kept.shape == audio.shape


def test_the_same_seed_draws_the_same_candidates_and_another_seed_others(enhancer, audio):
    one, again, other = _best(), _best(), _best(JUDGE, 4, "run.seed=5")
    kept = [best(enhancer, audio, None, CONFIG) for best in (one, again, other)]
    assert torch.equal(kept[0], kept[1])
    assert one.scores == again.scores
    assert other.scores[0] == one.scores[0]
    assert other.scores[1:] != one.scores[1:]


def test_where_no_candidate_is_judged_there_is_no_pick(enhancer, audio):
    settings = load_settings("tiny")
    failing = JudgeConfig(name="picky", kind="tests.judges:FailingJudge", options={"share": 1.0})
    panel = settings.panel.model_copy(update={"judges": (failing,)})
    best = BestOf(settings.model_copy(update={"panel": panel}), "picky", 2)
    with pytest.raises(JudgeError, match="unparsable: no number in it"):
        best(enhancer, audio, None, CONFIG)


def test_judges_that_read_bring_whom_they_read_and_those_that_compare_are_refused():
    panel = PanelConfig()
    assert [judge.name for judge in judge_alone(panel, "sentiment").judges] == ["listener", "sentiment"]
    assert [judge.name for judge in judge_alone(panel, "dnsmos").judges] == ["dnsmos"]
    with pytest.raises(ConfigError, match="clean reference"):
        judge_alone(panel, "pesq")


def test_the_verb_prints_the_scores(enhancer, tmp_path, capsys):
    checkpoint = save_enhancer(enhancer, tmp_path / "enhancer")
    write_recording(tmp_path / "in.wav", 0.1 * np.random.default_rng(0).standard_normal((2, 22_050)).astype(np.float32), 22_050)
    arguments = [tmp_path / "in.wav", "-o", tmp_path / "out.wav", "--checkpoint", checkpoint, "--best-of", 3, "--judge", JUDGE]
    assert enhance.main([str(argument) for argument in arguments]) == 0
    assert "(plain first); kept" in capsys.readouterr().out
    assert read_recording(tmp_path / "out.wav").audio.shape == (2, 22_050)
    assert enhance.main([str(a) for a in arguments[:-1]] + ["stoi", "--force"]) == 1
    assert "clean reference" in capsys.readouterr().err
