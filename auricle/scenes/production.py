"""Makes many scenes in parallel processes. Which process makes which scene changes nothing: a scene is a function of its task alone."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, TypeVar

import cv2

from auricle.errors import SceneError

Shared = TypeVar("Shared")
Task = TypeVar("Task")
Outcome = TypeVar("Outcome")

_SHARED: list[Any] = []  # in a worker process: the one object that all its tasks share


def produce(make: Callable[[Shared, Task], Outcome], shared: Shared, tasks: Sequence[Task], workers: int) -> Iterator[Outcome]:
    """`make(shared, task)` for all tasks, in `workers` processes, in the order in which they are done. 1 worker: here, in order.

    `make` has to be a module's own function; `shared` goes to each process once. Raises what `make` raises, and SceneError
    where a process dies.
    """
    if workers <= 1 or len(tasks) <= 1:
        for task in tasks:
            yield make(shared, task)
        return
    # Started afresh: forking a process that has threads (OpenCV, torch) can hang. One thread each: more only fight for the cores.
    os.environ["OMP_NUM_THREADS"] = "1"
    pool = ProcessPoolExecutor(min(workers, len(tasks)), get_context("spawn"), initializer=_start, initargs=(shared,))
    try:
        pending = [pool.submit(_make, make, task) for task in tasks]
        for future in as_completed(pending):
            yield future.result()
    except BrokenProcessPool as error:
        raise SceneError(
            f"a process that makes scenes died, of memory perhaps ({error}); run again with fewer --workers: it resumes"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start(shared: Any) -> None:
    _SHARED[:] = [shared]
    cv2.setNumThreads(1)
    # Ctrl-C reaches every process of the terminal: only the parent acts on it, and the scenes begun are finished.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _make(make: Callable[[Any, Task], Outcome], task: Task) -> Outcome:
    return make(_SHARED[0], task)
