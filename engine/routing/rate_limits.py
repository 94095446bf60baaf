"""Requests that a broker's rate limit turns away: they are retried for a limited time."""

from __future__ import annotations

from dataclasses import dataclass

from engine.errors import RateLimited
from engine.waiting.timer import SYSTEM, Timer


@dataclass
class TurnedAway:
    """Counts how often a rate limit turned one request away; allowed for ``longest_s`` in all."""

    longest_s: float
    timer: Timer = SYSTEM
    times: int = 0
    _asked_s: float = 0.0
    _since: float | None = None

    def again(self, error: RateLimited) -> None:
        """Count one more time.

        Raises ``error`` where the waits that the broker asked for, or the time since the first one, are
        longer than ``longest_s``: the broker counts as down.
        """
        now = self.timer.monotonic()
        self.times += 1
        self._asked_s += error.wait_s
        self._since = now if self._since is None else self._since
        if max(self._asked_s, now - self._since) > self.longest_s:
            raise error

    def __str__(self) -> str:
        """Return the count as part of a message, "" where it is 0."""
        times = f"{self.times} times" if self.times > 1 else "once"
        return f"turned away by the broker's rate limit {times}" if self.times else ""
