"""The policy as an RLlib module: an enhancer, a Gaussian of fixed width over the knots of its mask, and optionally a critic.

One class for rollout, reference and learner. RLlib's time axis stands for knots in time: an action is [rows, knots, bands], its
log-probability [rows, knots] (rows of the stream carry [bands, knots]). Samples of one scene share one forward pass: `obs` holds each
mixture once, and `scene_row` says which of them each row belongs to.
"""

import math
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from ray.rllib.core.columns import Columns
from ray.rllib.core.distribution.torch.torch_distribution import TorchDiagGaussian
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from torch import Tensor, nn

from auricle.config import build
from auricle.enhancers.checkpoint import load_enhancer
from auricle.enhancers.exploration import ExplorationConfig, Explorer
from auricle.enhancers.registry import build_enhancer, registered_name
from auricle.learning.losses import gaussian_kl

MIX, FRAMES = "mix", "frames"
SCENE_ROW = "scene_row"
NOISE_SEEDS = "noise_seeds"
ENHANCED = "enhanced"
LOGITS = "logits"
ENHANCER_PREFIX = "enhancer."

# Their output at training time depends on chance or on the rest of the batch: the ratio would differ from 1 at equal weights.
_UNREPEATABLE = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._BatchNorm)


class KnotGaussian(TorchDiagGaussian):
    """A Gaussian of one fixed sigma over [rows, knots, bands]; `sigma` and `over_bands` (sum or mean) are set by `knot_gaussian`."""

    sigma: float
    over_bands: str

    @classmethod
    def from_logits(cls, logits: Float[Tensor, "rows knots bands"], **kwargs: Any) -> "KnotGaussian":
        """The distribution around the mean `logits`: sigma is not learned."""
        return cls(loc=logits, scale=torch.full_like(logits, cls.sigma))

    def logp(self, value: Float[Tensor, "rows knots bands"], **kwargs: Any) -> Float[Tensor, "rows knots"]:
        """Log-density per knot in time."""
        density = self._dist.log_prob(value)
        return density.sum(-1) if self.over_bands == "sum" else density.mean(-1)

    def entropy(self) -> Float[Tensor, "rows knots"]:
        """Entropy per knot in time: a constant."""
        entropy = self._dist.entropy()
        return entropy.sum(-1) if self.over_bands == "sum" else entropy.mean(-1)

    def kl(self, other: "KnotGaussian", **kwargs: Any) -> Float[Tensor, "rows knots"]:  # type: ignore[override]
        """KL divergence per knot in time, from the means."""
        return gaussian_kl(self.loc, other.loc, self.sigma, reduce=self.over_bands)


def knot_gaussian(explorer: Explorer) -> type[KnotGaussian]:
    """The distribution of `explorer`'s actions: summed over bands for knots; the mean over bins for white noise (a sum over 10^5 bins
    would take every ratio to zero)."""
    over_bands = "mean" if explorer.config.kind == "white" else "sum"
    return type("KnotGaussian", (KnotGaussian,), {"sigma": explorer.sigma, "over_bands": over_bands})


class EnhancementPolicy(TorchRLModule, ValueFunctionAPI):
    """See the module's text.

    model_config: {"enhancer": {"class", "options"}, "exploration": {...}, "critic": bool, "precision"}, JSON throughout.
    """

    def setup(self) -> None:
        """Build the networks that `model_config` describes."""
        description = dict(self.model_config)
        self.enhancer = build_enhancer(description["enhancer"]["class"], description["enhancer"]["options"])
        exploration = build(ExplorationConfig, description["exploration"], source="policy.exploration")
        self.explorer = Explorer.of(self.enhancer, exploration)
        bands = exploration.bands if exploration.kind == "knots" else len(self.enhancer.bin_frequencies_hz)
        self.critic = _Critic(2 * bands) if description.get("critic") else None
        self.action_dist_cls = knot_gaussian(self.explorer)
        # bf16 runs the enhancer's layers under autocast; means, masks and waveforms are fp32 always.
        self.precision = description.get("precision", "fp32")

    @classmethod
    def from_enhancer(
        cls, folder: Path | str, exploration: ExplorationConfig, *, critic: bool = False, precision: str = "fp32"
    ) -> "EnhancementPolicy":
        """The policy around the enhancer in `folder`; the critic, where there is one, starts afresh.

        precision: the learner's. A rollout in another one would have ratios unlike 1 before the first step.
        """
        enhancer = load_enhancer(folder)
        policy = cls(model_config=model_config(enhancer, exploration, critic=critic, precision=precision))
        policy.enhancer.load_state_dict(enhancer.state_dict())
        return policy

    def train(self, mode: bool = True) -> "EnhancementPolicy":
        """Training mode without chance: dropout and batch statistics stay off."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, _UNREPEATABLE):
                module.training = False
        return self

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Means of the actions, [rows, knots, bands], the mask logits a scene, and what the critic looks at."""
        observed = batch[Columns.OBS]
        with torch.autocast(observed[MIX].device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            logits = self.enhancer.mask_logits(observed[MIX], observed.get(FRAMES)).float()
        mean = self.explorer.mean(logits)
        rows = batch.get(SCENE_ROW)
        features = torch.cat([mean.mean(2), mean.std(2, correction=0)], dim=1).detach()
        if rows is not None:
            mean, features = mean[rows], features[rows]
        return {Columns.ACTION_DIST_INPUTS: mean.mT, Columns.EMBEDDINGS: features, LOGITS: logits}

    def _forward_inference(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Adds the enhanced waveforms, one a scene, without exploration."""
        with torch.no_grad():
            result = self._forward(batch)
            return result | {ENHANCED: self.enhancer.apply_mask(batch[Columns.OBS][MIX], result[LOGITS])}

    def _forward_exploration(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Adds sampled actions, their log-probabilities and the enhanced waveforms, one a row; `noise_seeds` gives each row's draw."""
        with torch.no_grad():
            result = self._forward(batch)
            rows = batch.get(SCENE_ROW, torch.arange(len(batch[NOISE_SEEDS])))
            mean = result[Columns.ACTION_DIST_INPUTS].mT
            action = self.explorer.sample(mean, batch[NOISE_SEEDS])
            sampled = self.explorer.apply(result[LOGITS][rows], mean, action)
            return result | {
                Columns.ACTIONS: action.mT,
                Columns.ACTION_LOGP: self.explorer.log_prob(action, mean),
                ENHANCED: self.enhancer.apply_mask(batch[Columns.OBS][MIX][rows], sampled),
            }

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> Float[Tensor, " rows"]:
        """The critic's value of each row; 0 without a critic."""
        features = self._forward(batch)[Columns.EMBEDDINGS] if embeddings is None else embeddings
        return self.critic(features) if self.critic is not None else features.new_zeros(len(features))


def model_config(enhancer: Any, exploration: ExplorationConfig, *, critic: bool = False, precision: str = "fp32") -> dict[str, Any]:
    """The `model_config` of a policy around a network like `enhancer`."""
    description = {"class": registered_name(type(enhancer)), "options": enhancer.config.model_dump(mode="json")}
    return {"enhancer": description, "exploration": exploration.model_dump(mode="json"), "critic": critic, "precision": precision}


class _Critic(nn.Module):
    """The value of a scene from the mean and spread over time of its mask's bands; no gradient flows back into the mask."""

    def __init__(self, features: int, width: int = 32) -> None:
        super().__init__()
        self.hidden = nn.Linear(features, width)
        self.value = nn.Linear(width, 1)
        nn.init.zeros_(self.value.weight)
        nn.init.zeros_(self.value.bias)

    def forward(self, features: Float[Tensor, "rows features"]) -> Float[Tensor, " rows"]:
        return self.value(torch.tanh(self.hidden(features / math.sqrt(features.shape[1])))).squeeze(1)
