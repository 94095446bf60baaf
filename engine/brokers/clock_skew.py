"""The skew between this machine's clock and the broker's."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from engine.brokers.account import BrokerClock
from engine.errors import UsageError

_HALF_A_SECOND = timedelta(seconds=0.5)


class HasClock(Protocol):
    """A broker with a clock."""

    def get_clock(self) -> BrokerClock:
        """Return the broker's clock; raises ``BrokerError`` where it can't be read."""
        ...


@dataclass(frozen=True)
class ClockSkew:
    """Our clock is ``ahead_s`` seconds ahead of the broker's (behind: negative), plus or minus ``within_s``.

    To fail closed, require ``worst_s <= limit``; a large ``within_s`` means a slow reply, not a wrong clock.
    """

    ahead_s: float
    within_s: float

    @property
    def worst_s(self) -> float:
        """The largest skew, in either direction, that agrees with the measurement."""
        return abs(self.ahead_s) + self.within_s

    def __str__(self) -> str:
        side = "ahead of" if self.ahead_s >= 0 else "behind"
        return f"{abs(self.ahead_s):.3f} s {side} the broker's clock, give or take {self.within_s:.3f} s"


def measure_clock_skew(broker: HasClock, now: Callable[[], datetime]) -> ClockSkew:
    """Return the skew by one request: the broker's time, compared with the middle of the request.

    The broker's time is the date of its reply. That is in whole seconds, so half a second is added to it and
    to the uncertainty. A reply without a date is measured by the market's time, which a simulated market sets
    itself. The broker may read its clock at any time during the request, so ``within_s`` is at least half of
    the request's duration by ``now``, without waits before the answered request. It is infinite where ``now``
    went backwards meanwhile. Raises what ``get_clock`` raises, and ``UsageError`` for a ``now`` without a
    timezone.
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
            f"now() returned {timestamp.isoformat()}; expected a time with a timezone. Use datetime.now(UTC)."
        )
    return timestamp
