"""The session that a timestamp belongs to.

XNYS comes from a shipped table of the weekdays on which New York does not trade (exchange_calendars takes
0.25 s to load); every other calendar is read from that library. ``tests/engine/make_calendar.py`` writes
the table again, ``tests/engine/model/test_calendar.py`` compares it with the library day by day.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from engine.errors import ConfigurationError
from engine.text.masking import shown_word

NEW_YORK = ZoneInfo("America/New_York")
DAY_ROLLS_AT_HOUR = 20  # the end of extended hours in New York
FIRST_DAY = date(2010, 1, 1)
LAST_DAY = date(2045, 12, 31)
TABLE = Path(__file__).parent / "calendars" / "XNYS.csv"
EARLY_CLOSES = TABLE.with_name("XNYS_early_closes.csv")

_SHIPPED = "XNYS"
_ONE_DAY = timedelta(days=1)
_SATURDAY = 5
_OPEN, _CLOSE, _EARLY_CLOSE = time(9, 30), time(16), time(13)
_EXTENDED_OPEN = time(4)
_EXTENDED_CLOSES = {_CLOSE: time(20), _EARLY_CLOSE: time(17)}
"""When New York's extended hours end, by the close of the regular session."""
_REASON_LENGTH = 200


def trading_date(timestamp: datetime, calendar: str = _SHIPPED) -> date:
    """Return the session that a timestamp (timezone-aware, also a ``pd.Timestamp``) belongs to.

    The day is New York's and rolls at 20:00 there; 20:00:00 itself belongs to the next day. A day that is
    no session belongs to the next session. ``calendar`` is a name of exchange_calendars.

    Raises ``ValueError`` for a timestamp without a zone, and ``ConfigurationError`` for an unknown calendar
    and for a timestamp outside the calendar's range (XNYS: 2010 to 2045).
    """
    if timestamp.tzinfo is None:
        raise ValueError(
            f"the timestamp is {timestamp!s}, without a zone; expected one with a zone. "
            f"Add it, such as with tz_localize('UTC')."
        )
    if not FIRST_DAY.year <= timestamp.year <= LAST_DAY.year:
        raise _not_covered(calendar, f"{timestamp:%Y-%m-%d}", "the calendars are read from 2010 to 2045")
    local = timestamp.astimezone(NEW_YORK)
    day = local.date() + _ONE_DAY if local.hour >= DAY_ROLLS_AT_HOUR else local.date()
    return _next_shipped_session(day) if calendar == _SHIPPED else _next_session(day, calendar)


def session_begins(session: date, calendar: str = _SHIPPED) -> datetime:
    """Return the first timestamp that belongs to a session: 20:00 in New York after the one before it.

    Raises as ``trading_date``.
    """
    day = session
    while trading_date(datetime.combine(day - _ONE_DAY, time(12), NEW_YORK), calendar) == session:
        day -= _ONE_DAY
    return datetime.combine(day - _ONE_DAY, time(DAY_ROLLS_AT_HOUR), NEW_YORK)


def session_if_covered(timestamp: datetime, calendar: str = _SHIPPED) -> date | None:
    """Return the session of a timestamp, None for one outside the calendar's range.

    Raises as ``trading_date`` does for an unknown calendar and a timestamp without a zone.
    """
    check_calendar(calendar)
    try:
        return trading_date(timestamp, calendar)
    except ConfigurationError:
        return None


def regular_hours(session: date, calendar: str = _SHIPPED) -> tuple[datetime, datetime]:
    """Return when a session opens and closes, in New York's time; a half day closes early."""
    if calendar == _SHIPPED:
        close = _EARLY_CLOSE if session in _early_closes() else _CLOSE
        opens, closes = (datetime.combine(session, at, NEW_YORK) for at in (_OPEN, close))
        return opens, closes
    from exchange_calendars import get_calendar

    known = get_calendar(calendar, start=session - _ONE_DAY, end=session + _ONE_DAY)
    opens, closes = known.session_open_close(session.isoformat())
    return opens.to_pydatetime().astimezone(NEW_YORK), closes.to_pydatetime().astimezone(NEW_YORK)


def closes_early(session: date, calendar: str = _SHIPPED) -> bool:
    """Return whether a session is a half day."""
    if calendar == _SHIPPED:
        return session in _early_closes()
    from exchange_calendars import get_calendar

    known = get_calendar(calendar, start=session - _ONE_DAY, end=session + _ONE_DAY)
    _, usual = known.close_times[-1]
    return bool(regular_hours(session, calendar)[1].astimezone(ZoneInfo(known.tz.key)).time() < usual)


def extended_hours(session: date, calendar: str = _SHIPPED) -> tuple[datetime, datetime] | None:
    """Return when the extended hours of a session begin and end, in New York's time; None where unknown.

    4:00 to 20:00, on a half day to 17:00: ``session_open`` and ``session_close`` of Alpaca's calendar. They
    are unknown for a calendar whose sessions aren't New York's.
    """
    opens, closes = regular_hours(session, calendar)
    ends_at = _EXTENDED_CLOSES.get(closes.time())
    if ends_at is None or opens.time() != _OPEN or not _is_of_new_york(session, calendar):
        return None
    return (
        datetime.combine(session, _EXTENDED_OPEN, NEW_YORK),
        datetime.combine(session, ends_at, NEW_YORK),
    )


def queued_until(timestamp: datetime, calendar: str = _SHIPPED) -> datetime | None:
    """Return the open until which an order is queued that arrives after a session or between two.

    None while a session trades, and before its open on its own day. Raises as ``trading_date``.
    """
    session = trading_date(timestamp, calendar)
    opens, closes = regular_hours(session, calendar)
    if timestamp >= closes:
        evening = datetime.combine(session, time(DAY_ROLLS_AT_HOUR), NEW_YORK)
        return regular_hours(trading_date(max(evening, timestamp), calendar), calendar)[0]
    return None if timestamp.astimezone(NEW_YORK).date() == session else opens


def check_calendar(name: str) -> None:
    """Check that a calendar exists; free for XNYS. Raises ``ConfigurationError``."""
    if name == _SHIPPED:
        return
    from exchange_calendars import get_calendar_names

    names = get_calendar_names()
    if name not in names:
        from difflib import get_close_matches

        close = get_close_matches(name.upper(), names, n=1)
        hint = f"Did you mean {close[0]}?" if close else "Write XNYS for New York, XLON for London."
        raise ConfigurationError(
            f"EXEC_CALENDAR is {shown_word(name)}; expected a name of exchange_calendars. {hint}"
        )


def _is_of_new_york(session: date, calendar: str) -> bool:
    if calendar == _SHIPPED:
        return True
    from exchange_calendars import get_calendar

    known = get_calendar(calendar, start=session - _ONE_DAY, end=session + _ONE_DAY)
    return bool(known.tz.key == NEW_YORK.key)


def _next_shipped_session(day: date) -> date:
    closed = _closed_weekdays()
    session = day
    while session.weekday() >= _SATURDAY or session in closed:
        session += _ONE_DAY
    if not FIRST_DAY <= day <= session <= LAST_DAY:
        raise _not_covered(_SHIPPED, day.isoformat(), f"the table goes from {FIRST_DAY} to {LAST_DAY}")
    return session


@cache
def _closed_weekdays() -> frozenset[date]:
    _, *days = TABLE.read_text(encoding="ascii").split()
    return frozenset(map(date.fromisoformat, days))


@cache
def _early_closes() -> frozenset[date]:
    _, *days = EARLY_CLOSES.read_text(encoding="ascii").split()
    return frozenset(map(date.fromisoformat, days))


@cache
def _next_session(day: date, calendar: str) -> date:
    """Return the next session by the library; a shorter range is tried for calendars that end this year."""
    check_calendar(calendar)
    from exchange_calendars import get_calendar
    from exchange_calendars.errors import CalendarError

    why = "it has no session within a month"
    for days_ahead in (31, 7, 0):
        try:
            known = get_calendar(calendar, start=day - _ONE_DAY, end=day + timedelta(days=days_ahead))
        except (CalendarError, ValueError, NotImplementedError) as error:
            why = str(error)[:_REASON_LENGTH].rstrip(".")
            continue
        sessions: list[date] = [session for session in known.sessions.date if session >= day]
        if sessions:
            return sessions[0]
    raise _not_covered(calendar, day.isoformat(), why)


def _not_covered(calendar: str, day: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"EXEC_CALENDAR is {calendar}, which has no session for {day}: {why}. "
        f"Check the date; if it is right, update the engine or choose a calendar that covers it."
    )
