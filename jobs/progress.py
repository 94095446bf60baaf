"""A progress bar for work of more than a second, on a terminal only."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_PATIENCE_S = 1.0


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Give a function to be told (step, done, total); it shows a bar once the work takes a while."""
    if not sys.stderr.isatty():
        yield _shows_nothing
        return
    bar = _Bar()
    try:
        yield bar.tell
    finally:
        bar.close()


def _shows_nothing(step: str, done: int, total: int) -> None:
    """Stand in for the bar where nobody watches."""


class _Bar:
    def __init__(self) -> None:
        self._begin = time.monotonic()
        self._progress: Any = None
        self._tasks: dict[str, Any] = {}

    def tell(self, step: str, done: int, total: int) -> None:
        if self._progress is None:
            if time.monotonic() - self._begin < _PATIENCE_S:
                return
            from rich.console import Console
            from rich.progress import Progress

            self._progress = Progress(console=Console(stderr=True), transient=True)
            self._progress.start()
        if step not in self._tasks:
            self._tasks[step] = self._progress.add_task(step, total=total)
        self._progress.update(self._tasks[step], completed=done, total=total)

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
