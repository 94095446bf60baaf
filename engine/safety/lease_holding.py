"""Holding leases while something else is waited for: they last a minute, and waits may take longer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import Any

from engine.errors import LeaseLost
from engine.safety.lease import Lease

_LOOKED_EVERY_S = 0.5


def hold_all(leases: Iterable[Lease], *, seconds: float) -> None:
    """Hold leases for so many seconds from now, as ``Lease.hold_for`` does.

    One that is lost stays so: the next work that needs it raises ``LeaseLost``, and other accounts go on.
    """
    for lease in leases:
        with suppress(LeaseLost):
            lease.hold_for(seconds)


def hold_until_done(
    working: Collection[Future[Any]], leases: Callable[[], Iterable[Lease]], *, seconds: float
) -> None:
    """Return once all of ``working`` is done, however it ended; until then ``leases`` are held.

    ``leases`` is called twice a second, so that those which are acquired meanwhile are held as well.
    """
    while wait(working, timeout=_LOOKED_EVERY_S).not_done:
        hold_all(leases(), seconds=seconds)
