"""When a slot, a time of the day that ``run --slot NAME --when WHEN`` is scheduled for, is due.

``WHEN`` is the open or the close of the regular session, with or without a distance (``open+15m``,
``close-10m``), or a time of day in New York (``15:45``). Each session has the slot once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Literal

from engine.errors import UsageError
from engine.model.calendar import NEW_YORK, closes_early, regular_hours, session_begins, trading_date
from engine.text.masking import shown_text

State = Literal["due", "not_due", "late", "closed_day", "no_such_time"]

_SESSION_ENDS = time(20)
_UNITS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1)}
_DURATION = re.compile(r"(\d{1,4})([smh])", re.ASCII)
_FROM_SESSION = re.compile(r"(open|close)(?:([+-])(\d{1,4}[smh]))?", re.ASCII)
_CLOCK = re.compile(r"(\d{1,2}):([0-5]\d)", re.ASCII)
_LONGEST = timedelta(hours=12)
_SATURDAY = 5


@dataclass(frozen=True)
class When:
    """A time of every session: a distance from its open or close, or a time of day in New York."""

    text: str
    edge: Literal["open", "close", ""] = ""
    distance: timedelta = timedelta(0)
    clock: time | None = None


@dataclass(frozen=True)
class SlotTime:
    """How ``now`` stands to a slot: ``due_at`` is its time in ``session``, None where that has none.

    ``next_due_at``: its first time after ``now``. ``why``: a sentence, "" where it is due.
    """

    state: State
    session: date
    due_at: datetime | None
    next_due_at: datetime
    why: str = ""


def parse_when(text: str) -> When:
    """Return the time of day that a text names. Raises ``UsageError``."""
    folded = text.strip().lower()
    if matched := _FROM_SESSION.fullmatch(folded):
        edge, sign, distance = matched.groups()
        length = parse_duration(distance, "--when") if distance else timedelta(0)
        return When(folded, "open" if edge == "open" else "close", -length if sign == "-" else length)
    if (matched := _CLOCK.fullmatch(folded)) and int(matched[1]) < _SESSION_ENDS.hour:
        return When(folded, clock=time(int(matched[1]), int(matched[2])))
    raise UsageError(
        f"--when is {shown_text(text)}; expected open or close, with or without a distance (open+15m, "
        f"close-10m), or a time of day in New York before 20:00, when the trading day ends (15:45)."
    )


def parse_duration(text: str, option: str) -> timedelta:
    """Return a length of time such as ``90s``, ``15m`` or ``1h``, at most 12 hours. Raises ``UsageError``."""
    matched = _DURATION.fullmatch(text.strip().lower())
    length = int(matched[1]) * _UNITS[matched[2]] if matched else None
    if length is None or length > _LONGEST:
        raise UsageError(
            f"{option} is {shown_text(text)}; expected a length of time of at most 12 hours, such as 90s, "
            f"15m or 1h."
        )
    return length


def slot_time(when: When, now: datetime, latest: timedelta, calendar: str) -> SlotTime:
    """Return whether a slot is due at ``now`` (timezone-aware), and when it next is.

    It is due from its time until ``latest`` after it. A day without session, and a half day that is over
    before a time of the regular session, have none. Raises ``UsageError`` for a time that isn't within the
    trading day, and as ``trading_date`` does.
    """
    local = now.astimezone(NEW_YORK)
    session = trading_date(now, calendar)
    due_at = due_in(when, session, calendar)
    following = _next_due(when, now, calendar)
    if local.date() != session and local.time() < _SESSION_ENDS:
        return SlotTime("closed_day", session, None, following, _no_session(local.date(), calendar))
    if due_at is None:
        closes = regular_hours(session, calendar)[1]
        why = f"{session} is a half day: the session closes at {closes:%H:%M}, before {when.text}"
        return SlotTime("no_such_time", session, None, following, why)
    if now < due_at:
        return SlotTime("not_due", session, due_at, following, f"not due before {shown_time(due_at)}")
    if now > due_at + latest:
        why = f"it was due at {shown_time(due_at)}, and {shown_time(local)} is too late for it"
        return SlotTime("late", session, due_at, following, why)
    return SlotTime("due", session, due_at, following)


def due_in(when: When, session: date, calendar: str) -> datetime | None:
    """Return when a slot is due in a session, in New York's time; None where a half day has no such time.

    Raises ``UsageError`` where that isn't within the trading day, which ends at 20:00 in New York.
    """
    opens, closes = regular_hours(session, calendar)
    if when.clock is not None:
        due_at = datetime.combine(session, when.clock, NEW_YORK)
        is_after_close = due_at > closes and closes_early(session, calendar)
        return None if is_after_close and when.clock <= _usual_close(session, calendar) else due_at
    # Distances are real time: no clock of New York changes while it trades.
    due_at = (opens if when.edge == "open" else closes) + when.distance
    if not session_begins(session, calendar) <= due_at < datetime.combine(session, _SESSION_ENDS, NEW_YORK):
        raise UsageError(
            f"--when is {when.text}, which is {due_at:%Y-%m-%d %H:%M} in New York for the session "
            f"{session}; expected a time of the trading day, which ends at 20:00. Use a shorter distance."
        )
    return due_at


def shown_time(at: datetime) -> str:
    """Return a time as messages print it: New York's, with the day."""
    return f"{at.astimezone(NEW_YORK):%Y-%m-%d %H:%M:%S} New York"


def _next_due(when: When, now: datetime, calendar: str) -> datetime:
    """Return the first time after ``now`` at which a slot is due."""
    session = trading_date(now, calendar)
    while True:
        due_at = due_in(when, session, calendar)
        if due_at is not None and due_at > now:
            return due_at
        session = _session_after(session, calendar)


def _session_after(session: date, calendar: str) -> date:
    return trading_date(datetime.combine(session, _SESSION_ENDS, NEW_YORK), calendar)


def _usual_close(session: date, calendar: str) -> time:
    """Return when the next session that is no half day closes, as New York's time of day."""
    following = _session_after(session, calendar)
    while closes_early(following, calendar):
        following = _session_after(following, calendar)
    return regular_hours(following, calendar)[1].time()


def _no_session(day: date, calendar: str) -> str:
    kind = "a weekend" if day.weekday() >= _SATURDAY else "a holiday"
    return f"{day} is {kind}: {calendar} has no session"
