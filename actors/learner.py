"""The policy's learner: RLlib's PPOTorchLearner with a DeepSpeed engine under it.

    update(rows of one step): advantages over all ranks' rows -> epochs x minibatches of [forward, loss, backward, step] -> version + 1

Invariants
- Advantages, baselines and minibatches are functions of the whole step's rows, wherever they lie: any number of ranks makes the same
  update.
- A row without a verdict, or dropped for another stated reason, touches neither baseline nor loss; each row's end is in the report.
- An update uses no random numbers but those of (seed, version): a resumed learner goes on as if nothing had happened.
"""

from collections.abc import Mapping, Sequence
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
from auricle.enhancers.checkpoint import load_enhancer
from auricle.enhancers.exploration import ExplorationConfig
from auricle.errors import LearningError
from auricle.learning.advantages import Advantages, compute_advantages
from auricle.learning.batch import StepRows, first_rows, minibatches, step_rows
from auricle.learning.config import LearnerConfig
from auricle.learning.losses import gaussian_kl, ppo_clip_loss, ratio_statistics, ratio_sums, value_loss, weighted_mean
from auricle.learning.outcome import RowOutcome, UpdateReport
from auricle.learning.supervised import enhancement_loss

_WEIGHT, _TOTAL, _REFERENCE, _TARGET = "row_weight", "total_weight", "reference_mean", "target"


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
        self._sums: dict[str, Tensor] = {}
        self._gradient_norms: list[float] = []
        self.build()

    @property
    def policy(self) -> EnhancementPolicy:
        """The policy that is trained."""
        return self.module[DEFAULT_MODULE_ID].unwrapped()

    def update_rows(self, columns: Mapping[str, Any]) -> UpdateReport:
        """Train on this rank's rows of the step that is due (columns: docs/design.md). Collective. Raises LearningError."""
        rows = step_rows(columns, self.version)
        advantages, own, scenes = self._advantages(rows)
        self._sums, self._gradient_norms = {}, []
        for epoch in range(self.settings.epochs if len(scenes) else 0):
            for chosen in minibatches(scenes, self.settings.minibatch_scenes, self.seed, self.version, epoch):
                kept = [advantages.kept[place] and rows.scene_id[row] in chosen for row, place in enumerate(own)]
                total = sum(float(k) for k in gather_objects(sum(kept)))
                batch = self._minibatch(rows, advantages, own, np.array(kept, dtype=bool), total, epoch)
                self._update({DEFAULT_MODULE_ID: batch})
        self.version += 1
        return UpdateReport(self.version, self._metrics(advantages, len(scenes)), _outcomes(rows, advantages, own))

    def weights(self) -> dict[str, np.ndarray]:
        """The enhancer's weights, whole, as fp32 arrays by the enhancer's own names. Collective."""
        whole = self.engine.weights()
        return {name.removeprefix(ENHANCER_PREFIX): value for name, value in whole.items() if name.startswith(ENHANCER_PREFIX)}

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
        self._gradient_norms.append(self.engine.step())

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
        self._note(losses, log_prob - old_log_prob, weights, batch["epoch"])
        return torch.stack([factors[name] * loss for name, loss in losses.items()]).sum()

    # --- one step's parts --------------------------------------------------------------------------------------------------------------

    def _advantages(self, rows: StepRows) -> tuple[Advantages, list[int], list[str]]:
        """The whole step's advantages, where this rank's rows are in them, and the step's scenes that are trained on."""
        config = self.settings.resolved_advantages()
        values = self._values(rows) if config.baseline == "critic" else None
        table = gather_objects((rows.rollout_id, rows.scene_id, rows.parts, rows.reference_parts, rows.credit, values))
        ids = np.concatenate([part[0] for part in table])
        if len(set(ids.tolist())) != len(ids):
            raise LearningError(f"step {self.version}: a rollout reached the learner twice; ids {sorted(ids.tolist())}")
        order = np.argsort(ids)
        scenes = [scene for part in table for scene in part[1]]

        def column(place: int) -> np.ndarray | None:
            parts = [part[place] for part in table]
            return None if any(part is None for part in parts) else np.concatenate(parts)[order]

        groups = [scenes[row] for row in order]
        parts = column(2)
        assert parts is not None
        advantages = compute_advantages(
            parts, groups, self.part_weights, config, reference_parts=column(3), credit=column(4), values=column(5)
        )
        place = {int(ids[row]): position for position, row in enumerate(order)}
        kept = dict.fromkeys(group for group, alive in zip(groups, advantages.kept, strict=True) if alive)
        return advantages, [place[int(rollout_id)] for rollout_id in rows.rollout_id], list(kept)

    @torch.no_grad()
    def _values(self, rows: StepRows) -> np.ndarray:
        fwd_out = self.module.forward_train({DEFAULT_MODULE_ID: self._inputs(rows, np.arange(len(rows)))})
        return self.policy.compute_values({}, fwd_out[DEFAULT_MODULE_ID][Columns.EMBEDDINGS]).float().cpu().numpy()

    def _inputs(self, rows: StepRows, chosen: np.ndarray) -> dict[str, Any]:
        """The policy's inputs for the rows `chosen`: each scene's mixture once."""
        first, scene_row = first_rows([rows.scene_id[row] for row in chosen])
        observed = {MIX: self._tensor(rows.mix[chosen[first]])}
        if rows.frames is not None:
            observed[FRAMES] = self._tensor(rows.frames[chosen[first]])
        return {Columns.OBS: observed, SCENE_ROW: self._tensor(scene_row)}

    def _minibatch(
        self, rows: StepRows, advantages: Advantages, own: list[int], kept: np.ndarray, total: float, epoch: int
    ) -> dict[str, Any]:
        weight = 1.0
        chosen = np.flatnonzero(kept)
        if not len(chosen):  # this rank has none of the minibatch's rows: it takes part in the step with one of no weight
            chosen, weight = np.array([0]), 0.0
            rows = _silenced(rows)
        places = np.array(own)[chosen]
        batch = self._inputs(rows, chosen) | {
            Columns.ACTIONS: self._tensor(rows.action[chosen]).mT,
            Columns.ACTION_DIST_INPUTS: self._tensor(rows.action_mean[chosen]).mT,
            _REFERENCE: self._tensor(rows.reference_mean[chosen]).mT,
            Postprocessing.ADVANTAGES: self._tensor(advantages.values[places].astype(np.float32)),
            Postprocessing.VALUE_TARGETS: self._tensor(advantages.value_targets[places].astype(np.float32)),
            _WEIGHT: torch.full((len(chosen),), weight, device=self._device),
            _TOTAL: total,
            "epoch": epoch,
        }
        if self.settings.anchor_gamma > 0:
            if rows.target is None:
                raise LearningError("learner.anchor_gamma is above 0, but the scenes have no clean targets: set it to 0")
            batch[_TARGET] = self._tensor(rows.target[chosen])
        return batch

    def _anchor(self, batch: dict[str, Any], fwd_out: dict[str, Tensor]) -> Tensor:
        """The supervised loss of the policy's own mask, each row counted once so that shares add up like the others'."""
        enhanced = self.policy.enhancer.apply_mask(batch[Columns.OBS][MIX], fwd_out[LOGITS].float())
        per_row = enhancement_loss(enhanced[batch[SCENE_ROW]], batch[_TARGET], self.settings.anchor)
        return weighted_mean(per_row, batch[_WEIGHT], batch[_TOTAL])

    def _note(self, losses: Mapping[str, Tensor], log_ratio: Tensor, weights: Tensor, epoch: int) -> None:
        for name, loss in losses.items():
            self._add(name, torch.stack([loss.detach().double().cpu(), torch.tensor(1.0).double()]))
        sums, largest = ratio_sums(log_ratio.cpu(), weights.cpu(), self.settings.clip)
        prefix = "first" if epoch == 0 else "later"
        self._add(f"{prefix}_sums", sums)
        self._sums[f"{prefix}_max"] = torch.maximum(self._sums.get(f"{prefix}_max", largest), largest)

    def _add(self, name: str, values: Tensor) -> None:
        self._sums[name] = self._sums.get(name, torch.zeros_like(values)) + values

    def _metrics(self, advantages: Advantages, scenes: int) -> dict[str, float]:
        ranks: list[dict[str, np.ndarray]] = gather_objects({name: value.numpy() for name, value in self._sums.items()})
        metrics = {"rows_kept": float(advantages.kept.sum()), "rows_dropped": float((~advantages.kept).sum()), "scenes": float(scenes)}
        metrics |= {f"dropped_{reason}": float(count) for reason, count in advantages.dropped().items()}
        for name in self._sums:
            if not name.endswith(("_sums", "_max")):
                metrics[name] = float(sum(rank[name][0] for rank in ranks) / max(ranks[0][name][1], 1))
        for prefix in ("first", "later"):
            if f"{prefix}_sums" in self._sums:
                sums, largest = sum(r[f"{prefix}_sums"] for r in ranks), np.max([r[f"{prefix}_max"] for r in ranks], axis=0)
                found = ratio_statistics(torch.from_numpy(sums), torch.from_numpy(largest))
                metrics |= {f"{prefix}_{key}": float(value) for key, value in vars(found).items() if key != "ratios"}
        if self._gradient_norms:
            metrics["grad_norm"] = float(np.mean(self._gradient_norms))
        judged = advantages.rewards[np.isfinite(advantages.rewards)]
        if len(judged):
            metrics |= {"reward": float(judged.mean()), "reward_std": float(judged.std())}
        if not all(np.isfinite(value) for value in metrics.values()):
            bad = {name: value for name, value in metrics.items() if not np.isfinite(value)}
            raise LearningError(f"step {self.version - 1}: the learner diverged ({bad}); lower learner.lr, or resume an earlier one")
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


def _silenced(rows: StepRows) -> StepRows:
    """The rows with silent mixtures: a scene that could not be loaded may hold anything."""
    return StepRows(**{**vars(rows), "mix": np.zeros_like(rows.mix)})


def _outcomes(rows: StepRows, advantages: Advantages, own: list[int]) -> list[RowOutcome]:
    per_row = advantages.values if advantages.values.ndim == 1 else advantages.values.mean(axis=1)
    return [
        RowOutcome(
            rollout_id=int(rollout_id),
            state="trained" if advantages.kept[place] else "dropped",
            reason=advantages.reasons[place],
            reward=float(advantages.rewards[place]),
            advantage=float(per_row[place]),
        )
        for rollout_id, place in zip(rows.rollout_id, own, strict=True)
    ]
