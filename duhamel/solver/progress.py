"""A progress bar for long solves."""

import sys
import time
from typing import Any

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Bar:
    """Draws the part of a solve that is done, at most ten times a second: `solve(..., progress=duhamel.Bar("orbit"))`.

    Any other callable progress(part), part from 0 to 1, does as well. Pass the same object
    again: another one compiles again.
    """

    def __init__(self, title: str = "solving"):
        self.title = title
        self._shown = 0.0
        self._bar: Progress | None = None
        self._task: Any = None

    def __call__(self, part: Any) -> None:
        now, part = time.monotonic(), float(part)
        if part < 1.0 and now - self._shown < 0.1:
            return
        self._shown = now
        if self._bar is None:
            columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn()
            self._bar = Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), disable=not sys.stderr.isatty())
            self._task = self._bar.add_task(self.title, total=1.0)
            self._bar.start()
        self._bar.update(self._task, completed=part)
        if part >= 1.0:
            self._bar.stop()
            self._bar = None
