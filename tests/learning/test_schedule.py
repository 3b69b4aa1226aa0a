"""The schedule: ids without gaps, seeds from (run seed, step, scene, sample) only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auricle.errors import ConfigError
from auricle.learning.schedule import RolloutSchedule, derive_seed


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 8), st.integers(1, 4), st.integers(0, 200))
def test_every_step_holds_each_of_its_scenes_with_all_samples(seed, scenes, per_step, samples, step):
    if scenes < per_step:
        with pytest.raises(ConfigError, match="scenes_per_step"):
            RolloutSchedule(seed, scenes, per_step, samples)
        return
    schedule = RolloutSchedule(seed, scenes, per_step, samples)
    rollouts = [schedule.rollout(rollout_id) for rollout_id in schedule.ids(step)]
    assert [r.rollout_id for r in rollouts] == list(range(step * schedule.global_batch, (step + 1) * schedule.global_batch))
    assert {r.step for r in rollouts} == {step}
    assert len({(r.scene_index, r.sample) for r in rollouts}) == schedule.global_batch
    assert all(0 <= r.scene_index < scenes for r in rollouts)
    assert len({r.noise_seed for r in rollouts}) == schedule.global_batch
    assert len({r.crop_seed for r in rollouts}) == per_step
    for first in range(0, schedule.global_batch, samples):
        assert [r.sample for r in rollouts[first : first + samples]] == list(range(samples))
        assert len({r.scene_index for r in rollouts[first : first + samples]}) == 1


def test_an_epoch_visits_every_scene_once_in_a_new_order():
    schedule = RolloutSchedule(seed=3, scenes=12, scenes_per_step=4, samples_per_scene=2)
    first, second = ([index for step in steps for index in schedule.scenes_of(step)] for steps in (range(3), range(3, 6)))
    assert sorted(first) == sorted(second) == list(range(12))
    assert first != second


def test_the_same_id_means_the_same_rollout_in_another_process_or_order():
    one, other = (RolloutSchedule(seed=7, scenes=30, scenes_per_step=3, samples_per_scene=2) for _ in range(2))
    backwards = {i: other.rollout(i) for i in reversed(range(120))}
    assert all(one.rollout(i) == backwards[i] for i in range(120))


def test_noise_depends_on_seed_step_scene_and_sample_and_not_on_the_batch_layout():
    narrow, wide = RolloutSchedule(1, 8, 2, 2), RolloutSchedule(1, 8, 4, 2)
    seeds = {(r.step, r.scene_index, r.sample): r.noise_seed for r in map(narrow.rollout, range(4))}
    for rollout in map(wide.rollout, range(8)):
        key = (rollout.step, rollout.scene_index, rollout.sample)
        assert seeds.get(key, rollout.noise_seed) == rollout.noise_seed
    assert RolloutSchedule(2, 8, 2, 2).rollout(0).noise_seed not in seeds.values()


def test_derived_seeds_fit_a_generator_and_differ():
    seeds = {derive_seed(0, 1, step, scene) for step in range(50) for scene in range(50)}
    assert len(seeds) == 2500
    assert all(0 <= seed < 2**63 for seed in seeds)
