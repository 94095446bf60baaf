"""Bars over any span of time: the prices of the venue's tape, widened by the account's own trades.

Trades happen at every price that the tape passes, rounded down to the tick. A bar's low and high contain them
and the account's fills, which may be elsewhere within the quote.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from replay.simulator.account.book import Fill
from replay.simulator.data.trades import Trades
from replay.simulator.data.volumes import MINUTE, minute_volumes
from replay.simulator.decimals import EXACT, ZERO
from replay.simulator.market.sessions import Session, number_begun, session_number
from replay.simulator.market.surroundings import Market
from replay.simulator.market.tape import Tape
from replay.simulator.timestamps import written

_SHARES_PER_TRADE = 80
_IEX_SHARE = 40  # one share in forty trades there
_FOUR = Decimal(4)
_AVERAGE_STEP = Decimal("1e-6")
_SESSIONS_KEPT = 65_536


class Prices(NamedTuple):
    """The four prices of a span."""

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar; ``t_ns`` is the start of its span as Alpaca stamps it."""

    t_ns: int
    prices: Prices
    volume: int
    trades: int

    def body(self) -> dict[str, Any]:
        """Return Alpaca's JSON object."""
        prices = self.prices
        average = EXACT.divide(prices.open + prices.high + prices.low + prices.close, _FOUR)
        return {
            "c": float(prices.close),
            "h": float(prices.high),
            "l": float(prices.low),
            "n": self.trades,
            "o": float(prices.open),
            "t": written(self.t_ns),
            "v": self.volume,
            "vw": float(average.quantize(_AVERAGE_STEP)),
        }


@dataclass(eq=False)
class Spans:
    """Bars of a market in which one account trades; a tape says in which shares prices are given."""

    market: Market
    trades: Trades
    seed: int
    _whole: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._whole = lru_cache(_SESSIONS_KEPT)(self._regular_hours)

    def span(self, symbol: str, feed: str, first_ns: int, last_ns: int, tape: Tape) -> Bar:
        """Return the bar of a span within one session, from one nanosecond to another, both inclusive."""
        own = self.trades.own(symbol, first_ns, last_ns)
        low, high = self.market.extremes(symbol, first_ns - 1, last_ns)
        prices = Prices(
            tape.seen(symbol, self.market.price(symbol, first_ns)),
            tape.seen(symbol, high),
            tape.seen(symbol, low),
            tape.seen(symbol, self.market.price(symbol, last_ns)),
        )
        number = number_begun(first_ns)
        begin_ns = session_number(number).pre_ns
        minutes = slice((first_ns - begin_ns) // MINUTE, (last_ns + 1 - begin_ns) // MINUTE)
        volume = self._volume(symbol, feed, number, minutes)
        return _bar(first_ns, _widened(prices, own, tape), volume, own)

    def day(self, symbol: str, feed: str, number: int, until_ns: int, tape: Tape) -> Bar:
        """Return the bar of a session up to a timestamp after its open.

        Its prices are those of regular hours, from the opening to the closing auction; its volume is that of
        all hours.
        """
        hours = session_number(number)
        last_ns = min(until_ns, hours.close_ns - 1)
        if until_ns >= hours.close_ns:
            prices = Prices(*(tape.seen(symbol, price) for price in self._whole(symbol, number)))
        else:
            prices = self._so_far(symbol, hours, last_ns, tape)
        prices = _widened(prices, self.trades.own(symbol, hours.open_ns, last_ns), tape)
        own = self.trades.own(symbol, hours.pre_ns, min(until_ns, hours.post_ns))
        minutes = slice(0, (until_ns + 1 - hours.pre_ns) // MINUTE)
        midnight_ns = hours.pre_ns - 4 * 60 * MINUTE
        return _bar(midnight_ns, prices, self._volume(symbol, feed, number, minutes), own)

    def together(self, bars: Sequence[Bar], t_ns: int) -> Bar:
        """Return the bar that consecutive ones are together, stamped with a time."""
        prices = Prices(
            bars[0].prices.open,
            max(bar.prices.high for bar in bars),
            min(bar.prices.low for bar in bars),
            bars[-1].prices.close,
        )
        return Bar(t_ns, prices, sum(bar.volume for bar in bars), sum(bar.trades for bar in bars))

    def _so_far(self, symbol: str, hours: Session, last_ns: int, tape: Tape) -> Prices:
        opened = tape.open_price(symbol, hours.day)
        low, high = self.market.extremes(symbol, hours.open_ns - 1, last_ns)
        low, high = tape.seen(symbol, low), tape.seen(symbol, high)
        now = tape.price(symbol, last_ns)
        return Prices(opened, max(high, opened), min(low, opened), now)

    def _regular_hours(self, symbol: str, number: int) -> Prices:
        """Return the market's prices of a whole session, before any split."""
        hours, market = session_number(number), self.market
        opened, closed = market.open_price(symbol, hours.day), market.close_price(symbol, hours.day)
        low, high = market.extremes(symbol, hours.open_ns - 1, hours.close_ns - 1)
        return Prices(opened, max(high, opened, closed), min(low, opened, closed), closed)

    def _volume(self, symbol: str, feed: str, number: int, minutes: slice) -> int:
        volume = int(minute_volumes(self.seed, symbol, number)[minutes].sum())
        return volume // _IEX_SHARE if feed == "iex" else volume


def _widened(prices: Prices, own: Sequence[Fill], tape: Tape) -> Prices:
    """Return prices whose high and low contain the account's fills."""
    if not own:
        return prices
    paid = [tape.converted(fill.order.symbol, fill.price, fill.t_ns) for fill in own]
    return prices._replace(high=max(prices.high, *paid), low=min(prices.low, *paid))


def _bar(t_ns: int, prices: Prices, volume: int, own: Sequence[Fill]) -> Bar:
    """Return a bar of the market's volume and of the account's fills."""
    traded = sum((fill.qty for fill in own), ZERO)
    trades = volume // _SHARES_PER_TRADE + 1 + len(own)
    return Bar(t_ns, prices, max(volume + int(traded.to_integral_value()), 1), trades)
