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
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import ray
from ray.exceptions import GetTimeoutError, RayError

from actors.deaths import Place, broken_ranks, faults_of, own_place
from actors.engine import is_derived, join_group, open_port
from actors.home import Piece, mark, passing_folder, pieces_of, put_piece, sees
from actors.pulse import own_pulse
from auricle.errors import CheckpointError, DeadlineError, EnvironmentSetupError, PoolError
from auricle.files import on_disk
from auricle.learning.config import LearnerPoolConfig
from auricle.pulse import during

logger = logging.getLogger("auricle.learner_pool")

_LOOPBACK = "127.0.0.1"


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
        self._passing = ExitStack()
        self._taken: Path | None = None

    def bind(self, address: str) -> tuple[str, int]:
        """On rank 0: take a free port that the ranks meet at. Empty address: this node's own."""
        found, port, self._listener = open_port(address or ray.util.get_node_ip_address())
        return found, port

    def place(self) -> Place:
        """Where this rank lives."""
        return own_place()

    def sees(self, folder: str, token: str) -> bool:
        """Whether this node sees a folder that the driver marked (`actors.home`)."""
        return sees(Path(folder), token)

    def take(self, piece: Piece) -> str:
        """A piece of a checkpoint that this node does not see; returns the folder that they gather in."""
        if self._taken is None:
            self._taken = self._passing.enter_context(passing_folder())
        with on_disk(self._taken):
            put_piece(self._taken, piece)
        return str(self._taken)

    def forget(self) -> None:
        """Remove what was taken."""
        self._passing.close()
        self._taken = None

    def setup(self, rank: int, world_size: int, address: str, port: int, build: Callable[[], Learner], timeout_s: float) -> None:
        """Join the other ranks, and build the learner."""
        own_pulse(f"learner rank {rank}")
        join_group(rank, world_size, address, port, timeout_s=timeout_s, listener=self._listener)
        self._learner = build()

    def call(self, method: str, *arguments: Any) -> Any:
        """The learner's method, by name. Most are collective: every rank has to be asked."""
        with during(method):
            return getattr(self._learner, method)(*arguments)

    def apply(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """`function(learner, ...)` in the rank's process: how a pipeline feeds a share of a stream to a learner where it lives."""
        return function(self._learner, *arguments, **named)


class LearnerPool:
    """All ranks of one learner, as the driver sees them. A context manager."""

    def __init__(self, build: Callable[[], Learner], config: LearnerPoolConfig) -> None:
        """build: makes the learner inside a rank that has joined its group, such as functools.partial(PolicyLearner, ...)."""
        self._build, self._config = build, config
        self._rebuilds = 0
        self.ranks: list[Any] = []
        self.places: dict[int, Place] = {}

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
        self.places = dict(enumerate(self._wait("start", [rank.place.remote() for rank in self.ranks], timeout_s)))
        one_node = len({place.node_id for place in self.places.values()}) == 1
        [(address, port)] = self._wait("bind", [self.ranks[0].bind.remote(_LOOPBACK if one_node else "")], timeout_s)
        self._wait(
            "setup",
            [
                rank.setup.remote(number, config.ranks, address, port, self._build, config.call_timeout_s)
                for number, rank in enumerate(self.ranks)
            ],
            timeout_s,
        )
        if checkpoint is not None:
            self._load(Path(checkpoint), timeout_s)

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
            raise PoolError(f"the learner ranks were lost {self._rebuilds} times (max_rebuilds = {self._config.max_rebuilds}); see the log")
        logger.warning("rebuilding %d learner rank(s) from %s", self._config.ranks, checkpoint or "the start")
        self.start(checkpoint)

    def stop(self) -> None:
        """Stop all ranks. Harmless when called twice."""
        self._kill()

    def require_seen(self, folder: Path) -> None:
        """Raises EnvironmentSetupError where a rank's node does not see the driver's folder, into which it is going to save."""
        token = mark(folder)
        seen = self._wait("look", [rank.sees.remote(str(folder), token) for rank in self.ranks], self._config.start_timeout_s)
        if blind := [f"learner rank {rank} ({self.places[rank]})" for rank, sees_it in enumerate(seen) if not sees_it]:
            raise EnvironmentSetupError(
                f"{', '.join(blind)} does not see {folder}; give all nodes a shared folder, or keep the ranks on the driver's node "
                "(learner_pool.resources)"
            )

    def _load(self, checkpoint: Path, timeout_s: float) -> None:
        """Ranks that do not see the checkpoint are handed a copy of it."""
        if not checkpoint.is_dir():
            raise CheckpointError(f"{checkpoint}: no such checkpoint")
        token = mark(checkpoint)
        places = [str(checkpoint)] * len(self.ranks)
        for number, seen in enumerate(self._wait("look", [rank.sees.remote(str(checkpoint), token) for rank in self.ranks], timeout_s)):
            if not seen:
                for piece in pieces_of(checkpoint, leave_out=is_derived):
                    [places[number]] = self._wait("take", [self.ranks[number].take.remote(piece)], timeout_s)
        self.call_each("load", [(place,) for place in places], timeout_s=timeout_s)
        self._wait("forget", [rank.forget.remote() for rank in self.ranks], timeout_s)

    def _wait(self, what: str, answers: list[Any], timeout_s: float) -> list[Any]:
        try:
            return _answers(what, answers, timeout_s, self.places)
        except BaseException:
            self._kill()
            raise

    def _kill(self) -> None:
        for rank in self.ranks:
            ray.kill(rank, no_restart=True)
        self.ranks = []


def _answers(what: str, answers: list[Any], timeout_s: float, places: Mapping[int, Place]) -> list[Any]:
    try:
        return ray.get(answers, timeout=timeout_s)
    except GetTimeoutError:
        late = [rank for rank, answer in enumerate(answers) if not ray.wait([answer], timeout=0)[0]]
        raise DeadlineError(f"learner rank(s) {late} did not finish {what!r} in {timeout_s:.0f} s; all ranks were stopped") from None
    except RayError as error:
        raise broken_ranks(faults_of(answers), places, f" in {what!r}") from error
