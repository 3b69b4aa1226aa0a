"""Progress of long work: rich's bars on a terminal; in a file or a pipe, where nobody sees a bar, a line at every tenth of the way."""

import time
from typing import Any

from rich.console import Console
from rich.progress import Progress as RichProgress
from rich.progress import ProgressColumn, TaskID

LINES = 10
"""Lines of a whole task where there is no terminal."""


class Progress(RichProgress):
    """As rich's. Without a terminal a task of known length has up to LINES plain lines, none within `quiet_s` of the last one."""

    def __init__(self, *columns: str | ProgressColumn, console: Console | None = None, quiet_s: float = 2.0, **options: Any) -> None:
        console = console or Console(stderr=True)
        plain = not console.is_terminal or console.is_dumb_terminal
        self._told: dict[TaskID, tuple[int, float]] | None = {} if plain and not options.get("disable") else None
        self._quiet_s = quiet_s
        super().__init__(*columns, console=console, **(options | {"disable": bool(plain or options.get("disable"))}))

    def add_task(
        self,
        description: str,
        start: bool = True,
        total: float | None = 100.0,
        completed: int = 0,
        visible: bool = True,
        **fields: Any,
    ) -> TaskID:
        """As rich's; how far the task has come already is told by no line."""
        task_id = super().add_task(description, start, total, completed, visible, **fields)
        if self._told is not None:
            self._told[task_id] = (_tenth(completed, total), time.monotonic())
        return task_id

    def update(self, task_id: TaskID, **changes: Any) -> None:
        """As rich's."""
        super().update(task_id, **changes)
        self._tell(task_id)

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        """As rich's."""
        super().advance(task_id, advance)
        self._tell(task_id)

    def _tell(self, task_id: TaskID) -> None:
        if self._told is None:
            return
        task = next((task for task in self.tasks if task.id == task_id), None)
        if task is None or not task.total:
            return
        before, told_s = self._told[task_id]
        now, now_s = _tenth(task.completed, task.total), time.monotonic()
        if now <= before or now_s - told_s < self._quiet_s:
            return
        self._told[task_id] = now, now_s
        took_s = task.elapsed or 0.0
        left_s = took_s * (task.total - task.completed) / max(task.completed, 1e-9)
        left = f", about {left_s:.0f} s left" if task.completed < task.total else ""
        line = f"{task.description}: {task.completed:g} of {task.total:g} ({took_s:.0f} s{left})"
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


def _tenth(completed: float, total: float | None) -> int:
    return int(LINES * completed / total) if total else 0
