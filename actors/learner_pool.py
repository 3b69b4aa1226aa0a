"""The learner pool: one actor a rank, started, watched and rebuilt as a whole.

    start --> call ... call --> stop
      ^         |  a rank dies, or does not answer in time
      |         v
      +---- rebuild(checkpoint): kill all ranks, new actors, new port, load

Invariants
- Every call has a deadline. A call that fails leaves no rank behind: a group that lost one rank can make no further step.
- Ranks are rebuilt together and from a checkpoint, never singly; `max_rebuilds` bounds how often.
- An error that a rank raises on purpose (an AuricleError) reaches the caller as itself; everything else becomes a PoolError.
"""

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import ray
from pydantic import Field
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError

from actors.engine import join_group, leave_group, open_port
from auricle.config import Config
from auricle.errors import AuricleError, DeadlineError, PoolError

logger = logging.getLogger("auricle.learner_pool")

_LOOPBACK = "127.0.0.1"


class LearnerPoolConfig(Config):
    """How many learner ranks there are, and how long they may take."""

    ranks: int = Field(default=1, ge=1)
    """Learner ranks; the rows of a step are shared among them."""
    num_cpus: float = Field(default=0.5, ge=0)
    """Logical CPUs of each rank."""
    num_gpus: float = Field(default=0.0, ge=0)
    """GPUs of each rank."""
    resources: dict[str, float] = {}
    """Further Ray resources of each rank, such as {"learner": 1} to pin the pool to a kind of node."""
    start_timeout_s: float = Field(default=180.0, gt=0)
    """Longest time for all ranks to start, join one another and build the learner, in seconds."""
    call_timeout_s: float = Field(default=600.0, gt=0)
    """Longest time for one call of all ranks, in seconds."""
    max_rebuilds: int = Field(default=3, ge=0)
    """How often a run rebuilds its ranks before it gives up."""


class Learner(Protocol):
    """What a rank hosts: `actors.learner.PolicyLearner`, or `actors.supervised.SupervisedLearner`."""

    version: int

    def save(self, folder: str | Path) -> None: ...

    def load(self, folder: str | Path) -> None: ...


class LearnerRank:
    """The Ray actor of one rank: a thin shell around a learner. `ray.remote(LearnerRank)`."""

    def __init__(self) -> None:
        self._listener: int | None = None
        self._learner: Any = None

    def bind(self, address: str) -> tuple[str, int]:
        """On rank 0: take a free port that the ranks meet at. Empty address: this node's own."""
        found, port, self._listener = open_port(address or ray.util.get_node_ip_address())
        return found, port

    def node(self) -> str:
        """The node this rank runs on."""
        return ray.get_runtime_context().get_node_id()

    def pid(self) -> int:
        """The rank's process id on its node."""
        return os.getpid()

    def setup(self, rank: int, world_size: int, address: str, port: int, build: Callable[[], Learner], timeout_s: float) -> None:
        """Join the other ranks, and build the learner."""
        join_group(rank, world_size, address, port, timeout_s=timeout_s, listener=self._listener)
        self._learner = build()

    def call(self, method: str, *arguments: Any, **named: Any) -> Any:
        """The learner's method, by name."""
        return getattr(self._learner, method)(*arguments, **named)

    def apply(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """`function(learner, ...)` in the rank's process: how a pipeline feeds a shard of a stream to a learner where it lives."""
        return function(self._learner, *arguments, **named)

    def update(self, columns: dict[str, Any]) -> Any:
        """`PolicyLearner.update_rows`: this rank's rows of one step."""
        return self._learner.update_rows(columns)

    def weights(self) -> Any:
        """The learner's weights; all ranks have to be asked."""
        return self._learner.weights()

    def save(self, folder: str) -> None:
        """Write the learner's state; all ranks have to be asked."""
        self._learner.save(folder)

    def load(self, folder: str) -> None:
        """Read the learner's state; all ranks have to be asked."""
        self._learner.load(folder)

    def version(self) -> int:
        """The learner's count of finished steps."""
        return self._learner.version

    def leave(self) -> None:
        """Leave the group, before the actor is stopped in good order."""
        leave_group()


class LearnerPool:
    """All ranks of one learner, as the driver sees them. A context manager."""

    def __init__(self, build: Callable[[], Learner], config: LearnerPoolConfig) -> None:
        """build: makes the learner inside a rank that has joined its group, such as functools.partial(PolicyLearner, ...)."""
        self._build, self._config = build, config
        self._rebuilds = 0
        self.ranks: list[Any] = []

    def __enter__(self) -> "LearnerPool":
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self, checkpoint: str | Path | None = None) -> None:
        """Start all ranks and, where given, go on from a checkpoint. Raises PoolError or DeadlineError."""
        config, timeout_s = self._config, self._config.start_timeout_s
        actor = ray.remote(LearnerRank).options(
            num_cpus=config.num_cpus, num_gpus=config.num_gpus, resources=config.resources or None, max_restarts=0, max_task_retries=0
        )
        self.ranks = [actor.remote() for _ in range(config.ranks)]
        nodes = self._wait("start", [rank.node.remote() for rank in self.ranks], timeout_s)
        [(address, port)] = self._wait("bind", [self.ranks[0].bind.remote(_LOOPBACK if len(set(nodes)) == 1 else "")], timeout_s)
        self._wait(
            "setup",
            [
                rank.setup.remote(number, config.ranks, address, port, self._build, config.call_timeout_s)
                for number, rank in enumerate(self.ranks)
            ],
            timeout_s,
        )
        if checkpoint is not None:
            self.call("load", str(checkpoint), timeout_s=timeout_s)

    def call(self, method: str, *arguments: Any, timeout_s: float | None = None) -> list[Any]:
        """The same method of every rank's learner; answers by rank. Raises PoolError, DeadlineError, or the learner's own AuricleError."""
        return self.call_each(method, [arguments] * self._config.ranks, timeout_s=timeout_s)

    def call_each(self, method: str, arguments: Sequence[Sequence[Any]], *, timeout_s: float | None = None) -> list[Any]:
        """As `call`, with arguments of its own for each rank."""
        if not self.ranks:
            raise PoolError(f"the learner pool does not run, so it cannot {method}; start or rebuild it first")
        answers = [rank.call.remote(method, *own) for rank, own in zip(self.ranks, arguments, strict=True)]
        return self._wait(method, answers, timeout_s or self._config.call_timeout_s)

    def rebuild(self, checkpoint: str | Path | None) -> None:
        """All ranks anew, from a checkpoint (None: from the start). Raises PoolError once `max_rebuilds` is spent."""
        self._kill()
        self._rebuilds += 1
        if self._rebuilds > self._config.max_rebuilds:
            raise PoolError(
                f"the learner ranks were lost {self._rebuilds} times, more often than learner_pool.max_rebuilds allows; see the log"
            )
        logger.warning("rebuilding %d learner rank(s) from %s", self._config.ranks, checkpoint or "the start")
        self.start(checkpoint)

    def stop(self) -> None:
        """Stop all ranks. Harmless when called twice."""
        self._kill()

    def _wait(self, what: str, answers: list[Any], timeout_s: float) -> list[Any]:
        try:
            return self._answers(what, answers, timeout_s)
        except BaseException:
            self._kill()
            raise

    def _answers(self, what: str, answers: list[Any], timeout_s: float) -> list[Any]:
        try:
            return ray.get(answers, timeout=timeout_s)
        except GetTimeoutError:
            late = [rank for rank, answer in enumerate(answers) if not ray.wait([answer], timeout=0)[0]]
            raise DeadlineError(
                f"learner rank(s) {late} did not finish {what!r} within {timeout_s:.0f} s; all ranks were stopped"
            ) from None
        except RayTaskError as error:
            if isinstance(error.cause, AuricleError):
                raise error.cause from None
            raise PoolError(f"a learner rank failed in {what!r}: {_last_line(error)}; all ranks were stopped") from error
        except RayActorError as error:
            raise PoolError(f"a learner rank died in {what!r}: {_last_line(error)}; all ranks were stopped") from error
        except RayError as error:
            raise PoolError(f"the learner ranks could not be reached for {what!r}: {_last_line(error)}") from error

    def _kill(self) -> None:
        for rank in self.ranks:
            ray.kill(rank, no_restart=True)
        self.ranks = []


def _last_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()[:300]
