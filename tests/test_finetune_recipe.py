"""What the enhancer's recipe asks of the scenes before any pool starts."""

from pathlib import Path

import pytest

from actors.stream import plan_stream
from auricle.errors import ConfigError
from auricle.judging.panel import JudgeConfig, PanelConfig
from auricle.learning.advantages import AdvantageConfig
from auricle.learning.config import LearnerConfig
from auricle.learning.schedule import RolloutSchedule
from auricle.scenes.scene import Scene
from pipelines.finetune import inputs
from pipelines.finetune_recipe import enhancer_recipe
from pipelines.finetune_scenes import FinetuneScenes
from pipelines.settings import FinetuneSettings, ScenesSettings, Settings

LABELLED = [Scene(f"labelled-{place}", "train", Path("mix.wav"), target=Path("target.wav")) for place in range(8)]
UNLABELLED = [Scene(f"S{place}", "train", Path("mix.wav")) for place in range(8)]


def recipe(train, dev=LABELLED, **judge):
    panel = PanelConfig(judges=(JudgeConfig(**judge),))
    return enhancer_recipe(Settings(panel=panel, learner=LearnerConfig(anchor_gamma=0.0)), FinetuneScenes(train, dev), "enhancer", "panel")


def test_a_voting_judge_that_compares_refuses_scenes_without_targets():
    for train, dev in ((UNLABELLED + LABELLED, LABELLED), (LABELLED, UNLABELLED)):
        with pytest.raises(ConfigError, match="stoi need clean targets"):
            recipe(train, dev, name="stoi")
    recipe(UNLABELLED + LABELLED, name="stoi", weights={})
    recipe(UNLABELLED, UNLABELLED, name="listener")


def test_a_double_ended_listener_is_given_targets():
    plan = plan_stream(RolloutSchedule(0, 8, 8, 4), 0, 1, 1, 1)
    for options, given in (({"double_ended": True}, True), ({}, False)):
        rollouts, _ = recipe(LABELLED, name="listener", options=options).stages(plan, None, None)
        assert rollouts.keywords["with_target"] is given


def test_a_penalty_that_two_samples_cannot_feel_is_refused():
    panel = PanelConfig(judges=(JudgeConfig(name="listener"), JudgeConfig(name="dnsmos")))
    learner = LearnerConfig(anchor_gamma=0.0, advantages=AdvantageConfig(disagreement_penalty=1.0))
    for samples in (3, 2):
        settings = Settings(panel=panel, learner=learner, finetune=FinetuneSettings(samples_per_scene=samples))
        if samples == 3:
            enhancer_recipe(settings, FinetuneScenes(LABELLED, LABELLED), "enhancer", "panel")
            continue
        with pytest.raises(ConfigError, match="does nothing to 2 samples"):
            enhancer_recipe(settings, FinetuneScenes(LABELLED, LABELLED), "enhancer", "panel")


def test_every_node_has_to_find_the_labelled_corpus_too():
    settings = Settings(scenes=ScenesSettings(folder=Path("new"), labelled=Path("old")))
    assert inputs(settings) == [Path("new").absolute(), Path("old").absolute()]
