"""The simulated time: a clock that follows the wall clock, runs at its own speed, or moves only on request.

The only module that reads the wall clock for the simulation.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

from engine.errors import ConfigurationError
from engine.model.calendar import trading_date
from replay.simulator.market.sessions import FIRST_NS, LAST_NS, session
from replay.simulator.timestamps import SECOND, written

Mode = Literal["running", "wall", "manual"]


class SimulatedClock:
    """The simulator's current time, nanoseconds since 1970 UTC; it never goes back.

    ``running`` goes ``speed`` times as fast as the wall clock, ``manual`` stands still between calls,
    ``wall`` is the real time. The first two start at ``start_ns``: by default in the middle of the session of
    the real time, or of the next one, so that the market is open. A running clock stops at ``LAST_NS``, where
    the calendar ends.
    """

    def __init__(
        self,
        mode: Mode = "running",
        *,
        start_ns: int | None = None,
        speed: float = 1.0,
        wall_ns: Callable[[], int] | None = None,
        monotonic_ns: Callable[[], int] | None = None,
    ) -> None:
        self._wall_ns = wall_ns or _wall_ns
        self._monotonic_ns = monotonic_ns or _monotonic_ns
        self.mode = mode
        self._speed = _checked_speed(speed)
        if start_ns is None or mode == "wall":
            start_ns = self._wall_ns() if mode == "wall" else mid_session_ns(self._wall_ns())
        self._base_ns = _checked_ns(start_ns)
        self._since_ns = self._monotonic_ns()

    def now_ns(self) -> int:
        """Return the current time."""
        if self.mode == "wall":
            self._base_ns = max(self._base_ns, self._wall_ns())  # the wall clock may be set back
        elif self.mode == "running":
            elapsed_ns = self._monotonic_ns() - self._since_ns
            passed_ns = elapsed_ns if self._speed == 1 else int(elapsed_ns * self._speed)
            now_ns = self._base_ns + passed_ns
            return now_ns if now_ns < LAST_NS else LAST_NS
        return self._base_ns

    def advance(self, seconds: float) -> None:
        """Move forward by some seconds; raises ConfigurationError if negative and in ``wall`` mode."""
        if not 0 <= seconds < math.inf:
            raise ConfigurationError(
                f"advance is by {seconds} s; expected 0 or more. The clock never goes back."
            )
        self._check_can_be_moved()
        self._begin_again(_checked_ns(self.now_ns() + round(seconds * SECOND)))

    def set(self, t_ns: int) -> None:
        """Move forward to a timestamp; raises ConfigurationError for a past one and in ``wall`` mode."""
        self._check_can_be_moved()
        now_ns = self.now_ns()
        t_ns = _checked_ns(t_ns)
        if t_ns < now_ns:
            raise ConfigurationError(
                f"the clock is at {written(now_ns)} and can't be set back to {written(t_ns)}; expected no "
                f"earlier time. Reset the simulator to start over."
            )
        self._begin_again(t_ns)

    def run(self, speed: float = 1.0) -> None:
        """Run at ``speed`` times the wall clock's speed from now on, 0 to stand still.

        Raises ConfigurationError in ``wall`` mode and for an invalid speed.
        """
        self._check_can_be_moved()
        mode: Mode = "manual" if speed == 0 else "running"
        speed = 1.0 if speed == 0 else _checked_speed(speed)
        self._begin_again(self.now_ns())
        self.mode, self._speed = mode, speed

    def _begin_again(self, t_ns: int) -> None:
        """Continue from ``t_ns``, which the caller computed from a single reading of the clock."""
        self._base_ns = t_ns
        self._since_ns = self._monotonic_ns()

    def _check_can_be_moved(self) -> None:
        if self.mode == "wall":
            raise ConfigurationError(
                "the clock follows the real time and can't be moved. Start without --wall-clock."
            )


def mid_session_ns(wall_ns: int) -> int:
    """Return the middle between open and close of the session that a timestamp belongs to."""
    hours = session(trading_date(datetime.fromtimestamp(wall_ns // SECOND, UTC)))
    return (hours.open_ns + hours.close_ns) // 2


def _checked_speed(speed: float) -> float:
    if not 0 < speed < math.inf:
        raise ConfigurationError(
            f"the clock's speed is {speed}; expected a positive number. Give 1 for real time."
        )
    return speed


def _checked_ns(t_ns: int) -> int:
    if not FIRST_NS <= t_ns <= LAST_NS:
        raise ConfigurationError(
            f"the clock is to be at {t_ns} ns since 1970; the calendar goes from {written(FIRST_NS)} "
            f"to {written(LAST_NS)}. Choose a time between them."
        )
    return t_ns


def _wall_ns() -> int:
    return time.time_ns()


def _monotonic_ns() -> int:
    return time.monotonic_ns()
