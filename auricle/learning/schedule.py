"""Which rollout is which: everything about a rollout follows from its id.

    rollout_id -> step   = rollout_id // global_batch            (the learner step that trains on it)
               -> slot   = rollout_id %  global_batch // samples (which of the step's scenes)
               -> sample = rollout_id %  samples                 (which sample of that scene)

Invariants
- Ids run 0, 1, 2, ... without gaps; the samples of a scene have consecutive ids, and so have the rollouts of a step.
- A step never holds one scene twice, and each epoch (one pass over the scenes) has its own seeded order.
- Crop and noise depend on (run seed, step, scene, sample) only: never on a worker, a rank, or the order of arrival.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from auricle.errors import ConfigError

_CROP, _NOISE, _ORDER = 1, 2, 3  # one stream of random numbers each


def derive_seed(*parts: int) -> int:
    """A 63-bit seed from integers: equal parts give equal seeds, any other part an unrelated one."""
    return int(np.random.SeedSequence([part & 0xFFFFFFFFFFFFFFFF for part in parts]).generate_state(1, np.uint64)[0] >> np.uint64(1))


@dataclass(frozen=True)
class Rollout:
    """One sampled enhancement of one scene, before it is made.

    scene_index: position in the run's list of scenes. sample: 0, 1, ... among the samples of the scene in this step.
    crop_seed: where to cut the scene (the same for all its samples). noise_seed: the exploration noise.
    """

    rollout_id: int
    step: int
    scene_index: int
    sample: int
    crop_seed: int
    noise_seed: int


class RolloutSchedule:
    """All rollouts of a run, as a pure function of the id."""

    def __init__(self, seed: int, scenes: int, scenes_per_step: int, samples_per_scene: int) -> None:
        if min(scenes_per_step, samples_per_scene) < 1:
            raise ConfigError(f"scenes_per_step = {scenes_per_step}, samples_per_scene = {samples_per_scene}: both must be at least 1")
        if scenes < scenes_per_step:
            raise ConfigError(
                f"{scenes} usable scenes, but scenes_per_step = {scenes_per_step}: a step needs that many different scenes; "
                f"lower scenes_per_step to at most {scenes}, or add scenes"
            )
        self.seed = seed
        self.scenes = scenes
        self.scenes_per_step = scenes_per_step
        self.samples_per_scene = samples_per_scene
        self.global_batch = scenes_per_step * samples_per_scene
        # The scenes left over at the end of an epoch wait for the next one's new order.
        self.steps_per_epoch = scenes // scenes_per_step

    def step(self, rollout_id: int) -> int:
        """The learner step that trains on this rollout."""
        return rollout_id // self.global_batch

    def first_id(self, step: int) -> int:
        """The first rollout id of a step: where a run resumes that has finished `step` steps."""
        return step * self.global_batch

    def ids(self, step: int) -> range:
        """The rollout ids of a step."""
        return range(self.first_id(step), self.first_id(step + 1))

    def rollout(self, rollout_id: int) -> Rollout:
        """What this id stands for."""
        if rollout_id < 0:
            raise ValueError(f"rollout_id = {rollout_id}: ids start at 0")
        step, place = divmod(rollout_id, self.global_batch)
        slot, sample = divmod(place, self.samples_per_scene)
        scene_index = self.scenes_of(step)[slot]
        return Rollout(
            rollout_id=rollout_id,
            step=step,
            scene_index=scene_index,
            sample=sample,
            crop_seed=derive_seed(self.seed, _CROP, step, scene_index),
            noise_seed=derive_seed(self.seed, _NOISE, step, scene_index, sample),
        )

    def scenes_of(self, step: int) -> tuple[int, ...]:
        """The scene indices of a step, in the order of their ids."""
        epoch, place = divmod(step, self.steps_per_epoch)
        first = place * self.scenes_per_step
        return _epoch_order(self.seed, epoch, self.scenes)[first : first + self.scenes_per_step]


@lru_cache(maxsize=8)
def _epoch_order(seed: int, epoch: int, scenes: int) -> tuple[int, ...]:
    return tuple(np.random.default_rng(derive_seed(seed, _ORDER, epoch)).permutation(scenes).tolist())
