"""One job at a time in a run's folder: a second one would write the same ledger, and neither would add up.

The lock is the operating system's, so that it goes with its process however that ends; nothing stale is left behind.
"""

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from auricle.errors import ConfigError

_NO_LOCKS_HERE = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)
"""What a file system says that knows no locks: the job goes on without one."""


@contextmanager
def only_job_in(folder: Path) -> Iterator[None]:
    """Hold the folder for the time of the `with` block. Raises ConfigError, naming host and process, where another job holds it."""
    path = folder / ".lock"
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ConfigError(
                f"{folder}: a job is at work in it ({file.read().strip() or 'it has not said which'}); wait until it ends, or stop it with "
                "Ctrl-C or `ray job stop`"
            ) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS_HERE:
                raise
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield
