"""Holds leases during long waits: a lease lasts a minute, and waits may take longer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import Any

from engine.errors import LeaseLost
from engine.safety.lease import Lease

_LOOKED_EVERY_S = 0.5


def hold_all(leases: Iterable[Lease], *, seconds: float) -> None:
    """Hold leases for ``seconds`` from now, as ``Lease.hold_for`` does.

    A lost lease raises nothing here: the next work that needs it raises ``LeaseLost``, and other accounts
    continue.
    """
    for lease in leases:
        with suppress(LeaseLost):
            lease.hold_for(seconds)


def hold_until_done(
    working: Collection[Future[Any]], leases: Callable[[], Iterable[Lease]], *, seconds: float
) -> None:
    """Return once all of ``working`` is done, also with errors; hold ``leases`` until then.

    ``leases`` is called twice a second, so that newly acquired ones are held as well.
    """
    while wait(working, timeout=_LOOKED_EVERY_S).not_done:
        hold_all(leases(), seconds=seconds)
