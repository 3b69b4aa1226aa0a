"""What Serve asks how many processes a pool of judges should have; it passes the question on to the panel's board (actors.pool_board).

It runs in Serve's controller, which need not find this package: Serve sends this module by value, so it imports nothing of ours. It never
blocks: an answer that is not there yet leaves the pool as it is.
"""

import asyncio
import time
from typing import Any

import ray
from ray.exceptions import RayError

NAMESPACE = "serve"
ASK_EVERY_S = 0.5
ANSWER_TIMEOUT_S = 10.0


def board_name(app_name: str) -> str:
    """The actor that a panel's pools are asked of."""
    return f"auricle-pools-{app_name}"


class QueueAgePolicy:
    """A custom autoscaling policy of Serve, one object a pool: `AutoscalingPolicy(policy_function="actors.pool_policy:QueueAgePolicy")`."""

    def __init__(self) -> None:
        self._wanted: int | None = None
        self._asking: asyncio.Task[None] | None = None
        self._asked_s = 0.0

    def __call__(self, context: Any) -> tuple[int, dict[str, Any]]:
        """Called by Serve ten times a second, in its event loop."""
        target: int = context.target_num_replicas
        idle = self._asking is None or self._asking.done()
        if idle and time.monotonic() - self._asked_s >= ASK_EVERY_S:
            self._asked_s = time.monotonic()
            question = (context.deployment_name, context.current_num_replicas, target)
            self._asking = asyncio.get_running_loop().create_task(self._ask(board_name(context.app_name), *question))
        wanted, self._wanted = self._wanted, None  # an answer is good once: Serve keeps it as its target
        return (target if wanted is None else wanted), {}

    async def _ask(self, board: str, pool: str, running: int, target: int) -> None:
        try:
            answer = ray.get_actor(board, namespace=NAMESPACE).decide.remote(pool, running, target)
            self._wanted = await asyncio.wait_for(answer, ANSWER_TIMEOUT_S)
        except (ValueError, RayError, TimeoutError):  # no such actor: the panel is not up yet, or again
            self._wanted = None
