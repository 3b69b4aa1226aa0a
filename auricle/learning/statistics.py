"""The numbers of one learner step, gathered minibatch by minibatch on each rank and merged into metrics that are equal on all of them."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from auricle.learning.advantages import Advantages
from auricle.learning.losses import ratio_statistics, ratio_sums

Sums = dict[str, np.ndarray]
_RATIO_SUMS, _RATIO_MAX = "ratio_sums", "ratio_max"


class StepStatistics:
    """What one rank adds up. `first` ratios are of the first epoch (how stale the rows were), `later` ones of the others."""

    def __init__(self) -> None:
        self._losses: dict[str, list[float]] = {}
        self._ratios: dict[str, tuple[Tensor, Tensor]] = {}
        self._gradient_norms: list[float] = []

    def add_minibatch(
        self,
        losses: Mapping[str, Tensor],
        log_ratio: Float[Tensor, "rows knots"],
        weights: Float[Tensor, " rows"],
        *,
        clip: float,
        epoch: int,
    ) -> None:
        """losses: this rank's shares, by name."""
        for name, loss in losses.items():
            self._losses.setdefault(name, []).append(float(loss.detach()))
        sums, largest = ratio_sums(log_ratio.cpu(), weights.cpu(), clip)
        when = "first" if epoch == 0 else "later"
        before = self._ratios.get(when, (torch.zeros_like(sums), largest))
        self._ratios[when] = (before[0] + sums, torch.maximum(before[1], largest))

    def add_gradient_norm(self, norm: float) -> None:
        """The norm over all ranks, before it was limited."""
        self._gradient_norms.append(norm)

    def sums(self) -> Sums:
        """What the other ranks need to know."""
        found = {name: np.array([sum(values), len(values)]) for name, values in self._losses.items()}
        for when, (sums, largest) in self._ratios.items():
            found |= {f"{when}_{_RATIO_SUMS}": sums.numpy(), f"{when}_{_RATIO_MAX}": largest.numpy()}
        if self._gradient_norms:
            found["grad_norm"] = np.array([float(np.mean(self._gradient_norms)), 1.0])
        return found


def merge(ranks: Sequence[Sums]) -> dict[str, float]:
    """Metrics from the sums of all ranks: losses are shares that add up over ranks and are averaged over minibatches."""
    metrics: dict[str, float] = {}
    for name, own in ranks[0].items():
        if name == "grad_norm":
            metrics[name] = float(own[0])
        elif not name.endswith((_RATIO_SUMS, _RATIO_MAX)):
            metrics[name] = float(sum(rank[name][0] for rank in ranks) / max(own[1], 1.0))
    for when in ("first", "later"):
        if f"{when}_{_RATIO_SUMS}" not in ranks[0]:
            continue
        sums = np.sum([rank[f"{when}_{_RATIO_SUMS}"] for rank in ranks], axis=0)
        largest = np.max([rank[f"{when}_{_RATIO_MAX}"] for rank in ranks], axis=0)
        found = ratio_statistics(torch.from_numpy(sums), torch.from_numpy(largest))
        metrics |= {f"{when}_{name}": float(value) for name, value in vars(found).items() if name != "ratios"}
    return metrics


def row_metrics(advantages: Advantages, scenes: int) -> dict[str, float]:
    """How many rows were kept and dropped, the reward of those that were judged, and how far the judges agreed on them.

    judges_spread: mean standard deviation over the panel's parts, in units of each part's spread: 0 where all say the same, and 1 for many
    parts that have nothing in common. judges_correlation: mean rank correlation of pairs of parts; judges_correlation/I~J: of columns I, J.
    """
    metrics = {
        "rows_kept": float(advantages.kept.sum()),
        "rows_dropped": float((~advantages.kept).sum()),
        "scenes": float(scenes),
        **{f"dropped_{reason}": float(count) for reason, count in advantages.dropped().items()},
    }
    judged = advantages.rewards[np.isfinite(advantages.rewards)]
    if len(judged):
        metrics |= {"reward": float(judged.mean()), "reward_std": float(judged.std())}
    if pairs := advantages.rank_correlations:
        metrics |= {
            "judges_spread": float(advantages.disagreement[advantages.kept].mean()),
            "judges_correlation": float(np.mean(list(pairs.values()))),
            **{f"judges_correlation/{left}~{right}": value for (left, right), value in pairs.items()},
        }
    return metrics
