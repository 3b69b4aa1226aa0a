"""The rollout stage without Ray: what becomes of a scene that cannot be loaded."""

from pathlib import Path

import pytest

from actors.rollout import RolloutStage
from actors.settings import RolloutConfig
from auricle.errors import PoolError
from auricle.learning.schedule import RolloutSchedule
from auricle.learning.staleness import StalenessConfig
from auricle.scenes.scene import Scene
from tests.actors.rows import EXPLORATION, small_enhancer

MISSING, UNREACHABLE = Path("missing.wav"), Path("x" * 5_000)
"""A scene at fault, and a system at fault: here by a name that it does not bear."""


def clips(folder, mix, *, exact):
    schedule = RolloutSchedule(0, 1, 1, 2)
    stage = RolloutStage(
        RolloutConfig(clip_s=0.4),
        schedule,
        [Scene("S", "train", mix)],
        str(small_enhancer(folder)),
        EXPLORATION,
        None,
        None,
        first_block=0,
        rows_per_block=2,
        staleness=StalenessConfig(exact_staleness=exact),
        with_target=False,
        with_reference=False,
    )
    return stage._clips([schedule.rollout(rollout_id) for rollout_id in range(2)])


@pytest.mark.parametrize("mix", [MISSING, UNREACHABLE])
def test_a_scene_that_cannot_be_loaded_is_a_fault_of_its_rows(tmp_path, mix):
    assert [clip.startswith("scene: ") for clip in clips(tmp_path / "enhancer", mix, exact=False)] == [True, True]


def test_in_an_exact_run_a_system_at_fault_breaks_the_phase_and_a_scene_at_fault_does_not(tmp_path):
    assert clips(tmp_path / "enhancer", MISSING, exact=True)[0].startswith("scene: ")
    with pytest.raises(PoolError, match="an exact run"):
        clips(tmp_path / "other", UNREACHABLE, exact=True)
