"""The hours of several markets: the bodies of GET /v3/clock and GET /v3/calendar/{market}.

All markets here are those of US shares, which have the same sessions.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from replay.simulator.intake import messages
from replay.simulator.intake.queries import day, timestamp_ns, word, words
from replay.simulator.intake.refusal import Refusal
from replay.simulator.market.sessions import (
    FIRST_NS,
    LAST_NS,
    Session,
    ending_after,
    in_new_york,
    market_days,
    next_close_ns,
    next_open_ns,
    settlement,
)
from replay.simulator.timestamps import NEW_YORK, SECOND, written


class _Market(NamedTuple):
    acronym: str
    mic: str
    name: str

    def body(self) -> dict[str, Any]:
        return {**self._asdict(), "timezone": NEW_YORK.key}


_MARKETS = (
    _Market("NYSE", "XNYS", "New York Stock Exchange"),
    _Market("NASDAQ", "XNAS", "National Association of Securities Dealers Automated Quotations"),
    _Market("IEX", "IEXG", "Investors Exchange"),
    _Market("OTC", "OTCM", "OTC Markets"),
)
MARKETS = {code: market for market in _MARKETS for code in (market.acronym, market.mic)}
"""The markets that the simulator has, by acronym and by MIC."""

_DEFAULT = "NYSE"
_WEEK = timedelta(days=7)
_TIMEZONES = frozenset({"", "UTC"})


def clocks(query: Mapping[str, str], now_ns: int) -> dict[str, Any]:
    """Answer GET /v3/clock; raises ``Refusal`` for an unknown market or an invalid time."""
    codes = words(query, "markets") or {_DEFAULT}
    markets = {_market(code) for code in codes}
    asked_ns = timestamp_ns(query, "time")
    if asked_ns is not None and not FIRST_NS <= asked_ns <= LAST_NS:
        raise messages.BAD_PARAMETER("time")
    t_ns = now_ns if asked_ns is None else asked_ns
    return {"clocks": [_clock(market, t_ns) for market in _MARKETS if market in markets]}


def market_calendar(code: str, query: Mapping[str, str], now_ns: int) -> dict[str, Any]:
    """Answer GET /v3/calendar/{market}; raises ``Refusal`` for an unknown market or invalid parameters."""
    market = _market(code)
    start = day(query, "start") or _day_of(now_ns)
    end = day(query, "end") or min(start, date.max - _WEEK) + _WEEK
    in_utc = word(query, "timezone", _TIMEZONES, "") == "UTC"
    days = [_calendar_day(session, in_utc=in_utc) for session in market_days(start, end)]
    return {"market": market.body(), "calendar": days}


def _market(code: str) -> _Market:
    market = MARKETS.get(code.upper())
    if market is None:
        raise _not_simulated(code)
    return market


def _not_simulated(code: str) -> Refusal:
    return messages.MARKET_NOT_SIMULATED(code, ", ".join(MARKETS))


def _clock(market: _Market, t_ns: int) -> dict[str, Any]:
    session = ending_after(t_ns)
    phase, until_ns = _phase(session, t_ns)
    return {
        "market": market.body(),
        "timestamp": in_new_york(t_ns),
        "is_market_day": bool(market_days(_day_of(t_ns), _day_of(t_ns))),
        "next_market_open": in_new_york(next_open_ns(t_ns)),
        "next_market_close": in_new_york(next_close_ns(t_ns)),
        "phase": phase,
        "phase_until": in_new_york(until_ns),
    }


def _phase(session: Session, t_ns: int) -> tuple[str, int]:
    """Return the phase of a timestamp and its end; ``session`` is the current or the next one."""
    if t_ns < session.pre_ns:
        return "closed", session.pre_ns
    if t_ns < session.open_ns:
        return "pre", session.open_ns
    if t_ns < session.close_ns:
        return "core", session.close_ns
    return "post", session.post_ns


def _calendar_day(session: Session, *, in_utc: bool) -> dict[str, Any]:
    stamp = written if in_utc else in_new_york
    return {
        "date": session.day.isoformat(),
        "pre_start": stamp(session.pre_ns),
        "pre_end": stamp(session.open_ns),
        "core_start": stamp(session.open_ns),
        "core_end": stamp(session.close_ns),
        "post_start": stamp(session.close_ns),
        "post_end": stamp(session.post_ns),
        "settlement_date": settlement(session.day).isoformat(),
    }


def _day_of(t_ns: int) -> date:
    return datetime.fromtimestamp(t_ns // SECOND, UTC).astimezone(NEW_YORK).date()
