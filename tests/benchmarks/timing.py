"""Timings, and figures laid out from them: a rate or a ratio, and what was asked."""

from __future__ import annotations

import gc
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Figure = dict[str, Any]


@dataclass(frozen=True)
class Timing:
    """The best of some repetitions: what the work takes when nobody disturbs it."""

    seconds: float


def best_of(times: int, work: Callable[[], object]) -> Timing:
    """Time some work a few times."""
    spans = []
    for _ in range(times):
        gc.collect()
        begin = time.perf_counter()
        work()
        spans.append(time.perf_counter() - begin)
    return Timing(min(spans))


def rate_of(name: str, n: int, timing: Timing, *, at_least: float, **more: Any) -> Figure:
    """Lay out a rate per second and what was asked of it."""
    rate = n / timing.seconds
    return {**_head(name, n, timing), "ratio": None, "asked": at_least, "met": rate >= at_least, **more}


def ratio_of(name: str, n: int, timing: Timing, yardstick: Timing, *, at_most: float, **more: Any) -> Figure:
    """Lay out a ratio to a yardstick of the same run and what was asked of it."""
    ratio = timing.seconds / yardstick.seconds
    return {
        **_head(name, n, timing),
        "ratio": round(ratio, 3),
        "asked": at_most,
        "met": ratio <= at_most,
        **more,
    }


def _head(name: str, n: int, timing: Timing) -> Figure:
    return {"name": name, "n": n, "seconds": round(timing.seconds, 4), "rate": round(n / timing.seconds)}


def quietly(command: list[str], env: dict[str, str] | None = None, *, check: bool = True) -> None:
    """Run a command whose output nobody wants; ``check``: it has to succeed."""
    subprocess.run(command, check=check, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
