"""The exchange's sessions: when New York opens and closes, half days included, and Alpaca's bodies for them.

Sessions and early closes are those of the engine's calendar; ``test_sessions.py`` compares both with
exchange_calendars day by day.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from engine.errors import ConfigurationError
from engine.model.calendar import EARLY_CLOSES, FIRST_DAY, LAST_DAY, NEW_YORK
from engine.model.calendar import TABLE as CLOSED_WEEKDAYS
from replay.simulator.timestamps import SECOND

LAST_ANSWERED = date(2029, 12, 31)
"""The last day of GET /v2/calendar without ``end``, as at Alpaca."""

_HOUR = 3600 * SECOND
_PRE, _OPEN, _CLOSE, _POST = time(4), time(9, 30), time(16), time(20)
_EARLY_CLOSE, _EARLY_POST = time(13), time(17)
_SATURDAY = 5


@dataclass(frozen=True, slots=True)
class Session:
    """One session: extended hours from ``pre_ns`` to ``post_ns``, regular hours ``open_ns`` to ``close_ns``.

    A half day closes at 13:00, and its extended hours end at 17:00.
    """

    day: date
    pre_ns: int
    open_ns: int
    close_ns: int
    post_ns: int
    early_close: bool

    def calendar_body(self) -> dict[str, Any]:
        """Return Alpaca's JSON object of GET /v2/calendar; settlement is on the next trading day."""
        close, post = (_EARLY_CLOSE, _EARLY_POST) if self.early_close else (_CLOSE, _POST)
        return {
            "date": self.day.isoformat(),
            "open": f"{_OPEN:%H:%M}",
            "close": f"{close:%H:%M}",
            "session_open": f"{_PRE:%H%M}",
            "session_close": f"{post:%H%M}",
            "settlement_date": settlement(self.day).isoformat(),
        }


def session(day: date) -> Session:
    """Return the session of a day; raises ConfigurationError for a day without one."""
    table = _table()
    at = bisect_left(table.days, day)
    if at == len(table.days) or table.days[at] != day:
        raise ConfigurationError(
            f"the day is {day}; expected a session of New York, from {table.days[0]} to {table.days[-1]}. "
            f"Name a trading day."
        )
    return _session(at)


def ending_after(t_ns: int) -> Session:
    """Return the current session, or the next: the first whose extended hours end after a timestamp."""
    return session_number(number_ending_after(t_ns))


def is_open(t_ns: int) -> bool:
    """Return whether regular trading is open: the open inclusive, the close exclusive."""
    hours = ending_after(t_ns)
    return hours.open_ns <= t_ns < hours.close_ns


def next_open_ns(t_ns: int) -> int:
    """Return the first open after a timestamp."""
    at = number_ending_after(t_ns)
    hours = session_number(at)
    return hours.open_ns if t_ns < hours.open_ns else session_number(at + 1).open_ns


def next_close_ns(t_ns: int) -> int:
    """Return the first close after a timestamp."""
    at = number_ending_after(t_ns)
    hours = session_number(at)
    return hours.close_ns if t_ns < hours.close_ns else session_number(at + 1).close_ns


def clock_body(t_ns: int) -> dict[str, Any]:
    """Return Alpaca's JSON object of GET /v2/clock."""
    return {
        "timestamp": in_new_york(t_ns),
        "is_open": is_open(t_ns),
        "next_open": in_new_york(next_open_ns(t_ns)),
        "next_close": in_new_york(next_close_ns(t_ns)),
    }


def calendar(
    start: date | None = None,
    end: date | None = None,
    *,
    date_type: Literal["TRADING", "SETTLEMENT"] = "TRADING",
) -> list[dict[str, Any]]:
    """Answer GET /v2/calendar: the sessions from ``start`` to ``end`` inclusive, by day or settlement.

    Only days from 2010 to 2045 are included (Alpaca: 1970 to 2029); without ``end``, 2029 is the last year.
    """
    table = _table()
    days = table.days if date_type == "TRADING" else table.settlements
    first = 0 if start is None else bisect_left(days, start)
    last = bisect_right(days, end or LAST_ANSWERED)
    return [_session(at).calendar_body() for at in range(first, last)]


def market_days(start: date, end: date) -> list[Session]:
    """Return the sessions from ``start`` to ``end``, both inclusive."""
    table = _table()
    return [_session(at) for at in range(bisect_left(table.days, start), bisect_right(table.days, end))]


def settlement(day: date) -> date:
    """Return the day on which trades of a session settle: the next trading day."""
    table = _table()
    return table.settlements[bisect_left(table.days, day)]


def in_new_york(t_ns: int) -> str:
    """Return a timestamp as Alpaca's clock writes it: 2019-07-07T12:55:08.427247519-04:00."""
    second, rest = divmod(t_ns, SECOND)
    local = datetime.fromtimestamp(second, UTC).astimezone(NEW_YORK).isoformat()
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return local[:19] + fraction + local[19:]


def day_before(day: date) -> date:
    """Return the day of the session before that of a day; of the first one that day itself."""
    days = _table().days
    return days[max(bisect_left(days, day) - 1, 0)]


def number_begun(t_ns: int) -> int:
    """Return the number of the last session whose extended hours have begun; 0 before the first."""
    return (bisect_right(_table().begins_ns, t_ns) or 1) - 1


def number_on_or_after(day: date) -> int:
    """Return the number of the first session on a day or after it."""
    return bisect_left(_table().days, day)


def number_ending_after(t_ns: int) -> int:
    """Return the number of the first session whose extended hours end after a timestamp.

    Raises ConfigurationError where the calendar ends.
    """
    at = number_begun(t_ns)
    return at if t_ns < session_number(at).post_ns else at + 1


def session_number(at: int) -> Session:
    """Return a session by number, 0 is the first of 2010; raises ConfigurationError beyond the last."""
    if not 0 <= at < len(_table().days):
        raise ConfigurationError(
            f"the simulated time has left the calendar, which goes from {FIRST_DAY} to {LAST_DAY}. "
            f"Start the clock at an earlier day."
        )
    return _session(at)


def session_count() -> int:
    """Return the number of sessions of the calendar."""
    return len(_table().days)


class _Table(NamedTuple):
    days: list[date]
    settlements: list[date]
    begins_ns: list[int]
    early_closes: frozenset[date]


@cache
def _table() -> _Table:
    closed = _dates(CLOSED_WEEKDAYS)
    span = (FIRST_DAY + timedelta(days=after) for after in range((LAST_DAY - FIRST_DAY).days + 1))
    days = [day for day in span if day.weekday() < _SATURDAY and day not in closed]
    last_settlement = days.pop()  # its own settlement is beyond the calendar
    return _Table(
        days=days,
        settlements=[*days[1:], last_settlement],
        begins_ns=[_at(day, _PRE) for day in days],
        early_closes=_dates(EARLY_CLOSES),
    )


@cache
def _session(at: int) -> Session:
    table = _table()
    day, pre_ns = table.days[at], table.begins_ns[at]
    early = day in table.early_closes
    return Session(
        day=day,
        pre_ns=pre_ns,
        open_ns=_after(pre_ns, _OPEN),  # clocks change on Sundays, so the hours of a session add up
        close_ns=_after(pre_ns, _EARLY_CLOSE if early else _CLOSE),
        post_ns=_after(pre_ns, _EARLY_POST if early else _POST),
        early_close=early,
    )


def _after(pre_ns: int, clock: time) -> int:
    return pre_ns + (clock.hour - _PRE.hour) * _HOUR + clock.minute * 60 * SECOND


def _at(day: date, clock: time) -> int:
    return int(datetime.combine(day, clock, NEW_YORK).timestamp()) * SECOND


def _dates(table: Path) -> frozenset[date]:
    _, *days = table.read_text(encoding="ascii").split()
    return frozenset(map(date.fromisoformat, days))


FIRST_NS = int(datetime(FIRST_DAY.year, 1, 5, 9, tzinfo=UTC).timestamp()) * SECOND
"""The earliest time of a simulated clock: 04:00 in New York on the second session."""

LAST_NS = int(datetime(LAST_DAY.year, 12, 1, tzinfo=UTC).timestamp()) * SECOND
"""The latest time of a simulated clock: enough sessions follow it."""
