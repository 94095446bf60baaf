"""The check of kill switch, agent state and lease before an order is sent, and its greatest age at sending.

A job can be stopped at any instruction (SIGSTOP, a paused or suspended machine) and continued after any time.
So the age of the check is measured again once the connection is established, right before each write to it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from engine.errors import LookTooSlow

FRESH_FOR_S = 2.0
"""A request may be sent within this many seconds after the look began."""
LOOKS_AT_MOST = 3

_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


@dataclass(frozen=True)
class Instant:
    """One point in time by three clocks of the machine, in seconds.

    ``monotonic_s`` stops while the machine is suspended, ``since_boot_s`` does not. ``wall_s`` is set from
    outside, and so also shows that a virtual machine was paused.
    """

    monotonic_s: float
    since_boot_s: float
    wall_s: float

    @classmethod
    def now(cls) -> Instant:
        """Return the current time."""
        return cls(time.monotonic(), time.clock_gettime(_BOOT_CLOCK), time.time())

    def is_within(self, seconds: float, *, of: Instant) -> bool:
        """Return whether, by every clock, it is 0 to ``seconds`` after another instant."""
        passed_s = (
            self.monotonic_s - of.monotonic_s,
            self.since_boot_s - of.since_boot_s,
            self.wall_s - of.wall_s,
        )
        return all(0 <= one_s <= seconds for one_s in passed_s)


class LastLook:
    """A check that runs before a request is sent, and again where it is too old at sending.

    ``look`` raises where the request must not be sent. The age counts from the beginning of the check: what
    it read may have changed at any time after that.
    """

    def __init__(self, look: Callable[[], None], *, now: Callable[[], Instant] = Instant.now) -> None:
        self._look, self._now = look, now
        self._began: Instant | None = None

    def take(self) -> None:
        """Run the check and record when it began. Raises what ``look`` raises."""
        began = self._now()
        self._look()
        self._began = began

    def be_fresh(self) -> None:
        """Return once the latest check is at most ``FRESH_FOR_S`` old, repeating it where it is older.

        Raises what ``look`` raises, and ``LookTooSlow`` where each of ``LOOKS_AT_MOST`` checks takes longer.
        """
        for _ in range(LOOKS_AT_MOST):
            if self._is_fresh():
                return
            self.take()
        if not self._is_fresh():
            raise LookTooSlow(
                f"not sent: checking kill switch, agent state and lease took longer than "
                f"{FRESH_FOR_S:g} s, {LOOKS_AT_MOST} times in a row. Check that the stores which hold them "
                f"respond in time."
            )

    def _is_fresh(self) -> bool:
        return self._began is not None and self._now().is_within(FRESH_FOR_S, of=self._began)
