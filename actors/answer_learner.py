"""The learner of `auricle reason`: GRPO on an audio-language policy, on the same engine, ranks and stream as the enhancement policy.

    update(rows of one step): advantages over all ranks' rows -> epochs of [forward, loss, backward, step] -> version + 1

Invariants: those of `actors.learner`. The reference of the KL divergence is the calibrated listener, frozen. A step that has no answer left
to learn from is made all the same, without a change of the weights.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from actors.engine import Engine, gather_objects, join_alone
from auricle.errors import LearningError
from auricle.learning.batch import StepAdvantages, first_rows
from auricle.learning.outcome import RowOutcome, UpdateReport
from auricle.learning.statistics import StepStatistics, merge, row_metrics
from auricle.learning.token_losses import masked_log_ratio, token_kl, token_policy_loss
from auricle.listeners.checkpoint import load_listener, save_listener
from auricle.listeners.dataset import SomeClips, labels_from_dict, read_sets
from auricle.listeners.features import scaled
from auricle.listeners.listener_module import ListenerModule
from auricle.listeners.trainable import choose_trained
from auricle.listeners.turns import Turns, prompt_ids, turns_of_ids
from auricle.reasoning.advantages import answer_advantages, answer_rank_table
from auricle.reasoning.anchor import Anchor, anchor_loss, anchor_turns
from auricle.reasoning.config import PARTS, ReasonDomain
from auricle.reasoning.rows import AnswerRows, answer_rows
from auricle.reasoning.tasks import is_local
from auricle.reasoning.watch import answer_counts, answer_table
from auricle.reasoning.weights import whole_weights

LISTENER = "listener"
"""The folder of the listener within a checkpoint."""


@dataclass(frozen=True)
class AnchorClips:
    """What the anchor may teach: folders, rows of them as they come, and the seed that draws them. name_weight: what names count in clips
    whose artefact has a place in time (`tasks.name_weight`)."""

    sets: tuple[Path, ...]
    rows: tuple[int, ...]
    seed: int
    name_weight: float


class AnswerLearner:
    """One rank of the learner; with no group joined, a learner of its own in this process."""

    def __init__(self, config: ReasonDomain, listener_folder: str | Path, *, steps: int, lessons: AnchorClips | None = None) -> None:
        """steps: of the whole run, for the learning rate's end. lessons: what `anchor_clips` are drawn from."""
        join_alone()
        self.config, self.settings, self.version = config, config.learner, 0
        self._folder, self._steps = Path(listener_folder), steps
        self._weights = [config.rewards.weights.get(name, 0.0) for name in PARTS]
        listener = load_listener(listener_folder)
        choose_trained(listener, config.trainable)
        self._processor, self._temperature = listener.processor, config.answers.temperature
        self.engine = Engine(ListenerModule(listener.model.train(), precision=self.settings.precision), self.settings)
        frozen = load_listener(listener_folder).model.requires_grad_(False)
        self._reference = ListenerModule(frozen, precision=self.settings.precision).to(self.engine.device).eval()
        self._statistics = StepStatistics()
        self._name_weight = lessons.name_weight if lessons else 1.0
        self._anchor = None
        if lessons and self.settings.anchor_gamma and self.settings.anchor_clips:
            self._anchor = Anchor(SomeClips(read_sets(lessons.sets), lessons.rows), self.settings, lessons.seed, steps)

    def update_rows(self, columns: Mapping[str, Any]) -> UpdateReport:
        """Train on this rank's rows of the step that is due (`auricle.reasoning.rows`). Collective. Raises LearningError."""
        rows = answer_rows(columns, self.version)
        table = answer_rank_table(rows, self._shares(rows))
        step = answer_advantages(gather_objects(table), self._weights, self.settings.advantages, self.version)
        self._statistics = StepStatistics()
        if step.scenes:
            batch = self._batch(rows, step)
            for epoch in range(self.settings.epochs):
                self.engine.backward(self._loss(batch, epoch))
                self._statistics.add_gradient_norm(self.engine.step(self._lr_scale()))
        self.version += 1
        return UpdateReport(self.version, self._metrics(rows, step), _outcomes(rows, step))

    def weights(self) -> dict[str, np.ndarray]:
        """The listener's weights, whole, adapters merged, as fp32 arrays by its checkpoint's names. Collective."""
        return whole_weights(self.engine)

    def export(self, folder: Path, weights: Mapping[str, np.ndarray]) -> None:
        """The listener with these weights as a checkpoint of its own, which transformers and vLLM load. By one rank alone."""
        listener = load_listener(self._folder)
        listener.model.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
        save_listener(listener, folder / LISTENER)

    def save(self, folder: str | Path) -> None:
        """Parameters, optimiser and version into `folder`, which the caller renames into place. Collective."""
        self.engine.save(Path(folder), version=self.version)

    def load(self, folder: str | Path) -> None:
        """Go on from what `save` wrote. Collective. Raises CheckpointError."""
        self.version = int(self.engine.load(Path(folder))["version"])

    # --- one step's parts --------------------------------------------------------------------------------------------------------------

    def _batch(self, rows: AnswerRows, step: StepAdvantages) -> dict[str, Any]:
        """This rank's rows as tensors; the reference's log-probabilities are worked out once for all epochs."""
        places, device = step.rows_of(rows.rollout_id), self.engine.device
        first, clip_row = first_rows(rows.scene_id)
        features = scaled(torch.from_numpy(rows.features[first].astype(np.float32))).to(device)
        turns = turns_of_ids(
            [prompt_ids(asked, 1, self._processor) for asked in rows.question],
            [rows.ids_of(row) for row in range(len(rows))],
            [(int(clip),) for clip in clip_row],
            self._processor,
        ).to(device)
        sound = {"features": features, "lengths": torch.from_numpy(rows.frames[first]).to(device), "turns": [turns]}
        with torch.no_grad():
            [reference] = self._reference(**sound, temperature=self._temperature).log_probs
        own = torch.from_numpy(rows.answer_log_probs[rows.answer_ids >= 0]).to(device)
        kept = step.advantages.kept[places]
        total = float(sum(gather_objects(int(kept.sum()))))
        told = [rows.labels[row] for row in first] if self.settings.anchor_gamma and self._anchor is None else []
        anchor, anchor_weights = anchor_turns(told, self._processor, int(rows.rollout_id[0]))
        return {
            "sound": sound | {"turns": [turns, *(batch.to(device) for batch in anchor)]},
            "anchor_weights": anchor_weights,
            "clip_share": len(first) / sum(gather_objects(len(first))),
            "reference": turns.by_row(reference)[0],
            "old": turns.by_row(own)[0],
            "advantages": torch.from_numpy(step.advantages.values[places].astype(np.float32)).to(device),
            "weights": torch.from_numpy(kept.astype(np.float32)).to(device),
            "total": total,
        }

    def _loss(self, batch: Mapping[str, Any], epoch: int) -> Tensor:
        """This rank's share of PPO-clip on tokens + beta KL(policy, calibrated) + gamma anchor."""
        settings, weights, total = self.settings, batch["weights"], batch["total"]
        turns: Turns
        turns, *anchor = batch["sound"]["turns"]
        # The anchor teaches the distribution itself, whatever temperature the answers were sampled at.
        heard = self.engine.module(**batch["sound"], temperature=[self._temperature, *(1.0 for _ in anchor)])
        log_prob, mask = turns.by_row(heard.log_probs[0])
        losses = {
            "policy_loss": token_policy_loss(log_prob, batch["old"], batch["advantages"], mask, weights, settings.clip, total),
            "kl": token_kl(log_prob, batch["reference"], mask, weights, total),
        }
        if anchor:
            told = anchor_loss(anchor, batch["anchor_weights"], heard.log_probs[1:], heard.other_log_probs[1:])
            losses["anchor_loss"] = batch["clip_share"] * told
        if self._anchor:
            place = {"rank": dist.get_rank(), "ranks": dist.get_world_size(), "device": self.engine.device}
            losses["anchor_loss"] = self._anchor.loss(self.engine.module, self._processor, self.version, **place)
        ratios = masked_log_ratio(log_prob, batch["old"], mask)[mask]
        token_weights = weights[:, None].expand(mask.shape)[mask]
        self._statistics.add_minibatch(losses, ratios[:, None], token_weights, clip=settings.clip, epoch=epoch)
        return losses["policy_loss"] + settings.kl_beta * losses["kl"] + settings.anchor_gamma * losses.get("anchor_loss", 0.0)

    def _shares(self, rows: AnswerRows) -> np.ndarray:
        """What each answer about an artefact counts by its name (`tasks.name_weight`)."""
        if self._name_weight == 1.0:
            return np.ones(len(rows))
        local = [
            task == "artefact" and is_local(labels_from_dict(json.loads(own))) for task, own in zip(rows.task, rows.labels, strict=True)
        ]
        return np.where(local, self._name_weight, 1.0)

    def _lr_scale(self) -> float:
        return min(1.0, (self._steps - self.version) / max(1.0, self.settings.decay_share * self._steps))

    def _metrics(self, rows: AnswerRows, step: StepAdvantages) -> dict[str, float]:
        metrics = row_metrics(step.advantages, len(step.scenes)) | merge(gather_objects(self._statistics.sums()))
        metrics |= answer_counts(gather_objects(answer_table(rows)))
        bad = {name: value for name, value in metrics.items() if not np.isfinite(value)}
        if bad:
            raise LearningError(f"step {self.version - 1}: it diverged ({bad}); lower reason.learner.lr and resume an earlier checkpoint")
        return metrics


def _outcomes(rows: AnswerRows, step: StepAdvantages) -> list[RowOutcome]:
    found = step.advantages
    return [
        RowOutcome(
            rollout_id=int(rollout_id),
            state="trained" if found.kept[place] else "dropped",
            reason=found.reasons[place],
            reward=float(found.rewards[place]),
            advantage=float(found.values[place]),
        )
        for rollout_id, place in zip(rows.rollout_id, step.rows_of(rows.rollout_id), strict=True)
    ]
