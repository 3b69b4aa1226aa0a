"""How a policy tries something else than its mask: a Gaussian over few, smooth knots, or the paper's white noise on the mask.

`knots`: the action is a [bands, knots] grid of offsets to the mask's logits. Bands are mel-spaced and joined by triangles, knots in time
are joined by lines, so a sample is a gentle change of tone colour over time and not a crackle:
    mean    u = pinv(B_f) logits pinv(B_t)^T
    action  a = u + sigma eps,  eps ~ N(0, I)
    sample  logits + B_f (a - u) B_t^T
With delta = (u_new - u_old) / sigma the log-ratio of a knot in time is the sum over its bands of (eps delta - delta^2 / 2): an exact
Gaussian ratio in few dimensions. `white` (arXiv 2603.13952): a = mask + sigma eps in every bin of the mask itself; its log-probability
is averaged over the bins, since summed over a hundred thousand of them any step takes the ratio to zero.
"""

import math
from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from auricle.config import Config
from auricle.enhancers.interface import Enhancer
from auricle.errors import ConfigError

DEFAULT_SIGMA = {("knots", "sigmoid"): 1.0, ("knots", "relu"): 0.2, ("white", "sigmoid"): 0.05, ("white", "relu"): 0.05}
"""By kind and mask: a ReLU's logits are the mask itself, in which 1.0 is everything."""
_MASK_MARGIN = 1e-4  # white noise leaves (0, 1); the logit must stay finite
_CACHED_LENGTHS = 16


class ExplorationConfig(Config):
    """How actions are drawn around the policy's mean."""

    kind: Literal["knots", "white"] = "knots"
    """`knots`: low-dimensional and smooth, in the logits. `white`: one draw per bin and step, on the mask."""
    sigma: float | None = Field(default=None, gt=0)
    """Standard deviation of a draw, in logits (`knots`) or mask units (`white`). None: as DEFAULT_SIGMA says."""
    bands: int = Field(default=8, ge=2, le=64)
    """Mel-spaced bands over the frequency axis (`knots` only)."""
    knot_s: float = Field(default=0.4, gt=0)
    """Seconds between two knots in time; stretched so that knots lie on both ends of a clip (`knots` only)."""


class Explorer:
    """Actions in the knots' space, and what they do to a mask. Holds no parameters; works for any number of mask steps."""

    def __init__(
        self,
        bin_frequencies_hz: Float[Tensor, " bins"],
        hop_s: float,
        config: ExplorationConfig,
        *,
        mask: Literal["sigmoid", "relu"] = "sigmoid",
    ):
        """mask: the enhancer's squashing function, which `white` needs to know. Raises ConfigError for bands without bins."""
        self.config = config
        self.hop_s = hop_s
        self.mask = mask
        self.sigma = config.sigma if config.sigma is not None else DEFAULT_SIGMA[config.kind, mask]
        self._bands = band_basis(bin_frequencies_hz, config.bands) if config.kind == "knots" else None
        self._bands_inverse = None if self._bands is None else torch.linalg.pinv(self._bands)
        self._cache: dict[tuple, tuple[Tensor, Tensor, Tensor, Tensor]] = {}

    @classmethod
    def of(cls, enhancer: Enhancer, config: ExplorationConfig) -> Self:
        """The Explorer of this enhancer's mask."""
        return cls(enhancer.bin_frequencies_hz, enhancer.hop_s, config, mask=enhancer.mask_kind)

    def knots(self, steps: int) -> int:
        """How many entries in time an action has, for a mask of `steps` steps."""
        if self.config.kind == "white":
            return steps
        return 1 if steps < 2 else max(1, round((steps - 1) * self.hop_s / self.config.knot_s)) + 1

    def knot_times_s(self, steps: int) -> Float[np.ndarray, " knots"]:
        """When each entry in time of an action is, in seconds from the clip's start: where credit in time is given."""
        return np.linspace(0.0, (steps - 1) * self.hop_s, self.knots(steps))

    def mean(self, logits: Float[Tensor, "batch bins steps"]) -> Float[Tensor, "batch bands knots"]:
        """The policy's mean action. Differentiable."""
        if self.config.kind == "white":
            return torch.sigmoid(logits) if self.mask == "sigmoid" else torch.relu(logits)
        _, bands_inverse, _, knots_inverse = self._bases(logits)
        return bands_inverse @ logits @ knots_inverse.mT

    def sample(self, mean: Float[Tensor, "batch bands knots"], seeds: Sequence[int]) -> Float[Tensor, "batch bands knots"]:
        """One action a row, drawn from that row's own seed: the same whatever else is in the batch, and on any device.

        seeds: `auricle.learning.schedule.Rollout.noise_seed` of each row.
        """
        if len(seeds) != len(mean):
            raise ValueError(f"{len(mean)} rows but {len(seeds)} seeds; give one seed a row")
        noise = np.stack([_normal(seed, tuple(mean.shape[1:])) for seed in seeds])
        return mean + self.sigma * torch.from_numpy(noise).to(mean)

    def apply(
        self,
        logits: Float[Tensor, "batch bins steps"],
        mean: Float[Tensor, "batch bands knots"],
        action: Float[Tensor, "batch bands knots"],
    ) -> Float[Tensor, "batch bins steps"]:
        """The mask logits of the sample: `logits`, whose mean is `mean`, moved to where `action` is."""
        if self.config.kind == "white":
            moved = action if self.mask == "relu" else torch.logit(action, eps=_MASK_MARGIN)
            return torch.where(action == mean, logits, moved)
        bands, _, knots, _ = self._bases(logits)
        return logits + bands @ (action - mean) @ knots.mT

    def log_prob(
        self, action: Float[Tensor, "batch bands knots"], mean: Float[Tensor, "batch bands knots"]
    ) -> Float[Tensor, "batch knots"]:
        """Log-density of `action`, one number a knot in time: summed over bands (`knots`), or averaged over bins (`white`)."""
        density = -0.5 * ((action - mean) / self.sigma).square() - math.log(self.sigma) - 0.5 * math.log(2 * math.pi)
        return self._over_bands(density)

    def kl(self, mean: Float[Tensor, "batch bands knots"], reference: Float[Tensor, "batch bands knots"]) -> Float[Tensor, "batch knots"]:
        """Kullback-Leibler divergence between two policies of the same sigma, reduced as `log_prob` is. Exact."""
        return self._over_bands(0.5 * ((mean - reference) / self.sigma).square())

    def _over_bands(self, values: Float[Tensor, "batch bands knots"]) -> Float[Tensor, "batch knots"]:
        return values.mean(dim=1) if self.config.kind == "white" else values.sum(dim=1)

    def _bases(self, logits: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """B_f, pinv(B_f), B_t, pinv(B_t) for this length, on the logits' device."""
        if self._bands is None or self._bands_inverse is None:
            raise TypeError("white noise has no bases")
        if logits.shape[1] != len(self._bands):
            raise ValueError(f"logits have {logits.shape[1]} bins, but this Explorer was made for {len(self._bands)}")
        steps = logits.shape[2]
        key = (steps, logits.device, logits.dtype)
        if key not in self._cache:
            if len(self._cache) >= _CACHED_LENGTHS:
                self._cache.pop(next(iter(self._cache)))
            knots = knot_basis(steps, self.knots(steps))
            bases = (self._bands, self._bands_inverse, knots, torch.linalg.pinv(knots))
            self._cache[key] = tuple(basis.to(device=logits.device, dtype=logits.dtype) for basis in bases)  # type: ignore[assignment]
        return self._cache[key]

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_cache": {}}  # bases are remade where needed, rather than shipped between actors


def band_basis(bin_frequencies_hz: Float[Tensor, " bins"], bands: int) -> Float[Tensor, "bins bands"]:
    """Triangles over mel frequency, from the lowest bin to the highest; each row sums to one. Bins need not be sorted."""
    mel = 2595.0 * torch.log10(1.0 + bin_frequencies_hz.detach().double().cpu() / 700.0)
    centres = torch.linspace(float(mel.min()), float(mel.max()), bands, dtype=torch.float64)
    spacing = centres[1] - centres[0]
    basis = (1.0 - (mel[:, None] - centres).abs() / spacing).clamp(min=0.0) if spacing > 0 else torch.zeros(len(mel), bands)
    if int(torch.linalg.matrix_rank(basis)) < bands:
        raise ConfigError(f"exploration.bands = {bands}: more bands than the {len(mel)} frequency bins can tell apart; use fewer")
    return basis


def knot_basis(steps: int, knots: int) -> Float[Tensor, "steps knots"]:
    """Linear interpolation from `knots` equally spaced knots, the outer two on the first and last step."""
    if knots == 1:
        return torch.ones(steps, 1, dtype=torch.float64)
    position = torch.linspace(0, knots - 1, steps, dtype=torch.float64)
    return (1.0 - (position[:, None] - torch.arange(knots, dtype=torch.float64)).abs()).clamp(min=0.0)


def _normal(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.Generator(np.random.Philox(seed)).standard_normal(shape, dtype=np.float32)
