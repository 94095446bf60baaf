"""A progress bar for work of more than a second, on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_SHOWN_AFTER_S = 1.0


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function of (step, done, total) that shows a bar once the work takes a while."""
    if not sys.stderr.isatty():
        yield _shows_nothing
        return
    bar = _Bar()
    try:
        yield bar.update
    finally:
        bar.close()


def _shows_nothing(step: str, done: int, total: int) -> None:
    """Do nothing: stderr is no terminal."""


class _Bar:
    """A line per step; a timer shows it, because a long step may report nothing for a while."""

    def __init__(self) -> None:
        import threading

        self._lock = threading.Lock()
        self._steps: dict[str, tuple[int, int]] = {}
        self._tasks: dict[str, Any] = {}
        self._progress: Any = None
        self._timer = threading.Timer(_SHOWN_AFTER_S, self._show)
        self._timer.daemon = True
        self._timer.start()

    def update(self, step: str, done: int, total: int) -> None:
        with self._lock:
            self._steps[step] = (done, total)
            self._update()

    def close(self) -> None:
        self._timer.cancel()
        with self._lock:
            if self._progress is not None:
                self._progress.stop()
            self._steps.clear()

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TimeElapsedColumn

        with self._lock:
            if self._steps:
                columns = (SpinnerColumn(), *Progress.get_default_columns()[:2], TimeElapsedColumn())
                self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
                self._progress.start()
                self._update()

    def _update(self) -> None:
        if self._progress is None:
            return
        for step, (done, total) in self._steps.items():
            if step not in self._tasks:
                self._tasks[step] = self._progress.add_task(step, total=total)
            self._progress.update(self._tasks[step], completed=done, total=total)
