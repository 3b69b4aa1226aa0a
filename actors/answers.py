"""The rollout stage of `auricle reason`: the listener answers questions about labelled clips.

Invariants: those of `actors.rollout` (the schedule, the gate, one row an id), with an answer for a rollout and a clip for a scene. The
answers to one clip in one step share its question, its recording chain and the weights; only the sampling seed differs.

    block index --> ids --> gate (weight store) --> swap weights --> questions about clips --> vLLM --> rows, a clip's answers side by side
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from jaxtyping import Float32

from actors.gate import Gate, Passed, one_worker
from actors.pulse import own_pulse
from auricle.learning.schedule import Rollout, RolloutSchedule, derive_seed
from auricle.learning.staleness import StalenessConfig
from auricle.listeners.augmentation import RecordingChains
from auricle.listeners.dataset import read_sets
from auricle.listeners.features import scaled
from auricle.pulse import during
from auricle.reasoning.answering import Answer, AnswerEngine, Request
from auricle.reasoning.config import AnswerConfig, QuestionConfig
from auricle.reasoning.rows import NO_TOKEN
from auricle.reasoning.tasks import draw_question
from auricle.usage import UsageMeter, usage_column

_CHAIN = 7  # the stream of random numbers of the recording chains


class AnswerStage:
    """A `map_batches` callable: one block index in, the block's answers out (columns: docs/design.md)."""

    def __init__(
        self,
        config: AnswerConfig,
        questions: QuestionConfig,
        schedule: RolloutSchedule,
        sets: Sequence[Path],
        rows: Sequence[int],
        listener_folder: str,
        store: Any,
        *,
        first_block: int,
        rows_per_block: int,
        staleness: StalenessConfig,
    ) -> None:
        """sets, rows: where the labelled clips are, and which of them are learned from, in the order of the schedule's scenes."""
        torch.set_num_threads(1)
        self._config, self._questions, self._schedule = config, questions, schedule
        self._gate, self._worker = Gate(store, staleness, config.gate_timeout_s), one_worker()
        self._clips, self._rows = read_sets(sets), np.asarray(rows, dtype=np.int64)
        self._first_block, self._rows_per_block = first_block, rows_per_block
        # Prefixes kept from earlier blocks would make an answer hang on which blocks this actor has had before.
        # The engine is built and asked in one thread.
        built = self._worker.submit(AnswerEngine, listener_folder, config, keep_prefixes=not staleness.exact_staleness)
        self._engine = built.result()
        self._version = -1
        own_pulse("answer actor")
        self._usage = UsageMeter("rollout")

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The answers of the blocks named in `batch["id"]`."""
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
        with during(f"step {rollouts[0].step}, block {index}: answering"):
            newest = self._gate.newest(rollouts[0].step, passed)
            if newest.version != self._version:
                self._engine.swap_weights(ray.get(newest.weights, timeout=self._config.gate_timeout_s))
                self._version = newest.version
            columns = self._columns(rollouts)
        return columns | {
            "gate_wait_s": np.full(rows, passed.waited_s / rows),
            "rollout_s": np.full(rows, (time.monotonic() - began) / rows),
            "made_at_s": np.full(rows, time.time()),
            "usage": usage_column([self._usage.sample()], rows),
        }

    def _columns(self, rollouts: Sequence[Rollout]) -> dict[str, np.ndarray]:
        first = [row for row, rollout in enumerate(rollouts) if row == 0 or rollout.scene_index != rollouts[row - 1].scene_index]
        place = np.searchsorted(first, np.arange(len(rollouts)), side="right") - 1
        seeds = [rollouts[row].crop_seed for row in first]
        clips = self._rows[[rollouts[row].scene_index for row in first]]
        asked = [draw_question(self._questions, seed) for seed in seeds]
        heard = self._heard(clips, seeds)
        model_inputs = scaled(torch.from_numpy(heard)).numpy()
        frames = np.asarray(self._clips.lengths)[clips]
        requests = [
            Request(asked[k].text, model_inputs[k], int(frames[k]), rollout.noise_seed) for k, rollout in zip(place, rollouts, strict=True)
        ]
        answers = self._engine.answers(requests)
        return {
            "rollout_id": np.array([rollout.rollout_id for rollout in rollouts], np.int64),
            "step": np.array([rollout.step for rollout in rollouts], np.int64),
            "scene_id": np.array([f"clip-{clip:06d}" for clip in clips], dtype=object)[place],
            "sample": np.array([rollout.sample for rollout in rollouts], np.int64),
            "version": np.full(len(rollouts), self._version, np.int64),
            "fault": np.full(len(rollouts), "", dtype=object),
            "task": np.array([one.task for one in asked], dtype=object)[place],
            "dimension": np.array([one.dimension or "" for one in asked], dtype=object)[place],
            "question": np.array([one.text for one in asked], dtype=object)[place],
            "labels": np.array([json.dumps(asdict(self._clips.labels[clip])) for clip in clips], dtype=object)[place],
            "answer": np.array([answer.text for answer in answers], dtype=object),
            **self._tokens(answers),
            "features": heard[place],
            "frames": frames[place],
        }

    def _heard(self, clips: np.ndarray, seeds: Sequence[int]) -> Float32[np.ndarray, "clips mels frames"]:
        """Each clip through a recording chain of its own, as in calibration."""
        features = np.asarray(self._clips.features[clips], dtype=np.float32)
        drawn = [
            RecordingChains.draw(np.random.default_rng(derive_seed(seed, _CHAIN)), 1, features.shape[1]).apply(
                torch.from_numpy(one[None]), np.array([0])
            )
            for seed, one in zip(seeds, features, strict=True)
        ]
        return torch.cat(drawn).numpy()

    def _tokens(self, answers: Sequence[Answer]) -> dict[str, np.ndarray]:
        """Ids and log-probabilities, padded to the longest answer that may be."""
        ids = np.full((len(answers), self._config.max_tokens), NO_TOKEN, dtype=np.int32)
        log_probs = np.zeros(ids.shape, dtype=np.float32)
        for row, answer in enumerate(answers):
            ids[row, : len(answer.ids)] = answer.ids
            log_probs[row, : len(answer.ids)] = answer.log_probs
        return {"answer_ids": ids, "answer_log_probs": log_probs}
