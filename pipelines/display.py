"""What a person sees while a job runs: one live panel on a terminal, a plain line now and then where there is none (job logs).

The job tells a `Display` what happened; `Progress` keeps it, and the pictures are pure functions of it (pipelines.reporting.progress).
"""

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live

from pipelines.reporting.progress import Progress, plain_line, render


class Display:
    """Shows a `Progress` while a job runs. As a context manager; every call is cheap and may come from the driver's loop only."""

    def __init__(self, name: str, total_steps: int, *, console: Console | None = None, plain_every_s: float = 10.0) -> None:
        self.console = console or Console(stderr=False)
        self.progress = Progress(name, total_steps, started_s=time.monotonic())
        self._plain_every_s, self._last_line_s = plain_every_s, -plain_every_s
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self.console.is_terminal and not self.console.is_dumb_terminal:
            self._live = Live(get_renderable=self._render, console=self.console, refresh_per_second=4, transient=False)
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
        else:
            self._line()

    def phase(self, text: str) -> None:
        """What is going on while no step is, such as `starting the judges`."""
        self.progress.phase = text
        self._line()

    def step(self, step: int, metrics: Mapping[str, float | None]) -> None:
        """A learner step was done; `metrics` as in metrics.jsonl."""
        self.progress.on_step(step, metrics, time.monotonic())
        if time.monotonic() - self._last_line_s >= self._plain_every_s:
            self._line()

    def guard(self, step: int, metrics: Mapping[str, float | None]) -> None:
        """The guards were measured; `metrics` as in guard.jsonl."""
        self.progress.on_guard(step, metrics)
        self._line()

    def words(self, scene_id: str, text: str) -> None:
        """The listener's last words."""
        self.progress.scene_id, self.progress.words = scene_id, text

    def event(self, sentence: str) -> None:
        """Something worth a sentence: resumed, an actor replaced, the guard's stop."""
        self.progress.events.append(sentence)
        if self._live is None:
            self._print(f"[{self.progress.name}] {sentence}")

    def _render(self) -> RenderableType:
        return render(self.progress, time.monotonic())

    def _line(self) -> None:
        if self._live is None:
            self._last_line_s = time.monotonic()
            self._print(plain_line(self.progress, self._last_line_s))

    def _print(self, line: str) -> None:
        stream = self.console.file or sys.stdout
        stream.write(line + "\n")
        stream.flush()
