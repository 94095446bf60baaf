"""The look at switch, state and lease before an order is sent, and how old it may be when the bytes leave.

A job can be stopped at any instruction (SIGSTOP, a paused or suspended machine) and continued after any time.
So the age of the look is measured again once the connection is there, right before each write to it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from engine.errors import LookTooSlow

FRESH_FOR_S = 2.0
"""A request may leave until so many seconds after the look began."""
LOOKS_AT_MOST = 3

_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


@dataclass(frozen=True)
class Instant:
    """One point in time by several clocks of the machine, in seconds.

    ``monotonic_s`` stands still while the machine is suspended, ``since_boot_s`` does not; ``wall_s`` is set
    from outside, and also tells of a virtual machine that was paused.
    """

    monotonic_s: float
    since_boot_s: float
    wall_s: float

    @classmethod
    def now(cls) -> Instant:
        """Return the present."""
        return cls(time.monotonic(), time.clock_gettime(_BOOT_CLOCK), time.time())

    def is_within(self, seconds: float, *, of: Instant) -> bool:
        """Return whether, by every clock, it is at most so long after another instant, and not before it."""
        passed_s = (
            self.monotonic_s - of.monotonic_s,
            self.since_boot_s - of.since_boot_s,
            self.wall_s - of.wall_s,
        )
        return all(0 <= one_s <= seconds for one_s in passed_s)


class LastLook:
    """A look that is taken before a request is sent, and again where it is too old by then.

    ``look`` raises what forbids the request, which is not sent then. The age counts from the beginning of the
    look: what it read may have changed any time after.
    """

    def __init__(self, look: Callable[[], None], *, now: Callable[[], Instant] = Instant.now) -> None:
        self._look, self._now = look, now
        self._began: Instant | None = None

    def take(self) -> None:
        """Look, and note when. Raises what ``look`` raises."""
        began = self._now()
        self._look()
        self._began = began

    def be_fresh(self) -> None:
        """Return once the latest look is at most ``FRESH_FOR_S`` old, looking again where it is older.

        Raises what ``look`` raises, and ``LookTooSlow`` where looking itself takes longer, time after time.
        """
        for _ in range(LOOKS_AT_MOST):
            if self._is_fresh():
                return
            self.take()
        if not self._is_fresh():
            raise LookTooSlow(
                f"not sent: to look at kill switch, agent's state and lease took longer than "
                f"{FRESH_FOR_S:g} s, {LOOKS_AT_MOST} times in a row. See that the stores which hold them "
                f"answer in time."
            )

    def _is_fresh(self) -> bool:
        return self._began is not None and self._now().is_within(FRESH_FOR_S, of=self._began)
