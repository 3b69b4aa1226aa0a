"""What Ray, Serve, DeepSpeed, vLLM and MLflow say of themselves goes into a file, so that the terminal is for the job's own lines.

Errors stand in both. Three ways lead to the terminal: handlers of the libraries' loggers, Python's warnings, and messages of other
processes (the raylet's), which Ray's driver prints. The file appears with the first line.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from ray._private import worker as ray_worker

NAME = "frameworks.log"
_LIBRARIES = ("ray", "vllm", "deepspeed", "DeepSpeed", "mlflow", "alembic", "transformers", "py")
_HARMLESS = ("WARNING", "INFO", "DEBUG")
"""What Ray's messages of other processes begin with where they are no errors."""
_WORKERS_OUTPUT = "ray_print_logs"
"""What Ray calls the handler that prints what workers say."""


@contextmanager
def chatter_to(folder: Path | None) -> Iterator[None]:
    """Keep it in `folder`/frameworks.log for the time of the block; None: leave it on the terminal. To be entered once Ray is up."""
    if folder is None:
        yield
        return
    file = _File(folder / NAME)
    with ExitStack() as stack:
        stack.callback(_close, file)
        logging.captureWarnings(True)
        stack.callback(logging.captureWarnings, False)
        for logger in _loggers():
            stack.enter_context(_moved(logger, file))
        for handler in logging.root.handlers:  # what the libraries' loggers hand on
            handler.addFilter(_is_theirs_no_more)
            stack.callback(handler.removeFilter, _is_theirs_no_more)
        stack.enter_context(_messages_to(file))
        yield


class _File(logging.FileHandler):
    """Each record once, though a logger and its parent may both hand it over."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8", delay=True)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        self.setLevel(logging.WARNING)
        self._last: logging.LogRecord | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        if record is not self._last:
            self._last = record
            super().emit(record)


def _close(file: logging.Handler) -> None:
    """What is not written yet may find no room on a full disk: that is told where the run's own files found none."""
    with suppress(OSError):
        file.close()


def _loggers() -> list[logging.Logger]:
    """The libraries' loggers that write somewhere themselves, and their roots, which their others hand on to."""
    known = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in _LIBRARIES]
    return [logging.getLogger(name) for name in sorted({*known, *_LIBRARIES}) if name in _LIBRARIES or logging.getLogger(name).handlers]


@contextmanager
def _moved(logger: logging.Logger, file: logging.Handler) -> Iterator[None]:
    """Let a logger write into the file, and only errors to where it wrote before."""
    before = [handler for handler in logger.handlers if type(handler) is not logging.NullHandler]
    for handler in before:
        handler.addFilter(_is_error)
    # A logger without handlers of its own would hand on to Python's last resort, which is the terminal.
    lonely = not before and logger.propagate and not logging.root.handlers
    own = logging.StreamHandler() if lonely else None
    if own is not None:
        own.setLevel(logging.ERROR)
        logger.addHandler(own)
    logger.addHandler(file)
    try:
        yield
    finally:
        logger.removeHandler(file)
        if own is not None:
            logger.removeHandler(own)
        for handler in before:
            handler.removeFilter(_is_error)


@contextmanager
def _messages_to(file: logging.Handler) -> Iterator[None]:
    """Take what Ray's driver prints of other processes: the raylet's warnings, and, on a cluster, what its workers say."""
    printed = ray_worker.print_to_stdstream

    def take(data: Mapping[str, Any], ignore_prefix: bool) -> None:
        lines = data["lines"].splitlines() if isinstance(data["lines"], str) else list(data["lines"])
        told = [line for line in lines if not line.lstrip().startswith(_HARMLESS)]
        for level, some in ((logging.WARNING, [line for line in lines if line not in told]), (logging.ERROR, told)):
            about = {"name": str(data.get("pid", "ray")), "levelno": level, "levelname": logging.getLevelName(level), "args": ()}
            if some:
                file.handle(logging.makeLogRecord(about | {"msg": "\n".join(some)}))
        if told:
            printed({**data, "lines": "\n".join(told) if isinstance(data["lines"], str) else told}, ignore_prefix)

    ray_worker.print_to_stdstream = take
    # A driver that shows its workers' output has asked for it at ray.init, by that function's own name of then.
    asked = [handler for name, handler in ray_worker.global_worker_stdstream_dispatcher.handlers if name == _WORKERS_OUTPUT]
    _show_workers_by([partial(take, *handler.args, **handler.keywords) for handler in asked])
    try:
        yield
    finally:
        ray_worker.print_to_stdstream = printed
        if any(name == _WORKERS_OUTPUT for name, _ in ray_worker.global_worker_stdstream_dispatcher.handlers):
            _show_workers_by(asked)


def _show_workers_by(handlers: Sequence[Callable[..., None]]) -> None:
    dispatcher = ray_worker.global_worker_stdstream_dispatcher
    dispatcher.remove_handler(_WORKERS_OUTPUT)
    for handler in handlers:
        dispatcher.add_handler(_WORKERS_OUTPUT, handler)


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


def _is_theirs_no_more(record: logging.LogRecord) -> bool:
    return _is_error(record) or record.name.partition(".")[0] not in _LIBRARIES
