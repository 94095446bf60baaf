"""A wait that ends at once where the job is to end."""

from __future__ import annotations

from collections.abc import Callable

from engine.errors import RunStopped
from engine.waiting.deadline import Deadline
from engine.waiting.timer import SYSTEM, Timer

_SLICE_S = 0.1


def never() -> bool:
    """Return False: the job is never asked to end."""
    return False


def waited(seconds: float, stopping: Callable[[], bool] = never, *, timer: Timer = SYSTEM) -> bool:
    """Wait; return False, at once, where the job is to end. ``stopping`` is polled ten times a second."""
    until = Deadline.after(seconds, timer)
    while not stopping():
        left_s = until.at_s - timer.monotonic()
        if left_s <= 0:
            return True
        timer.sleep(min(left_s, _SLICE_S))
    return False


def pause(seconds: float, stopping: Callable[[], bool], *, during: str, timer: Timer = SYSTEM) -> None:
    """Wait. Raises ``RunStopped``, at once, where the job is to end; ``during``: what was being done."""
    if not waited(seconds, stopping, timer=timer):
        raise RunStopped(f"Stopped while {during}; the next run goes on there.")
