"""The rollout stage's rows: what becomes of scenes that cannot be loaded, are quarantined, or of which the enhancer makes no numbers."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from actors.gate import Passed
from actors.rollout import NO_NUMBERS, RolloutStage
from actors.settings import RolloutConfig
from auricle.audio import write_audio
from auricle.learning.quarantine import QUARANTINED
from auricle.learning.schedule import RolloutSchedule
from auricle.learning.staleness import StalenessConfig
from auricle.scenes.scene import Scene
from tests.actors.rows import CLIP_S, EXPLORATION, SAMPLE_RATE_HZ, small_enhancer

SCENES, SAMPLES = 4, 2


class Ungated(RolloutStage):
    """With the weights it was built with."""

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self._gate = SimpleNamespace(wait=lambda step: Passed(self._version, None, 0.0), newest=lambda step, passed: passed)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_enhancer(tmp_path_factory.mktemp("enhancer"))


@pytest.fixture
def scenes(tmp_path):
    for scene in range(SCENES):
        noise = np.random.default_rng(scene).normal(0, 0.1, round(CLIP_S * SAMPLE_RATE_HZ))
        write_audio(tmp_path / f"S{scene}.wav", noise, SAMPLE_RATE_HZ)
    return [Scene(f"S{scene}", "train", tmp_path / f"S{scene}.wav") for scene in range(SCENES)]


def stage(folder, scenes):
    return Ungated(
        RolloutConfig(clip_s=CLIP_S),
        RolloutSchedule(0, SCENES, SCENES, SAMPLES),
        scenes,
        str(folder),
        EXPLORATION,
        None,
        None,
        first_block=0,
        rows_per_block=SCENES * SAMPLES,
        staleness=StalenessConfig(),
        with_target=False,
        with_reference=True,
    )


def rows_by_scene(rows):
    return {scene: np.flatnonzero(rows["scene_id"] == scene) for scene in rows["scene_id"]}


def test_what_cannot_be_heard_or_is_left_out_changes_no_other_row(folder, scenes):
    block = {"id": np.array([0])}
    whole = stage(folder, scenes)(block)
    assert set(whole["fault"]) == {""}
    scenes[1].mix.unlink()
    broken = stage(folder, scenes)
    broken._quarantined = frozenset({"S2"})
    rows = broken(block)
    assert rows.keys() == whole.keys()
    assert rows["rollout_id"].tolist() == whole["rollout_id"].tolist()
    place = rows_by_scene(rows)
    assert all(fault.startswith("scene: ") for fault in rows["fault"][place["S1"]])
    assert set(rows["fault"][place["S2"]]) == {QUARANTINED}
    for scene in ("S0", "S3"):
        for name in ("mix", "enhanced", "action", "action_mean", "reference_mean"):
            np.testing.assert_allclose(rows[name][place[scene]], whole[name][place[scene]], atol=1e-5, err_msg=name)
        assert [len(rows["reference_enhanced"][row]) > 0 for row in place[scene]] == [True, False]
    for scene in ("S1", "S2"):
        assert not rows["enhanced"][place[scene]].any()
        assert not any(len(rows["reference_enhanced"][row]) for row in place[scene])


def test_a_block_of_which_nothing_can_be_heard_has_its_rows_all_the_same(folder, scenes):
    made = stage(folder, scenes)
    made._quarantined = frozenset(scene.scene_id for scene in scenes)
    rows = made({"id": np.array([0])})
    assert set(rows["fault"]) == {QUARANTINED}
    assert len(rows["rollout_id"]) == len(rows["action"]) == SCENES * SAMPLES


def test_an_enhancer_that_makes_no_numbers_is_a_fault_of_the_row(folder, scenes):
    made = stage(folder, scenes)
    with torch.no_grad():
        next(iter(made._policy.enhancer.parameters())).fill_(torch.nan)
    assert set(made({"id": np.array([0])})["fault"]) == {NO_NUMBERS}
