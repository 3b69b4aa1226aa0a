"""The policy's learner: RLlib's PPOTorchLearner with a DeepSpeed engine under it.

    update(rows of one step): advantages over all ranks' rows -> epochs x minibatches of [forward, loss, backward, step] -> version + 1

Invariants
- Advantages, baselines and minibatches are functions of the whole step's rows, wherever they lie: any number of ranks makes the same
  update.
- A row without a verdict, or dropped for another stated reason, touches neither baseline nor loss; each row's end is in the report.
- An update uses no random numbers but those of (seed, version): a resumed learner goes on as if nothing had happened.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModule, MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModule, RLModuleSpec
from ray.rllib.evaluation.postprocessing import Postprocessing
from torch import Tensor

from actors.engine import Engine, gather_objects, join_alone
from actors.policy import ENHANCER_PREFIX, FRAMES, LOGITS, MIX, SCENE_ROW, EnhancementPolicy, model_config
from auricle.enhancers.checkpoint import load_enhancer, save_enhancer
from auricle.enhancers.exploration import ExplorationConfig
from auricle.errors import LearningError
from auricle.learning.batch import (
    StepAdvantages,
    StepRows,
    first_rows,
    minibatches,
    outcomes,
    rank_table,
    silenced,
    step_advantages,
    step_rows,
)
from auricle.learning.config import LearnerConfig
from auricle.learning.losses import gaussian_kl, ppo_clip_loss, value_loss, weighted_mean
from auricle.learning.outcome import UpdateReport
from auricle.learning.statistics import StepStatistics, merge, row_metrics
from auricle.learning.supervised import enhancement_loss

_WEIGHT, _TOTAL, _REFERENCE, _TARGET, _EPOCH = "row_weight", "total_weight", "reference_mean", "target", "epoch"
_LABELLED = "labelled_weight"


class PolicyLearner(PPOTorchLearner):
    """One rank of the learner; with no group joined, a learner of its own in this process."""

    def __init__(
        self,
        config: LearnerConfig,
        enhancer_folder: str | Path,
        exploration: ExplorationConfig,
        part_weights: Sequence[float],
        *,
        seed: int = 0,
    ) -> None:
        """part_weights: the weight of each column of `parts`, as the panel says."""
        join_alone()
        self.settings, self.part_weights, self.seed = config, tuple(part_weights), seed
        self.version = 0
        critic = config.resolved_advantages().baseline == "critic"
        self._enhancer = load_enhancer(enhancer_folder)
        spec = RLModuleSpec(
            module_class=EnhancementPolicy,
            # RLlib wants spaces; the policy's shapes follow from each clip's length instead.
            observation_space=gym.spaces.Dict(),
            action_space=gym.spaces.Box(-np.inf, np.inf, (1,)),
            model_config=model_config(self._enhancer, exploration, critic=critic, precision=config.precision),
        )
        super().__init__(
            config=_ppo_config(config, critic=critic), module_spec=MultiRLModuleSpec(rl_module_specs={DEFAULT_MODULE_ID: spec})
        )
        self._statistics = StepStatistics()
        self.build()

    @property
    def policy(self) -> EnhancementPolicy:
        """The policy that is trained."""
        return self.module[DEFAULT_MODULE_ID].unwrapped()

    def update_rows(self, columns: Mapping[str, Any]) -> UpdateReport:
        """Train on this rank's rows of the step that is due (columns: docs/design.md). Collective. Raises LearningError."""
        rows = step_rows(columns, self.version)
        step = self._advantages(rows)
        self._statistics = StepStatistics()
        for epoch in range(self.settings.epochs if step.scenes else 0):
            for scenes in minibatches(step.scenes, self.settings.minibatch_scenes, self.seed, self.version, epoch):
                self._update({DEFAULT_MODULE_ID: self._minibatch(rows, step, scenes, epoch)})
        self.version += 1
        return UpdateReport(self.version, self._metrics(step), outcomes(rows, step))

    def weights(self) -> dict[str, np.ndarray]:
        """The enhancer's weights, whole, as fp32 arrays by the enhancer's own names. Collective."""
        whole = self.engine.weights()
        return {name.removeprefix(ENHANCER_PREFIX): value for name, value in whole.items() if name.startswith(ENHANCER_PREFIX)}

    def export(self, folder: Path, weights: Mapping[str, np.ndarray]) -> None:
        """The enhancer with these weights as a checkpoint of its own, `folder/enhancer`. By one rank alone."""
        self._enhancer.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
        save_enhancer(self._enhancer, folder / "enhancer")

    def save(self, folder: str | Path) -> None:
        """Parameters, optimiser and version into `folder`, which the caller renames into place. Collective."""
        self.engine.save(Path(folder), version=self.version)

    def load(self, folder: str | Path) -> None:
        """Go on from what `save` wrote. Collective. Raises CheckpointError."""
        self.version = int(self.engine.load(Path(folder))["version"])

    # --- RLlib's hooks: the engine takes the step --------------------------------------------------------------------------------------

    def _make_module(self) -> MultiRLModule:
        module = super()._make_module()
        module[DEFAULT_MODULE_ID].enhancer.load_state_dict(self._enhancer.state_dict())
        return module

    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        """None of RLlib's own: the engine's AdamW is made with the engine."""

    def _make_modules_ddp_if_necessary(self) -> None:
        policy = self._module[DEFAULT_MODULE_ID]
        self.engine = Engine(policy, self.settings)
        self._device = self.engine.device
        self._module.add_module(DEFAULT_MODULE_ID, _EnginePolicy(self.engine, policy), override=True)

    def compute_gradients(self, loss_per_module: dict[str, Tensor], **kwargs: Any) -> dict[str, Tensor]:
        """Backward through the engine, which keeps the gradients to itself."""
        self.engine.backward(loss_per_module[DEFAULT_MODULE_ID])
        return {}

    def postprocess_gradients(self, gradients_dict: dict[str, Tensor]) -> dict[str, Tensor]:
        """The engine limits the norm."""
        return gradients_dict

    def apply_gradients(self, gradients_dict: dict[str, Tensor]) -> None:
        """One step of the engine's optimiser."""
        self._statistics.add_gradient_norm(self.engine.step())

    def compute_loss_for_module(self, *, module_id: str, config: PPOConfig, batch: dict[str, Any], fwd_out: dict[str, Tensor]) -> Tensor:
        """This rank's share of PPO-clip + beta KL(policy, pretrained) + gamma supervised (+ critic)."""
        settings, weights, total = self.settings, batch[_WEIGHT], batch[_TOTAL]
        mean, actions = fwd_out[Columns.ACTION_DIST_INPUTS].float(), batch[Columns.ACTIONS]
        family = self.policy.get_train_action_dist_cls()
        log_prob = family.from_logits(mean).logp(actions)
        old_log_prob = family.from_logits(batch[Columns.ACTION_DIST_INPUTS]).logp(actions)
        kl = gaussian_kl(mean, batch[_REFERENCE], family.sigma, reduce=family.over_bands)
        losses = {
            "policy_loss": ppo_clip_loss(log_prob, old_log_prob, batch[Postprocessing.ADVANTAGES], weights, settings.clip, total),
            "kl": weighted_mean(kl, weights, total),
        }
        factors = {"policy_loss": 1.0, "kl": settings.kl_beta}
        if settings.anchor_gamma > 0:
            losses["anchor_loss"], factors["anchor_loss"] = self._anchor(batch, fwd_out), settings.anchor_gamma
        if self.policy.critic is not None:
            values = self.policy.compute_values(batch, fwd_out[Columns.EMBEDDINGS])
            losses["value_loss"] = value_loss(values, batch[Postprocessing.VALUE_TARGETS], weights, total)
            factors["value_loss"] = settings.value_weight
        # A minibatch whose scenes all lack targets has no anchor: a zero of it would only thin the mean of the others.
        told = {name: loss for name, loss in losses.items() if name != "anchor_loss" or batch[_LABELLED][1] > 0}
        self._statistics.add_minibatch(told, log_prob - old_log_prob, weights, clip=settings.clip, epoch=batch[_EPOCH])
        return torch.stack([factors[name] * loss for name, loss in losses.items()]).sum()

    # --- one step's parts --------------------------------------------------------------------------------------------------------------

    def _advantages(self, rows: StepRows) -> StepAdvantages:
        config = self.settings.resolved_advantages()
        values = self._values(rows) if config.baseline == "critic" else None
        return step_advantages(gather_objects(rank_table(rows, values)), self.part_weights, config, self.version)

    @torch.no_grad()
    def _values(self, rows: StepRows) -> np.ndarray:
        heard = replace(rows, mix=np.nan_to_num(rows.mix))
        fwd_out = self.module.forward_train({DEFAULT_MODULE_ID: self._inputs(heard, np.arange(len(rows)))})
        return self.policy.compute_values({}, fwd_out[DEFAULT_MODULE_ID][Columns.EMBEDDINGS]).float().cpu().numpy()

    def _inputs(self, rows: StepRows, chosen: np.ndarray) -> dict[str, Any]:
        """The policy's inputs for the rows `chosen`: each scene's mixture once."""
        first, scene_row = first_rows([rows.scene_id[row] for row in chosen])
        observed = {MIX: self._tensor(rows.mix[chosen[first]])}
        if rows.frames is not None:
            observed[FRAMES] = self._tensor(rows.frames[chosen[first]])
        return {Columns.OBS: observed, SCENE_ROW: self._tensor(scene_row)}

    def _minibatch(self, rows: StepRows, step: StepAdvantages, scenes: set[Hashable], epoch: int) -> dict[str, Any]:
        """This rank's share of the minibatch of `scenes`, as the policy and the loss want it."""
        places = step.rows_of(rows.rollout_id)
        kept = step.advantages.kept[places] & np.array([scene in scenes for scene in rows.scene_id])
        total = float(sum(gather_objects(int(kept.sum()))))
        chosen, weight = np.flatnonzero(kept), 1.0
        if not len(chosen):  # none of the rows is this rank's: it takes part in the step with one of no weight
            rows, chosen, weight = silenced(rows), np.array([0]), 0.0
        advantages, targets = (getattr(step.advantages, name)[places[chosen]].astype(np.float32) for name in ("values", "value_targets"))
        batch = self._inputs(rows, chosen) | {
            Columns.ACTIONS: self._tensor(rows.action[chosen]).mT,
            Columns.ACTION_DIST_INPUTS: self._tensor(rows.action_mean[chosen]).mT,
            _REFERENCE: self._tensor(rows.reference_mean[chosen]).mT,
            Postprocessing.ADVANTAGES: self._tensor(advantages),
            Postprocessing.VALUE_TARGETS: self._tensor(targets),
            _WEIGHT: torch.full((len(chosen),), weight, device=self._device),
            _TOTAL: total,
            _EPOCH: epoch,
        }
        if self.settings.anchor_gamma > 0:
            if rows.target is None:
                raise LearningError("learner.anchor_gamma is above 0, but the scenes have no clean targets: set it to 0")
            # Scenes without a target arrive with zeros for it. The mean is over the others: the anchor pulls alike whatever their share.
            labelled = np.asarray(weight * rows.target[chosen].any(axis=1), dtype=np.float32)
            batch[_TARGET] = self._tensor(rows.target[chosen])
            batch[_LABELLED] = self._tensor(labelled), float(sum(gather_objects(float(labelled.sum()))))
        return batch

    def _anchor(self, batch: dict[str, Any], fwd_out: dict[str, Tensor]) -> Tensor:
        """The supervised loss of the policy's own mask, each labelled row counted once so that shares add up like the others'."""
        enhanced = self.policy.enhancer.apply_mask(batch[Columns.OBS][MIX], fwd_out[LOGITS].float())
        per_row = enhancement_loss(enhanced[batch[SCENE_ROW]], batch[_TARGET], self.settings.anchor)
        return weighted_mean(per_row, *batch[_LABELLED])

    def _metrics(self, step: StepAdvantages) -> dict[str, float]:
        metrics = row_metrics(step.advantages, len(step.scenes)) | merge(gather_objects(self._statistics.sums()))
        bad = {name: value for name, value in metrics.items() if not np.isfinite(value)}
        if bad:
            raise LearningError(f"step {self.version - 1}: it diverged ({bad}); lower learner.lr and resume an earlier checkpoint")
        return metrics

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.tensor(array, device=self._device)


class _EnginePolicy(RLModule):
    """The policy as the engine calls it: what DDP is for RLlib."""

    def __init__(self, engine: Engine, policy: EnhancementPolicy) -> None:
        self.engine, self._policy = engine, policy
        self.model_config, self.observation_space, self.action_space = policy.model_config, None, None
        self.inference_only, self.learner_only, self.catalog = False, False, None

    def unwrapped(self) -> EnhancementPolicy:
        return self._policy

    def forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return self.engine.module(batch)

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return self.engine.module(batch)


def _ppo_config(config: LearnerConfig, *, critic: bool) -> PPOConfig:
    """RLlib's view of our configuration, so that its own loss means the same (tests/actors/test_learner.py)."""
    return (
        PPOConfig()
        .framework("torch")
        .learners(num_learners=0, add_default_connectors_to_learner_pipeline=False)
        .training(
            lr=config.lr,
            clip_param=config.clip,
            use_critic=critic,
            vf_loss_coeff=config.value_weight,
            vf_clip_param=float("inf"),
            entropy_coeff=0.0,
            use_kl_loss=False,
        )
    )
