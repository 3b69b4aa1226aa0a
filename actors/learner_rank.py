"""The Ray actor of one learner rank: a thin shell around a learner, which it builds once it has joined the other ranks.

bind (rank 0) -> setup -> update / weights / save / load ... -> killed by the pool
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import ray

from actors.engine import join_group, open_port


class LearnerRank:
    """Hosts a `PolicyLearner`. Subclasses add loops of their own, or override `build` for another learner."""

    def __init__(self) -> None:
        self.rank = 0
        self.learner: Any = None
        self._listener: int | None = None
        self._weights: dict[str, np.ndarray] = {}

    def build(self, *arguments: Any, **named: Any) -> Any:
        """The learner, inside the group of ranks."""
        from actors.learner import PolicyLearner  # RLlib is imported in ranks that need it, and nowhere else

        return PolicyLearner(*arguments, **named)

    def bind(self, address: str) -> tuple[str, int]:
        """On rank 0: take a free port where the ranks meet. Empty address: this node's own."""
        found, port, self._listener = open_port(address or ray.util.get_node_ip_address())
        return found, port

    def setup(
        self, rank: int, world_size: int, address: str, port: int, timeout_s: float, arguments: tuple[Any, ...], named: dict[str, Any]
    ) -> None:
        """Join the other ranks, and build the learner. timeout_s: also the longest wait for the others inside an update."""
        self.rank = rank
        join_group(rank, world_size, address, port, timeout_s=timeout_s, listener=self._listener)
        self.learner = self.build(*arguments, **named)

    def node(self) -> str:
        """The node this rank runs on."""
        return ray.get_runtime_context().get_node_id()

    def pid(self) -> int:
        """This rank's process id on its node."""
        return os.getpid()

    def call(self, method: str, *arguments: Any) -> Any:
        """The learner's method, by name."""
        return getattr(self.learner, method)(*arguments)

    def update(self, columns: dict[str, Any]) -> Any:
        """Train on this rank's rows of one step (`PolicyLearner.update_rows`). Collective."""
        return self.learner.update_rows(columns)

    def weights(self) -> dict[str, np.ndarray]:
        """The enhancer's weights, whole, as fp32 arrays. Collective."""
        self._weights = self.learner.weights()
        return self._weights

    def save_policy(self, folder: str) -> None:
        """The weights of the last `weights` call as an enhancer's checkpoint. Not collective: one rank is enough."""
        self.learner.save_enhancer(Path(folder), self._weights)

    def save(self, folder: str) -> None:
        """Everything needed to go on, optimiser included, into `folder`. Collective."""
        self.learner.save(folder)

    def load(self, folder: str) -> None:
        """Go on from what `save` wrote. Collective."""
        self.learner.load(folder)

    def version(self) -> int:
        """The learner's count of finished steps."""
        return self.learner.version
