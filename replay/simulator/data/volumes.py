"""Invented volumes and sizes: the same for the same seed, symbol and time.

A day has some hundred thousand to some ten million shares, most of them near the open and the close.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replay.simulator.market.sessions import session_number
from replay.simulator.timestamps import SECOND

MINUTE = 60 * SECOND
ROUND_LOT = 100

_FEWEST, _SPREAD = 5.3, 2.0  # of the decimal logarithm of a day's shares
_OUTSIDE = 0.02  # of a minute outside regular hours
_MOST_LOTS = 19


@lru_cache(4096)
def minute_volumes(seed: int, symbol: str, number: int) -> NDArray[np.int64]:
    """Return the shares traded in each minute of a session, from the first of its extended hours."""
    hours = session_number(number)
    level = _FEWEST + _SPREAD * drawn(seed, symbol, "volume") / 2**64
    chance = np.random.Generator(np.random.PCG64(drawn(seed, symbol, f"volume of {hours.day}")))
    minutes = (hours.post_ns - hours.pre_ns) // MINUTE
    first, last = ((t_ns - hours.pre_ns) // MINUTE for t_ns in (hours.open_ns, hours.close_ns))
    place = np.linspace(-1, 1, last - first)
    shape = np.full(minutes, _OUTSIDE)
    shape[first:last] = 0.5 + place**2
    shares: Any = shape / shape[first:last].sum() * 10**level
    shares *= chance.lognormal(0, 0.3, minutes) * chance.lognormal(0, 0.2)
    volumes: NDArray[np.int64] = np.maximum(shares, 1).astype(np.int64)
    return volumes


def size(seed: int, symbol: str, what: str, t_ns: int) -> int:
    """Return the shares of a quote or a trade at a timestamp: 1 to 19 round lots, new every second."""
    return ROUND_LOT * (1 + drawn(seed, symbol, f"{what} {t_ns // SECOND}") % _MOST_LOTS)


def drawn(seed: int, symbol: str, what: str) -> int:
    """Return a number below 2**64 that depends on nothing but its arguments."""
    return int.from_bytes(blake2b(f"{seed}/{symbol}/{what}".encode(), digest_size=8).digest())
