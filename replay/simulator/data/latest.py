"""The latest quote, trade and bars of one symbol, as Alpaca's JSON objects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from replay.simulator.data.distorting import Body
from replay.simulator.data.spans import Bar, Spans
from replay.simulator.data.trades import Trades
from replay.simulator.data.volumes import MINUTE, size
from replay.simulator.market.sessions import FIRST_NS, number_begun, session_number
from replay.simulator.market.surroundings import Asset
from replay.simulator.market.tape import Tape
from replay.simulator.timestamps import written

_EXCHANGES = {"NYSE": "N", "NASDAQ": "Q", "ARCA": "P", "AMEX": "A", "BATS": "Z", "OTC": "U"}
_TAPES = {"NYSE": "A", "NASDAQ": "C", "OTC": "O"}
_REGULAR, _EXTENDED = ["@"], ["@", "T"]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a feed shows at a timestamp: ``t_ns`` of the data, and the tape as it was then.

    ``ahead_ns`` is added to the timestamps of quotes and trades.
    """

    feed: str
    t_ns: int
    tape: Tape
    ahead_ns: int = 0

    def earlier(self, age_ns: int) -> Seen:
        """Return what the feed showed some time before."""
        if age_ns == 0:
            return self
        t_ns = max(self.t_ns - age_ns, FIRST_NS)
        return Seen(self.feed, t_ns, self.tape.as_of(t_ns), self.ahead_ns)


class Latest:
    """The parts of a snapshot, by Alpaca's names."""

    def __init__(self, spans: Spans, trades: Trades, seed: int) -> None:
        self._spans = spans
        self._trades = trades
        self._seed = seed
        self.parts: dict[str, Callable[[Asset, Seen], Body]] = {
            "latestTrade": self.trade,
            "latestQuote": self.quote,
            "minuteBar": lambda asset, seen: self.minute_bar(asset, seen).body(),
            "dailyBar": lambda asset, seen: self.daily_bar(asset, seen).body(),
            "prevDailyBar": lambda asset, seen: self.daily_bar(asset, seen, before=1).body(),
        }

    def quote(self, asset: Asset, seen: Seen) -> Body:
        """Return the quote, within which orders fill; between sessions it is as old as the last one's end."""
        symbol = asset.symbol
        t_ns = min(seen.t_ns, session_number(number_begun(seen.t_ns)).post_ns)
        bid, ask = seen.tape.bid(symbol, seen.t_ns), seen.tape.ask(symbol, seen.t_ns)
        bid_size, ask_size = (size(self._seed, symbol, side, t_ns) for side in ("bid", "ask"))
        place = _place(asset, seen.feed)
        return {
            "ap": float(ask),
            "as": ask_size,
            "ax": place,
            "bp": float(bid),
            "bs": bid_size,
            "bx": place,
            "c": ["R"],
            "t": written(t_ns + seen.ahead_ns),
            "z": _tape(asset),
        }

    def trade(self, asset: Asset, seen: Seen) -> Body:
        """Return the last trade, at the price that the account is valued at."""
        last = self._trades.last(asset.symbol, seen.t_ns, seen.tape)
        hours = session_number(number_begun(last.t_ns))
        regular = hours.open_ns <= last.t_ns <= hours.close_ns
        return {
            "c": _REGULAR if regular else _EXTENDED,
            "i": last.id,
            "p": float(last.price),
            "s": last.size,
            "t": written(last.t_ns + seen.ahead_ns),
            "x": _place(asset, seen.feed),
            "z": _tape(asset),
        }

    def minute_bar(self, asset: Asset, seen: Seen) -> Bar:
        """Return the bar of the last whole minute of a session."""
        number = number_begun(seen.t_ns)
        hours = session_number(number)
        end_ns = min(seen.t_ns - seen.t_ns % MINUTE, hours.post_ns)
        if end_ns == hours.pre_ns:
            end_ns = session_number(number - 1).post_ns
        return self._spans.span(asset.symbol, seen.feed, end_ns - MINUTE, end_ns - 1, seen.tape)

    def daily_bar(self, asset: Asset, seen: Seen, *, before: int = 0) -> Bar:
        """Return the bar of the session that opened last, or of one ``before`` it, in its time's shares."""
        number = number_begun(seen.t_ns)
        if seen.t_ns < session_number(number).open_ns:
            number -= 1
        until_ns = seen.t_ns
        if before:
            number = max(number - before, 0)  # the calendar has no session before its first
            until_ns = session_number(number).post_ns
        return self._spans.day(asset.symbol, seen.feed, number, until_ns, seen.tape.as_of(until_ns))


def _place(asset: Asset, feed: str) -> str:
    return "V" if feed == "iex" else _EXCHANGES.get(asset.exchange, "Q")


def _tape(asset: Asset) -> str:
    return _TAPES.get(asset.exchange, "B")
