"""The rollout stage of the stream: the policy cleans scenes, exploring around its mask.

Invariants:
- What a rollout is, is a pure function of its id: the schedule gives step, scene, sample, crop and noise seed.
- The gate (`actors.gate`): calls wait there side by side, and work one at a time.
- Every id of a block comes out as one row. A scene that cannot be loaded, that is quarantined as of the version granted, or of which the
  enhancer makes no numbers gives rows with `fault` set, which are neither judged nor trained on; nothing is put in its place.

    block index --> ids --> gate (weight store) --> load scenes --> sample masks --> rows, all samples of a scene side by side
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from math import ceil
from typing import Any

import numpy as np
import ray
import torch
from ray.rllib.core.columns import Columns

from actors.gate import Gate, Passed, one_worker
from actors.policy import ENHANCED, FRAMES, LOGITS, MIX, NOISE_SEEDS, SCENE_ROW, EnhancementPolicy
from actors.pulse import own_pulse
from actors.settings import RolloutConfig
from auricle.audio import sound_duration_s
from auricle.enhancers.exploration import ExplorationConfig
from auricle.errors import PoolError, SceneError
from auricle.learning.quarantine import QUARANTINED
from auricle.learning.schedule import Rollout, RolloutSchedule
from auricle.learning.staleness import StalenessConfig
from auricle.pulse import during
from auricle.scenes.loading import load_clip
from auricle.scenes.scene import Clip, Scene
from auricle.usage import UsageMeter, usage_column

NO_NUMBERS = "enhancer: its output is not finite"


class RolloutStage:
    """A `map_batches` callable: one block index in, the block's rollouts out (columns: docs/design.md)."""

    def __init__(
        self,
        config: RolloutConfig,
        schedule: RolloutSchedule,
        scenes: Sequence[Scene],
        enhancer_folder: str,
        exploration: ExplorationConfig,
        store: Any,
        coordinator: Any,
        *,
        first_block: int,
        rows_per_block: int,
        staleness: StalenessConfig,
        with_target: bool,
        with_reference: bool,
        precision: str = "fp32",
    ) -> None:
        torch.set_num_threads(1)
        self._config, self._schedule, self._coordinator = config, schedule, coordinator
        self._gate, self._worker = Gate(store, staleness, config.gate_timeout_s), one_worker()
        self._scenes = scenes if with_target else [replace(scene, target=None) for scene in scenes]
        self._first_block, self._rows_per_block, self._staleness = first_block, rows_per_block, staleness
        self._with_target, self._with_reference = with_target, with_reference
        self._device = torch.device("cuda" if config.num_gpus > 0 else "cpu")
        self._policy, self._reference = (
            EnhancementPolicy.from_enhancer(enhancer_folder, exploration, precision=precision).to(self._device).eval() for _ in range(2)
        )
        self._version, self._quarantined = -1, frozenset[str]()
        self._usage = UsageMeter("rollout")
        own_pulse("rollout actor")

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The rollouts of the blocks named in `batch["id"]`."""
        blocks = [self._block(self._first_block + int(index)) for index in batch["id"]]
        return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}

    def _block(self, index: int) -> dict[str, np.ndarray]:
        first = index * self._rows_per_block
        rollouts = [self._schedule.rollout(rollout_id) for rollout_id in range(first, first + self._rows_per_block)]
        with during(f"step {rollouts[0].step}, block {index}: at the gate"):
            passed = self._gate.wait(rollouts[0].step)
        return self._worker.submit(self._made, index, rollouts, passed).result()

    def _made(self, index: int, rollouts: Sequence[Rollout], passed: Passed) -> dict[str, np.ndarray]:
        began, rows = time.monotonic(), len(rollouts)
        with during(f"step {rollouts[0].step}, block {index}: loading weights and scenes"):
            self._take(self._gate.newest(rollouts[0].step, passed))
            clips = self._clips(rollouts)
        with during(f"step {rollouts[0].step}, block {index}: enhancing"):
            columns = self._columns(rollouts, clips)
        return columns | {
            "gate_wait_s": np.full(rows, passed.waited_s / rows),
            "rollout_s": np.full(rows, (time.monotonic() - began) / rows),
            "made_at_s": np.full(rows, time.time()),
            "usage": usage_column([self._usage.sample()], rows),
        }

    def _take(self, passed: Passed) -> None:
        """Load the version granted, and what it leaves out."""
        if passed.version != self._version:
            timeout_s = self._config.gate_timeout_s
            left_out = self._coordinator.quarantined.remote(passed.version)
            weights, quarantined = ray.get(passed.weights, timeout=timeout_s), frozenset(ray.get(left_out, timeout=timeout_s))
            self._policy.enhancer.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
            self._version, self._quarantined = passed.version, quarantined

    def _clips(self, rollouts: Sequence[Rollout]) -> list[Clip | str]:
        """Each rollout's crop, or the reason why there is none; the samples of a scene share one."""
        loaded: dict[int, Clip | str] = {}
        for rollout in rollouts:
            if rollout.scene_index not in loaded:
                try:
                    loaded[rollout.scene_index] = self._load(self._scenes[rollout.scene_index], rollout.crop_seed)
                except (SceneError, OSError) as error:
                    if self._staleness.exact_staleness and not isinstance(error, SceneError):
                        raise PoolError(f"{error}; an exact run (staleness.exact_staleness) drops nothing for that") from error
                    loaded[rollout.scene_index] = f"scene: {error}"
        return [loaded[rollout.scene_index] for rollout in rollouts]

    def _load(self, scene: Scene, crop_seed: int) -> Clip | str:
        if scene.scene_id in self._quarantined:
            return QUARANTINED
        enhancer = self._policy.enhancer
        spare_s = max(0.0, sound_duration_s(scene.mix) - self._config.clip_s)
        return load_clip(
            scene,
            **enhancer.clip_format,
            # At a whole picture, so that lips and sound stay together.
            start_s=int(spare_s * np.random.default_rng(crop_seed).random() * enhancer.frame_rate_hz) / enhancer.frame_rate_hz,
            duration_s=self._config.clip_s,
        )

    def _columns(self, rollouts: Sequence[Rollout], clips: Sequence[Clip | str]) -> dict[str, np.ndarray]:
        """All columns of a block but the timings. Each usable scene goes through the network once, however many samples it has."""
        enhancer = self._policy.enhancer
        samples = round(self._config.clip_s * enhancer.sample_rate_hz)
        frames = ceil(self._config.clip_s * enhancer.frame_rate_hz - 1e-6)
        size = enhancer.frame_size_px
        mix = np.stack([_or_zeros(clip, "mix", (samples,), np.float32) for clip in clips])
        video = np.stack([_or_zeros(clip, "frames", (frames, size, size), np.uint8) for clip in clips])
        first, place = _scenes(rollouts)
        # One scene goes through in any case: it gives the columns their shapes.
        usable = [number for number, row in enumerate(first) if isinstance(clips[row], Clip)] or [0]
        rows, heard = np.flatnonzero(np.isin(place, usable)), [first[number] for number in usable]
        batch = {
            Columns.OBS: {MIX: self._tensor(mix[heard]), FRAMES: self._tensor(video[heard])},
            SCENE_ROW: torch.from_numpy(np.searchsorted(usable, place[rows])).to(self._device),
            NOISE_SEEDS: [rollouts[row].noise_seed for row in rows],
        }
        made = self._policy.forward_exploration(batch)
        reference = self._reference.forward_inference(batch)
        references = np.full(len(rollouts), b"", dtype=object)
        if self._with_reference:
            references[heard] = [audio.tobytes() for audio in reference[ENHANCED].cpu().numpy()]

        def whole(values: torch.Tensor) -> np.ndarray:
            result = np.zeros((len(rollouts), *values.shape[1:]), np.float32)
            result[rows] = values.cpu().numpy()
            return result

        enhanced, action = whole(made[ENHANCED]), whole(made[Columns.ACTIONS].mT)
        faults = [clip if isinstance(clip, str) else "" for clip in clips]
        for row in rows:
            if not faults[row] and not (np.isfinite(enhanced[row]).all() and np.isfinite(action[row]).all()):
                faults[row] = NO_NUMBERS
        targets = [_target(clip, samples) if self._with_target else None for clip in clips]
        return {
            "rollout_id": np.array([rollout.rollout_id for rollout in rollouts], np.int64),
            "step": np.array([rollout.step for rollout in rollouts], np.int64),
            "scene_id": np.array([self._scenes[rollout.scene_index].scene_id for rollout in rollouts], dtype=object),
            "sample": np.array([rollout.sample for rollout in rollouts], np.int64),
            "version": np.full(len(rollouts), self._version, np.int64),
            "fault": np.array(faults, dtype=object),
            "sample_rate_hz": np.full(len(rollouts), enhancer.sample_rate_hz, np.int64),
            "mix": mix,
            "frames": video,
            "has_video": np.array([isinstance(clip, Clip) and clip.frames is not None for clip in clips]),
            "enhanced": enhanced,
            "action": action,
            "action_mean": whole(made[Columns.ACTION_DIST_INPUTS].mT),
            "reference_mean": whole(reference[Columns.ACTION_DIST_INPUTS].mT),
            "reference_enhanced": references,
            "knot_times_s": np.tile(self._policy.explorer.knot_times_s(made[LOGITS].shape[2]), (len(rollouts), 1)),
            "has_target": np.array([target is not None for target in targets]),
            **({"target": np.stack([_zeros(samples) if t is None else t for t in targets])} if self._with_target else {}),
        }

    def _tensor(self, values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values).to(self._device)


def _scenes(rollouts: Sequence[Rollout]) -> tuple[list[int], np.ndarray]:
    """The first row of each scene, and the number of each row's scene."""
    first = [row for row, rollout in enumerate(rollouts) if row == 0 or rollout.scene_index != rollouts[row - 1].scene_index]
    return first, np.searchsorted(first, np.arange(len(rollouts)), side="right") - 1


def _zeros(samples: int) -> np.ndarray:
    return np.zeros(samples, np.float32)


def _or_zeros(clip: Clip | str, name: str, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    values = None if isinstance(clip, str) else getattr(clip, name)
    return np.zeros(shape, dtype) if values is None else values


def _target(clip: Clip | str, samples: int) -> np.ndarray | None:
    return None if isinstance(clip, str) or clip.target is None else clip.target[:samples]
