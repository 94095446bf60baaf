"""The monotonic clock that deadlines and pauses go by."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Timer:
    """A monotonic clock in seconds, and how to sleep by it."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


SYSTEM = Timer()
"""The timer of this machine."""
