"""The trades of a symbol: one a second at the price of the tape, and the account's own fills."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from replay.simulator.account.book import Fill
from replay.simulator.data.volumes import drawn, size
from replay.simulator.market.sessions import number_begun, session_number
from replay.simulator.market.surroundings import Market
from replay.simulator.market.tape import Tape
from replay.simulator.timestamps import SECOND

_ID_BITS = 52  # what every client reads exactly, also as a float


class Trade(NamedTuple):
    """One trade of the market."""

    t_ns: int
    price: Decimal
    size: int
    id: int


class Trades:
    """The trades of a market in which one account trades; fills that are added later are found too."""

    def __init__(self, market: Market, fills: Sequence[Fill], seed: int) -> None:
        self._market = market
        self._fills = fills
        self._seed = seed
        self._read = 0
        self._by_symbol: dict[str, list[Fill]] = {}

    def own(self, symbol: str, first_ns: int, last_ns: int) -> Sequence[Fill]:
        """Return the account's fills from one nanosecond to another, both inclusive."""
        own = self._of(symbol)
        return own[bisect_left(own, first_ns, key=_time) : bisect_right(own, last_ns, key=_time)]

    def last(self, symbol: str, t_ns: int, tape: Tape) -> Trade:
        """Return the last trade up to a timestamp, in the shares of a tape."""
        at_ns = self._print_ns(symbol, t_ns)
        own = self._of(symbol)
        until = bisect_right(own, t_ns, key=_time)
        if until and own[until - 1].t_ns >= at_ns:
            fill = own[until - 1]
            price = tape.converted(symbol, fill.price, fill.t_ns)
            number = UUID(fill.id).int >> (128 - _ID_BITS)
            return Trade(fill.t_ns, price, max(int(fill.qty.to_integral_value()), 1), number)
        price = tape.seen(symbol, self._market.price(symbol, at_ns))
        return Trade(at_ns, price, size(self._seed, symbol, "trade", at_ns), at_ns // SECOND)

    def _print_ns(self, symbol: str, t_ns: int) -> int:
        """Return the time of the market's last trade: one a second, at the symbol's own phase."""
        phase_ns = drawn(self._seed, symbol, "trades") % SECOND
        number = number_begun(t_ns)
        hours = session_number(number)
        at_ns = _in_phase(min(t_ns, hours.post_ns - 1), phase_ns)
        if at_ns >= hours.pre_ns:
            return at_ns
        return _in_phase(session_number(number - 1).post_ns - 1, phase_ns)

    def _of(self, symbol: str) -> Sequence[Fill]:
        for at in range(self._read, len(self._fills)):
            fill = self._fills[at]
            self._by_symbol.setdefault(fill.order.symbol, []).append(fill)
        self._read = len(self._fills)
        return self._by_symbol.get(symbol, ())


def _in_phase(t_ns: int, phase_ns: int) -> int:
    return t_ns - (t_ns - phase_ns) % SECOND


def _time(fill: Fill) -> int:
    return fill.t_ns
