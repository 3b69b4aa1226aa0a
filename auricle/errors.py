"""Every error that Auricle raises on purpose. Each message says what, where, which value, and the cure."""

from collections.abc import Iterator
from contextlib import contextmanager


class AuricleError(Exception):
    """Base of all of Auricle's errors; the command line prints these without a traceback."""


@contextmanager
def told_in_a_line(program: str) -> Iterator[None]:
    """For a program's `main`: Auricle's own errors end it with one line and exit status 1."""
    try:
        yield
    except AuricleError as error:
        raise SystemExit(f"{program}: {error}") from None


class ConfigError(AuricleError):
    """A configuration key or value that cannot be used."""


class SceneError(AuricleError):
    """A scene, or a file of one, that cannot be used."""


class EmptyCorpusError(SceneError):
    """No usable scene was left."""


class MediaError(SceneError):
    """An audio or video file that cannot be decoded, or whose content cannot be used.

    fault: one word for counting: missing, empty, truncated, nan, silent, rate, length, or unreadable.
    """

    def __init__(self, message: str, *, fault: str = "unreadable") -> None:
        super().__init__(message)
        self.fault = fault


class RatingsError(AuricleError):
    """A table of people's ratings, or of a judge's answers, that cannot be used."""


class CheckpointError(AuricleError):
    """A checkpoint that is missing, incomplete or does not fit the model."""


class JudgeError(AuricleError):
    """A judge that cannot be set up. (A judge that cannot judge one clip returns `Failed` instead.)"""


class JudgeUnavailableError(JudgeError):
    """A judge that does not answer at the moment (its process died, or is overloaded): worth another try."""


class MetricError(AuricleError):
    """A metric that cannot be computed for a clip. (It is never replaced by a number.)"""


class FailureBudgetError(AuricleError):
    """More judgements failed than the run allows."""


class LearningError(AuricleError):
    """A learner that was given rows it cannot use, or that diverged."""


class LedgerError(AuricleError):
    """The ledger does not add up, or cannot be read."""


class DeadlineError(AuricleError):
    """A remote call did not answer within its deadline."""


class PoolError(AuricleError):
    """A pool's actors died more often than the run allows."""


class StoreError(AuricleError):
    """An object store that does not answer, or that holds no complete run where one is looked for."""


class TakenOverError(StoreError):
    """A run in an object store that another process writes now."""


class DiskFullError(AuricleError):
    """A file of a run that could not be written because its disk, or its owner's quota, is full."""


class EnvironmentSetupError(AuricleError):
    """The machine or the installed packages cannot do what was asked."""
