"""How far this machine's clock is from the broker's."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from engine.brokers.account import BrokerClock
from engine.errors import UsageError

_HALF_A_SECOND = timedelta(seconds=0.5)


class TellsTheTime(Protocol):
    """A broker with a clock."""

    def get_clock(self) -> BrokerClock:
        """Give the broker's time; raises ``BrokerError`` where there is none to be had."""
        ...


@dataclass(frozen=True)
class ClockSkew:
    """Our clock is ``ahead_s`` seconds ahead of the broker's (behind: negative), give or take ``within_s``.

    To fail closed, ask for ``worst_s <= limit``; a large ``within_s`` is a slow reply, not a wrong clock.
    """

    ahead_s: float
    within_s: float

    @property
    def worst_s(self) -> float:
        """The largest skew, in either direction, that the measurement leaves possible."""
        return abs(self.ahead_s) + self.within_s

    def __str__(self) -> str:
        side = "ahead of" if self.ahead_s >= 0 else "behind"
        return f"{abs(self.ahead_s):.3f} s {side} the broker's clock, give or take {self.within_s:.3f} s"


def measure_clock_skew(broker: TellsTheTime, now: Callable[[], datetime]) -> ClockSkew:
    """Ask the broker for its time, once, and compare it with the middle of the request.

    Its time is that of its reply, which is in whole seconds, half of one later and as much uncertain; and
    where it has none, its market's, which a simulated market has of its own. The broker reads its clock at
    some moment of the request, so ``within_s`` is half of what that took on ``now`` and more, without waits
    before the request that was answered; infinite where ``now`` went back meanwhile, since then nothing was
    measured. The errors of ``get_clock`` pass through; ``UsageError`` for a ``now`` without a timezone.
    """
    before = _aware(now())
    clock = broker.get_clock()
    after = _aware(now())
    took_s = (after - before).total_seconds()
    if clock.took_s is not None and 0 <= clock.took_s < took_s:
        took_s = clock.took_s
    half_s = took_s / 2
    theirs, blur_s = clock.timestamp, 0.0
    if clock.replied_at is not None:
        theirs, blur_s = clock.replied_at + _HALF_A_SECOND, _HALF_A_SECOND.total_seconds()
    ahead_s = (after - theirs).total_seconds() - half_s
    return ClockSkew(ahead_s, half_s + blur_s if half_s >= 0 else math.inf)


def _aware(timestamp: datetime) -> datetime:
    if timestamp.utcoffset() is None:
        raise UsageError(
            f"now() gave {timestamp.isoformat()}; expected a moment with a timezone. Use datetime.now(UTC)."
        )
    return timestamp
