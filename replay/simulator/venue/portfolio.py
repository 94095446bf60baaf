"""The account's equity over time, and its gains: the body of GET /v2/account/portfolio/history.

A period counts calendar days: ``7D`` are the sessions of the last seven days, today's included. A point of
a day is its closing equity, stamped with the end of its extended hours; today's is the equity now. A point
within a day is stamped with the beginning of its window and has the equity at the end of it. The gain of a
day is measured from the day before, as in the document's examples (its text says: from ``base_value``).
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from engine.model.calendar import FIRST_DAY
from replay.simulator.account.past import Past
from replay.simulator.decimals import EXACT, ZERO, minus
from replay.simulator.intake import messages
from replay.simulator.intake.queries import day, flag, timestamp_ns, word, words
from replay.simulator.market.sessions import Session, number_begun, number_on_or_after, session_number
from replay.simulator.timestamps import DAY, NEW_YORK, SECOND
from replay.simulator.venue.activities import TYPES

_STEPS_S = {"1Min": 60, "5Min": 300, "15Min": 900, "1H": 3600}
_DAILY = "1D"
_TIMEFRAMES = frozenset({"", _DAILY, *_STEPS_S})
_REPORTING = frozenset({"market_hours", "extended_hours", "continuous"})
_RESETS = frozenset({"per_day", "no_reset"})
_PERIOD = re.compile(r"([1-9][0-9]{0,3})([DWMA])", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,11}", re.ASCII)
_LONGEST_INTRADAY, _LONGEST_MINUTES = 30, 7
_DAY = timedelta(days=1)
_EARLIEST = FIRST_DAY + timedelta(days=31)
_CENTS, _PER_CENT = Decimal("0.01"), Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class HistoryRequest:
    """A well-formed request: the days from ``first`` to ``last``, and the times within them."""

    first: date
    last: date
    from_ns: int
    to_ns: int
    timeframe: str
    reporting: str
    per_day: bool
    cashflows: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Point:
    t_ns: int
    equity: Decimal
    base: Decimal


def portfolio_history(past: Past, query: Mapping[str, str], now_ns: int) -> dict[str, Any]:
    """Return the body; raises ``Refusal`` for invalid parameters."""
    request = read_history(query, now_ns)
    begun = number_begun(request.from_ns) if request.reporting == "continuous" else None
    first = number_on_or_after(request.first) if begun is None else begun
    base = _closing(past, first - 1)
    points = list(
        _days(past, request, now_ns) if request.timeframe == _DAILY else _windows(past, request, base)
    )
    gains = [minus(point.equity, point.base) if point.base else ZERO for point in points]
    body: dict[str, Any] = {
        "timestamp": [point.t_ns // SECOND for point in points],
        "equity": [_rounded(point.equity, _CENTS) for point in points],
        "profit_loss": [_rounded(gain, _CENTS) for gain in gains],
        "profit_loss_pct": [
            _rounded(EXACT.divide(gain, point.base), _PER_CENT) if point.base else None
            for gain, point in zip(gains, points, strict=True)
        ],
        "base_value": _rounded(base, _CENTS),
        "timeframe": request.timeframe,
    }
    before = session_number(first - 1)
    if before.close_ns >= past.opened_ns:
        body["base_value_asof"] = before.day.isoformat()
    if request.cashflows:
        body["cashflow"] = {}  # no money ever comes or goes
    return body


def read_history(query: Mapping[str, str], now_ns: int) -> HistoryRequest:
    """Return the request in the query parameters; raises ``Refusal`` for invalid ones."""
    reporting = word(query, "intraday_reporting", _REPORTING, "market_hours")
    if flag(query, "extended_hours") and not query.get("intraday_reporting"):
        reporting = "extended_hours"
    start_ns, end_ns = _bound(query, "start", "date_start"), _bound(query, "end", "date_end", days=1)
    period = query.get("period")
    if period and start_ns is not None and end_ns is not None:
        raise messages.START_END_PERIOD()
    count, unit = _period(period or "1M")
    latest = _latest(now_ns, reporting)
    if start_ns is None:
        last = latest if end_ns is None else _day_of(end_ns)
        first = _moved(last, -count, unit) + _DAY
    else:
        first = _day_of(start_ns)
        last = _moved(first, count, unit) - _DAY if end_ns is None else _day_of(end_ns)
    days = (last - first).days + 1
    if (start_ns is None or end_ns is None) and (count, unit) == (1, "M"):
        days = _LONGEST_INTRADAY
    first, last = max(min(first, latest + _DAY), _EARLIEST), max(min(last, latest), _EARLIEST)
    from_ns = max(_midnight_ns(first), start_ns or 0)
    to_ns = min(now_ns, _midnight_ns(last + _DAY) if end_ns is None else end_ns)
    timeframe = word(query, "timeframe", _TIMEFRAMES, "")
    if not timeframe:
        timeframe = "1Min" if days < _LONGEST_MINUTES else "15Min" if days < _LONGEST_INTRADAY else _DAILY
    elif timeframe != _DAILY and days > _LONGEST_INTRADAY:
        raise messages.LONG_PERIODS_DAILY()
    return HistoryRequest(
        first, last, from_ns, to_ns, timeframe, reporting,
        per_day=word(query, "pnl_reset", _RESETS, "per_day") == "per_day",
        cashflows=_cashflows(query),
    )  # fmt: skip


def _days(past: Past, request: HistoryRequest, now_ns: int) -> Iterator[_Point]:
    for number, session in _sessions(request):
        closed = session.close_ns <= now_ns
        t_ns = min(session.post_ns, now_ns)
        if t_ns < past.opened_ns:
            yield _Point(t_ns, ZERO, ZERO)
        else:
            equity = past.equity_at_close(session) if closed else past.equity(now_ns)
            yield _Point(t_ns, equity, _closing(past, number - 1))


def _windows(past: Past, request: HistoryRequest, base: Decimal) -> Iterator[_Point]:
    step_ns = _STEPS_S[request.timeframe] * SECOND
    for begin_ns, end_ns, number in _spans(request, step_ns):
        day_base = _closing(past, number - 1) if request.per_day else base
        for t_ns in range(begin_ns, end_ns + 1, step_ns):
            if request.from_ns - step_ns < t_ns <= request.to_ns:
                until_ns = min(t_ns + step_ns, request.to_ns)
                opened = until_ns >= past.opened_ns
                yield _Point(t_ns, past.equity(until_ns) if opened else ZERO, day_base if opened else ZERO)


def _spans(request: HistoryRequest, step_ns: int) -> Iterator[tuple[int, int, int]]:
    """Yield the first and the last time of each day's windows, and the number of its session."""
    if request.reporting == "continuous":
        t_ns = request.from_ns // step_ns * step_ns
        while t_ns <= request.to_ns:
            number = number_begun(t_ns)
            following_ns = session_number(number + 1).pre_ns
            yield t_ns, min(following_ns - 1, request.to_ns), number
            t_ns += -(-(following_ns - t_ns) // step_ns) * step_ns
        return
    for number, session in _sessions(request):
        if request.reporting == "extended_hours":
            yield session.pre_ns, session.post_ns, number
        else:
            yield session.open_ns, session.close_ns, number


def _sessions(request: HistoryRequest) -> Iterator[tuple[int, Session]]:
    number = number_on_or_after(request.first)
    while (session := session_number(number)).day <= request.last:
        yield number, session
        number += 1


def _closing(past: Past, number: int) -> Decimal:
    """Return the equity at the close of a session, the opening cash where that is before the account."""
    session = session_number(number)
    return past.opening if session.close_ns < past.opened_ns else past.equity_at_close(session)


def _latest(now_ns: int, reporting: str) -> date:
    """Return the last day that has begun: at its open, or with its extended hours."""
    session = session_number(number_begun(now_ns))
    if reporting == "market_hours" and now_ns < session.open_ns:
        return session_number(number_begun(now_ns) - 1).day
    return _day_of(now_ns) if reporting == "continuous" else session.day


def _bound(query: Mapping[str, str], name: str, older_name: str, *, days: int = 0) -> int | None:
    text = query.get(name)
    if text and _SECONDS.fullmatch(text):
        return int(text) * SECOND
    if text:
        return timestamp_ns(query, name)
    older = day(query, older_name)  # as the SDKs of 2020 ask, by the day in New York, both inclusive
    return None if older is None else _midnight_ns(older) + days * (DAY - SECOND)


def _period(text: str) -> tuple[int, str]:
    match = _PERIOD.fullmatch(text)
    if match is None:
        raise messages.BAD_PARAMETER("period")
    return int(match[1]), match[2]


def _moved(from_: date, count: int, unit: str) -> date:
    try:
        if unit in "DW":
            return from_ + timedelta(days=count * (7 if unit == "W" else 1))
        year, month = divmod(from_.year * 12 + from_.month - 1 + count * (12 if unit == "A" else 1), 12)
        return date(year, month + 1, min(from_.day, calendar.monthrange(year, month + 1)[1]))
    except (ValueError, OverflowError):
        raise messages.BAD_PARAMETER("period") from None


def _cashflows(query: Mapping[str, str]) -> frozenset[str]:
    types = words(query, "cashflow_types") or frozenset()
    if types - {"ALL", "NONE"} - TYPES:
        raise messages.BAD_PARAMETER("cashflow_types")
    return types - {"NONE"}


def _day_of(t_ns: int) -> date:
    return datetime.fromtimestamp(t_ns // SECOND, UTC).astimezone(NEW_YORK).date()


def _midnight_ns(of: date) -> int:
    return int(datetime(of.year, of.month, of.day, tzinfo=NEW_YORK).timestamp()) * SECOND


def _rounded(amount: Decimal, step: Decimal) -> float:
    return float(amount.quantize(step, context=EXACT))
