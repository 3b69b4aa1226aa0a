"""The learner pool: one actor a rank, started, watched and rebuilt as a whole.

    LearnerPool(...) -> call ... call -> close
        ^                 |  a rank dies, or does not answer in time
        |                 v
        +------------ rebuild(checkpoint): all ranks killed, new actors, new port, load

Invariants
- Every call has a deadline. A call that fails leaves no rank behind: a group that lost one rank can make no further step.
- Ranks are rebuilt together and from a checkpoint, never singly; `max_rebuilds` bounds how often.
- An error that a rank raises on purpose (an AuricleError) reaches the caller as itself; everything else becomes a PoolError.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError

from actors.learner_rank import LearnerRank
from auricle.errors import AuricleError, DeadlineError, PoolError
from auricle.learning.config import LearnerPoolConfig

logger = logging.getLogger("auricle.learner_pool")

_LOOPBACK = "127.0.0.1"


class LearnerPool:
    """All ranks of one learner, as the driver sees them: started by the constructor, ended by `close` or the `with` block."""

    def __init__(
        self,
        config: LearnerPoolConfig,
        rank_class: type[LearnerRank],
        arguments: Sequence[Any],
        named: Mapping[str, Any] | None = None,
        *,
        checkpoint: str | Path | None = None,
    ) -> None:
        """arguments, named: of `rank_class.build`, that is, of the learner. Raises PoolError, DeadlineError, or the learner's own error."""
        self._config, self._rank_class = config, rank_class
        self._arguments, self._named = tuple(arguments), dict(named or {})
        self._rebuilds = 0
        self.ranks: list[Any] = []
        self._start(checkpoint)

    def __enter__(self) -> "LearnerPool":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def call(self, method: str, *arguments: Any, timeout_s: float | None = None) -> list[Any]:
        """The same method of every rank; answers by rank. Raises PoolError, DeadlineError, or the learner's own AuricleError."""
        return self.call_each(method, [arguments] * self._config.ranks, timeout_s=timeout_s)

    def call_each(self, method: str, arguments: Sequence[Sequence[Any]], *, timeout_s: float | None = None) -> list[Any]:
        """As `call`, with arguments of its own for each rank."""
        if not self.ranks:
            raise PoolError(f"the learner pool is down, so it cannot {method}; rebuild it first")
        answers = [getattr(rank, method).remote(*own) for rank, own in zip(self.ranks, arguments, strict=True)]
        return self._wait(method, answers, timeout_s or self._config.call_timeout_s)

    def rebuild(self, checkpoint: str | Path | None) -> None:
        """All ranks anew, from a checkpoint (None: from the start). Raises PoolError once `max_rebuilds` is spent."""
        self.close()
        self._rebuilds += 1
        if self._rebuilds > self._config.max_rebuilds:
            raise PoolError(f"the learner ranks were lost {self._rebuilds} times (max_rebuilds = {self._config.max_rebuilds}); see the log")
        logger.warning("rebuilding %d learner rank(s) from %s", self._config.ranks, checkpoint or "the start")
        self._start(checkpoint)

    def close(self) -> None:
        """Kill all ranks. Harmless when called twice."""
        for rank in self.ranks:
            ray.kill(rank, no_restart=True)
        self.ranks = []

    def _start(self, checkpoint: str | Path | None) -> None:
        config, timeout_s = self._config, self._config.start_timeout_s
        actor = ray.remote(
            num_cpus=config.num_cpus, num_gpus=config.num_gpus, resources=config.resources or None, max_restarts=0, max_task_retries=0
        )(self._rank_class)
        self.ranks = [actor.remote() for _ in range(config.ranks)]
        nodes = self.call("node", timeout_s=timeout_s)
        [(address, port)] = self._wait("bind", [self.ranks[0].bind.remote(_LOOPBACK if len(set(nodes)) == 1 else "")], timeout_s)
        common = (config.ranks, address, port, config.call_timeout_s, self._arguments, self._named)
        self.call_each("setup", [(rank, *common) for rank in range(config.ranks)], timeout_s=timeout_s)
        if checkpoint is not None:
            self.call("load", str(checkpoint), timeout_s=timeout_s)

    def _wait(self, what: str, answers: list[Any], timeout_s: float) -> list[Any]:
        try:
            return _answers(what, answers, timeout_s)
        except BaseException:
            self.close()
            raise


def _answers(what: str, answers: list[Any], timeout_s: float) -> list[Any]:
    try:
        return ray.get(answers, timeout=timeout_s)
    except GetTimeoutError:
        late = [rank for rank, answer in enumerate(answers) if not ray.wait([answer], timeout=0)[0]]
        raise DeadlineError(f"learner rank(s) {late} did not finish {what!r} in {timeout_s:.0f} s; all ranks were stopped") from None
    except RayError as error:
        cause = error.cause if isinstance(error, RayTaskError) else error
        if isinstance(cause, AuricleError):
            raise cause from None
        lines = str(cause).strip().splitlines() or [""]
        raise PoolError(f"a learner rank was lost in {what!r} ({type(cause).__name__}: {lines[-1].strip()[:300]})") from error
