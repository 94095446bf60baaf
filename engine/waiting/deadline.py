"""The time by which something must be done, by the monotonic clock."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from engine.waiting.timer import SYSTEM, Timer

_SHORTEST_S = 0.001  # libraries take a timeout of 0 for none, or for a socket that doesn't block


@dataclass(frozen=True)
class Deadline:
    """The time, in seconds of the monotonic clock, by which an answer must have come."""

    at_s: float
    timer: Timer = SYSTEM

    @classmethod
    def after(cls, seconds: float, timer: Timer = SYSTEM) -> Deadline:
        """Return the deadline that is ``seconds`` away."""
        return cls(timer.monotonic() + seconds, timer)

    def later_by(self, seconds: float) -> Deadline:
        """Return the deadline that is ``seconds`` after this one."""
        return replace(self, at_s=self.at_s + seconds)

    def or_after(self, seconds: float) -> Deadline:
        """Return this deadline, or the one that is ``seconds`` away where that is earlier."""
        return min(self, Deadline.after(seconds, self.timer), key=lambda deadline: deadline.at_s)

    def left_s(self) -> float:
        """Return the seconds that are left, at least 0.001, so that a request ends with its own error."""
        return max(_SHORTEST_S, self.at_s - self.timer.monotonic())

    def is_over(self) -> bool:
        """Return whether the deadline has passed."""
        return self.timer.monotonic() >= self.at_s


NO_DEADLINE = Deadline(math.inf)
