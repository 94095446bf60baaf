"""The trades of a symbol: at every time one at the price of the tape, and the account's own fills."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from replay.simulator.account.book import Fill
from replay.simulator.data.volumes import size
from replay.simulator.market.sessions import number_begun, session_number
from replay.simulator.market.tape import Tape
from replay.simulator.timestamps import MILLISECOND


class Trade(NamedTuple):
    """One trade of the market."""

    t_ns: int
    price: Decimal
    size: int
    id: int


class Trades:
    """The trades of a market in which one account trades; fills that are added later are found too."""

    def __init__(self, fills: Sequence[Fill], seed: int) -> None:
        self._fills = fills
        self._seed = seed
        self._read = 0
        self._by_symbol: dict[str, list[Fill]] = {}

    def own(self, symbol: str, first_ns: int, last_ns: int) -> Sequence[Fill]:
        """Return the account's fills from one nanosecond to another, both inclusive."""
        own = self._of(symbol)
        return own[bisect_left(own, first_ns, key=_time) : bisect_right(own, last_ns, key=_time)]

    def last(self, symbol: str, t_ns: int, tape: Tape) -> Trade:
        """Return the last trade up to a timestamp: of a session at every time, at the price of the tape."""
        at_ns = min(t_ns, session_number(number_begun(t_ns)).post_ns)
        price = tape.price(symbol, t_ns)
        return Trade(at_ns, price, size(self._seed, symbol, "trade", at_ns), at_ns // MILLISECOND)

    def _of(self, symbol: str) -> Sequence[Fill]:
        for at in range(self._read, len(self._fills)):
            fill = self._fills[at]
            self._by_symbol.setdefault(fill.order.symbol, []).append(fill)
        self._read = len(self._fills)
        return self._by_symbol.get(symbol, ())


def _time(fill: Fill) -> int:
    return fill.t_ns
