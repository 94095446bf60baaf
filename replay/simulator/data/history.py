"""Pages of bars over an interval: GET /v2/stocks/bars and /v2/stocks/{symbol}/bars.

Bars are sorted by symbol, then by time; a page ends after ``limit`` bars of all symbols together. A date
without a time stands for the whole day in New York.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import NamedTuple

from replay.simulator.data import asked
from replay.simulator.data.frames import TimeFrame, read_time_frame
from replay.simulator.data.plans import DELAY_NS, HISTORICAL_FEEDS, Plan
from replay.simulator.intake import data_messages as messages
from replay.simulator.market.sessions import LAST_NS
from replay.simulator.timestamps import NEW_YORK, SECOND, read, read_day, written

PARAMETERS = (
    "symbols", "timeframe", "start", "end", "limit", "adjustment", "asof", "feed", "currency", "page_token",
    "sort",
)  # fmt: skip

_LIMIT, _HIGHEST_LIMIT = 1000, 10_000
_ADJUSTMENTS = frozenset({"raw", "split", "dividend", "spin-off", "all"})
_ADJUSTED_FOR_SPLITS = frozenset({"split", "all"})
_SORTS = frozenset({"asc", "desc"})
_DIGITS = re.compile(r"[0-9]{1,5}", re.ASCII)
_DATE_ONLY = 10


class Place(NamedTuple):
    """The last bar of a page: where the next one goes on."""

    symbol: str
    t_ns: int


@dataclass(frozen=True, slots=True)
class BarsAsked:
    """A request for bars: of each symbol those stamped from ``start_ns`` to ``end_ns``, both inclusive.

    ``newest_ns``: nothing later is shown. ``adjusted``: in today's shares instead of those of their time.
    ``after``: the last bar of the page before.
    """

    symbols: tuple[str, ...]
    frame: TimeFrame
    start_ns: int
    end_ns: int
    newest_ns: int
    limit: int
    adjusted: bool
    feed: str
    currency: str | None
    newest_first: bool
    after: Place | None

    def interval(self, symbol: str) -> tuple[int, int] | None:
        """Return the first and last stamp that this page may have of a symbol, None where it has none."""
        if self.after is None or symbol > self.after.symbol:
            return self.start_ns, self.end_ns
        if symbol < self.after.symbol:
            return None
        if self.newest_first:
            return self.start_ns, min(self.end_ns, self.after.t_ns - 1)
        return max(self.start_ns, self.after.t_ns + 1), self.end_ns

    def token(self, place: Place) -> str:
        """Return the token of the page that goes on after a bar."""
        return base64.b64encode(f"{place.symbol}|{self.frame.letter}|{written(place.t_ns)}".encode()).decode()


def bars_asked(query: Mapping[str, str], plan: Plan, symbol: str | None, now_ns: int) -> BarsAsked:
    """Return a request for bars; ``symbol`` is the one of its path, None where it has none.

    Raises ``Refusal`` as for the latest data, for other invalid parameters, and for SIP data of the last 15
    minutes where the plan has none.
    """
    asked.check_names(query, PARAMETERS, symbol)
    symbols = asked.read_symbols(query, symbol, messages.INVALID_SYMBOL)
    if not query.get("timeframe"):
        raise messages.PARAMETER_MISSING("timeframe")
    frame = read_time_frame(query["timeframe"])
    feed = asked.read_feed(query, HISTORICAL_FEEDS, "sip")
    start_ns, end_ns, newest_ns = _interval(query, feed, plan, now_ns)
    adjustments = _words(query, "adjustment", "raw")
    return BarsAsked(
        tuple(sorted(symbols)),
        frame,
        start_ns,
        end_ns,
        newest_ns,
        limit=_limit(query),
        adjusted=not _ADJUSTED_FOR_SPLITS.isdisjoint(adjustments),
        feed=feed,
        currency=asked.read_currency(query),
        newest_first=_sort(query) == "desc",
        after=_place(query, frame),
    )


def _interval(query: Mapping[str, str], feed: str, plan: Plan, now_ns: int) -> tuple[int, int, int]:
    """Return start, end and the newest permitted timestamp; by default start and end are today so far."""
    permitted = feed in plan.feeds
    if not permitted and feed != "sip":
        raise asked.no_such_feed(feed)
    newest_ns = now_ns if permitted else now_ns - DELAY_NS
    end_ns = _timestamp_ns(query, "end", end_of_day=True)
    if end_ns is None:
        end_ns = newest_ns
    elif not permitted and min(end_ns, now_ns) > newest_ns:
        raise messages.NO_RECENT_SIP()
    start_ns = _timestamp_ns(query, "start", end_of_day=False)
    if start_ns is None:
        start_ns = min(_midnight_ns(now_ns), newest_ns)
    if end_ns < start_ns and query.get("end"):
        raise messages.END_BEFORE_START()
    return start_ns, min(end_ns, newest_ns), newest_ns


def _timestamp_ns(query: Mapping[str, str], name: str, *, end_of_day: bool) -> int | None:
    text = query.get(name)
    if not text:
        return None
    if len(text) == _DATE_ONLY and (day := read_day(text)) is not None:
        try:
            midnight = datetime.combine(day + timedelta(days=end_of_day), time(), NEW_YORK).timestamp()
        except (OverflowError, ValueError):
            raise messages.INVALID_PARAMETER(name, text) from None
        return int(midnight) * SECOND - end_of_day
    t_ns = read(text)
    if t_ns is None:
        raise messages.INVALID_PARAMETER(name, text)
    return t_ns


def _midnight_ns(t_ns: int) -> int:
    day = datetime.fromtimestamp(min(t_ns, LAST_NS) // SECOND, NEW_YORK).date()
    return int(datetime.combine(day, time(), NEW_YORK).timestamp()) * SECOND


def _limit(query: Mapping[str, str]) -> int:
    text = query.get("limit") or str(_LIMIT)
    if _DIGITS.fullmatch(text) is None or not 1 <= int(text) <= _HIGHEST_LIMIT:
        raise messages.INVALID_PARAMETER("limit", text)
    return int(text)


def _words(query: Mapping[str, str], name: str, default: str) -> set[str]:
    text = query.get(name) or default
    found = set(text.split(","))
    if not found <= _ADJUSTMENTS:
        raise messages.INVALID_PARAMETER(name, text)
    return found


def _sort(query: Mapping[str, str]) -> str:
    text = query.get("sort") or "asc"
    if text not in _SORTS:
        raise messages.INVALID_PARAMETER("sort", text)
    asof = query.get("asof")
    if asof and asof != "-" and (len(asof) != _DATE_ONLY or read_day(asof) is None):
        raise messages.INVALID_PARAMETER("asof", asof)
    return text


def _place(query: Mapping[str, str], frame: TimeFrame) -> Place | None:
    token = query.get("page_token")
    if not token:
        return None
    try:
        symbol, letter, text = base64.b64decode(token, validate=True).decode("ascii").split("|")
    except (binascii.Error, ValueError):
        symbol = letter = text = ""
    t_ns = read(text) if text else None
    if t_ns is None or letter != frame.letter:
        raise messages.INVALID_PARAMETER("page_token", token)
    return Place(symbol, t_ns)
