"""The supervised learner: it learns, it resumes to the bit, and its batch is the same for any number of ranks."""

import numpy as np
import pytest

from actors.supervised import SupervisedLearner
from auricle.errors import LearningError
from auricle.learning.pretraining import PretrainConfig, SupervisedEngineConfig
from auricle.learning.remix import RemixConfig
from tests.talking import talking_scenes

OPTIONS = {"window_samples": 256, "hop_samples": 128, "frame_size_px": 16, "channels": 2, "width": 16, "video_width": 8, "layers": 1}


def config(**values):
    engine = SupervisedEngineConfig(lr=values.pop("lr", 3e-3), zero_stage=values.pop("stage", 0), grad_norm=5.0)
    return PretrainConfig(options=OPTIONS, batch_clips=4, engine=engine, remix=RemixConfig(crop_s=0.6), **values)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return talking_scenes(tmp_path_factory.mktemp("corpus"), 8)


def test_it_learns(scenes):
    learner = SupervisedLearner(config(), scenes, seed=0)
    losses = [learner.train(10, 80)["loss"] for _ in range(8)]
    assert learner.version == 80
    assert np.mean(losses[-2:]) < np.mean(losses[:2]) - 0.02


@pytest.mark.parametrize("stage", [0, 2])
def test_a_resumed_learner_goes_on_to_the_bit(scenes, tmp_path, stage):
    first = SupervisedLearner(config(stage=stage), scenes, seed=1)
    first.train(3, 10)
    first.save(tmp_path / "engine")
    first.train(3, 10)
    second = SupervisedLearner(config(stage=stage), scenes, seed=1)
    second.load(tmp_path / "engine")
    assert second.version == 3
    second.train(3, 10)
    again = second.weights()
    assert all(np.array_equal(value, again[name]) for name, value in first.weights().items())


def test_without_pictures_there_is_no_video_path(scenes):
    learner = SupervisedLearner(config(use_video=False), scenes, seed=0)
    before = learner.weights()
    learner.train(2, 10)
    assert not [name for name in before if name.startswith("video.")]
    assert not np.array_equal(before["head.weight"], learner.weights()["head.weight"])
    assert [name for name in SupervisedLearner(config(), scenes, seed=0).weights() if name.startswith("video.")]


def test_it_starts_from_given_weights(scenes):
    weights = SupervisedLearner(config(), scenes, seed=3).weights()
    again = SupervisedLearner(config(), scenes, seed=4, weights=weights).weights()
    assert all(np.array_equal(value, again[name]) for name, value in weights.items())


def test_a_diverging_run_says_so(scenes):
    weights = {name: np.full_like(value, np.nan) for name, value in SupervisedLearner(config(), scenes, seed=0).weights().items()}
    with pytest.raises(LearningError, match="diverged"):
        SupervisedLearner(config(), scenes, seed=0, weights=weights).train(1, 10)
