"""Alpaca's market data API for stocks: query parameters in, the body of the reply out, or a ``Refusal``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from replay.simulator.data.asked import Asked, latest_asked
from replay.simulator.data.distorting import Body, Distorting, Undistorted
from replay.simulator.data.frames import Span
from replay.simulator.data.history import BarsAsked, Place, bars_asked
from replay.simulator.data.latest import Latest, Seen
from replay.simulator.data.plans import DELAY_NS, Plan
from replay.simulator.data.spans import Bar, Spans
from replay.simulator.data.trades import Trades
from replay.simulator.intake import data_messages as messages
from replay.simulator.market.sessions import session_number

if TYPE_CHECKING:
    from replay.simulator.market.surroundings import Asset
    from replay.simulator.venue.venue import Venue

_LATEST = {"quote": "latestQuote", "trade": "latestTrade", "bar": "minuteBar"}
_WITHOUT_LISTED = frozenset({"otc", "boats", "overnight"})


class MarketData:
    """Market data of a venue under a plan; every method takes the time from the venue's clock.

    ``ahead_ns`` returns what is added to the timestamps of latest quotes and trades.
    """

    def __init__(self, venue: Venue, plan: Plan, ahead_ns: Callable[[], int]) -> None:
        self._venue = venue
        self._plan = plan
        self._ahead_ns = ahead_ns
        trades = Trades(venue.fills, venue.seed)
        self._spans = Spans(venue.market, trades, venue.seed)
        self._latest = Latest(self._spans, trades, venue.seed)
        self._distorting: Distorting = Undistorted()

    def distorted(self, distorting: Distorting) -> MarketData:
        """Return the same data, distorted on its way into the answers."""
        data = copy(self)
        data._distorting = distorting
        return data

    def snapshots(self, query: Mapping[str, str]) -> Body:
        """Answer GET /v2/stocks/snapshots: without an envelope, null for a known asset without data."""
        asked = latest_asked(query, self._plan, None)
        seen = self._seen(asked)
        found: Body = {}
        for symbol in asked.symbols:
            if (asset := self._asset(symbol)) is not None:
                found[symbol] = self._snapshot(asset, seen)
        return found

    def snapshot(self, symbol: str, query: Mapping[str, str]) -> Body:
        """Answer GET /v2/stocks/{symbol}/snapshot."""
        asked = latest_asked(query, self._plan, symbol)
        asset = self._asset(symbol)
        parts = None if asset is None else self._snapshot(asset, self._seen(asked))
        if parts is None:
            raise messages.NOTHING_FOUND("snapshot", symbol)
        return asked.with_currency({"symbol": symbol, **parts})

    def latest(self, what: str, query: Mapping[str, str]) -> Body:
        """Answer GET /v2/stocks/{what}s/latest: symbols without data are absent."""
        asked = latest_asked(query, self._plan, None)
        seen = self._seen(asked)
        found: Body = {}
        for symbol in asked.symbols:
            asset = self._asset(symbol)
            if asset is not None and self._has_data(asset, seen.feed):
                found[symbol] = self._part(_LATEST[what], asset, seen)
        return asked.with_currency({f"{what}s": found})

    def latest_of(self, what: str, symbol: str, query: Mapping[str, str]) -> Body:
        """Answer GET /v2/stocks/{symbol}/{what}s/latest."""
        asked = latest_asked(query, self._plan, symbol)
        asset, seen = self._asset(symbol), self._seen(asked)
        if asset is None or not self._has_data(asset, seen.feed):
            raise messages.NOTHING_FOUND(what, symbol)
        return asked.with_currency({what: self._part(_LATEST[what], asset, seen), "symbol": symbol})

    def bars(self, query: Mapping[str, str], symbol: str | None = None) -> Body:
        """Answer GET /v2/stocks/bars and, with a ``symbol``, GET /v2/stocks/{symbol}/bars."""
        asked = bars_asked(query, self._plan, symbol, self._venue.clock.now_ns())
        page, token = self._page(asked)
        body: Body = {"bars": page, "next_page_token": token}
        if symbol is not None:
            body = {"bars": page.get(symbol, []), "next_page_token": token, "symbol": symbol}
        return body if asked.currency is None else {**body, "currency": asked.currency}

    def _page(self, asked: BarsAsked) -> tuple[dict[str, list[Body]], str | None]:
        page: dict[str, list[Body]] = {}
        last: Place | None = None
        for count, (symbol, bar) in enumerate(self._all_bars(asked)):
            if count == asked.limit and last is not None:
                return page, asked.token(last)
            page.setdefault(symbol, []).append(bar.body())
            last = Place(symbol, bar.t_ns)
        return page, None

    def _all_bars(self, asked: BarsAsked) -> Iterator[tuple[str, Bar]]:
        for symbol in asked.symbols:
            asset, interval = self._asset(symbol), asked.interval(symbol)
            if asset is None or interval is None or not self._has_data(asset, asked.feed):
                continue
            spans = asked.frame.spans(*interval, asked.newest_ns, newest_first=asked.newest_first)
            for span in spans:
                yield symbol, self._bar(symbol, asked, span)

    def _bar(self, symbol: str, asked: BarsAsked, span: Span) -> Bar:
        now_ns = asked.newest_ns
        if not span.numbers:
            tape = self._venue.tape if asked.adjusted else self._venue.tape.as_of(span.last_ns)
            bar = self._spans.span(symbol, asked.feed, span.first_ns, span.last_ns, tape)
            return replace(bar, t_ns=span.t_ns)
        until_ns = min(session_number(span.numbers[-1]).post_ns, now_ns)
        tape = self._venue.tape if asked.adjusted else self._venue.tape.as_of(until_ns)
        days = [
            self._spans.day(symbol, asked.feed, number, min(session_number(number).post_ns, now_ns), tape)
            for number in span.numbers
        ]
        return self._spans.together(days, span.t_ns)

    def _part(self, name: str, asset: Asset, seen: Seen) -> Body | None:
        if self._distorting.is_null(asset.symbol):
            return None
        part = self._latest.parts[name]
        return self._distorting.part(asset.symbol, name, lambda age_ns: part(asset, seen.earlier(age_ns)))

    def _snapshot(self, asset: Asset, seen: Seen) -> dict[str, Any] | None:
        if not self._has_data(asset, seen.feed) or self._distorting.is_null(asset.symbol):
            return None
        return {name: self._part(name, asset, seen) for name in self._latest.parts}

    def _seen(self, asked: Asked) -> Seen:
        t_ns = self._venue.clock.now_ns()
        if asked.feed == "delayed_sip":
            t_ns -= DELAY_NS
        return Seen(asked.feed, t_ns, self._venue.tape.as_of(t_ns), self._ahead_ns())

    def _asset(self, symbol: str) -> Asset | None:
        asset = self._venue.assets.get(symbol)
        if asset is None or not self._venue.tape.knows(symbol) or self._distorting.lacks(symbol):
            return None
        return asset

    def _has_data(self, asset: Asset, feed: str) -> bool:
        """Return whether a feed has a symbol: listed or over-the-counter shares, none overnight."""
        if asset.status != "active":
            return False
        return feed == "otc" if asset.exchange == "OTC" else feed not in _WITHOUT_LISTED
