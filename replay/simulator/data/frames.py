"""Time frames of bars, and the spans of time that their bars cover."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import groupby
from typing import NamedTuple

from replay.simulator.data.volumes import MINUTE
from replay.simulator.intake import data_messages as messages
from replay.simulator.market.sessions import FIRST_NS, LAST_NS, number_begun, session_number
from replay.simulator.timestamps import NEW_YORK, SECOND

_WRITTEN = re.compile(r"([1-9][0-9]?)(Min|T|Hour|H|Day|D|Week|W|Month|M)", re.ASCII)
_UNITS = {"T": "Min", "H": "Hour", "D": "Day", "W": "Week", "M": "Month"}
_LENGTHS = {
    "Min": range(1, 60), "Hour": range(1, 24), "Day": (1,), "Week": (1,), "Month": (1, 2, 3, 4, 6, 12),
}  # fmt: skip
_TO_MIDNIGHT_NS = 4 * 60 * MINUTE  # from the begin of extended hours


class Span(NamedTuple):
    """What one bar covers: its stamp, and a span of one session, or whole sessions by number."""

    t_ns: int
    first_ns: int
    last_ns: int
    numbers: range


@dataclass(frozen=True, slots=True)
class TimeFrame:
    """The length of a bar."""

    length: int
    unit: str

    @property
    def letter(self) -> str:
        """The unit in tokens of pages."""
        return self.unit[0]

    def spans(self, start_ns: int, end_ns: int, now_ns: int, *, newest_first: bool) -> Iterator[Span]:
        """Yield the spans that are stamped in an interval and have begun.

        A bar of minutes is complete; one of an hour or longer may be the current one.
        """
        start_ns, end_ns = max(start_ns, FIRST_NS), min(end_ns, now_ns, LAST_NS)
        if start_ns > end_ns:
            return
        within = self._within_sessions if self.unit in ("Min", "Hour") else self._of_sessions
        yield from within(start_ns, end_ns, now_ns, newest_first)

    def _within_sessions(self, start_ns: int, end_ns: int, now_ns: int, newest_first: bool) -> Iterator[Span]:
        size_ns = self.length * (MINUTE if self.unit == "Min" else 60 * MINUTE)
        for number in _directed(range(number_begun(start_ns), number_begun(end_ns) + 1), newest_first):
            hours = session_number(number)
            midnight_ns = hours.pre_ns - _TO_MIDNIGHT_NS
            buckets = range(_TO_MIDNIGHT_NS // size_ns, (hours.post_ns - midnight_ns - 1) // size_ns + 1)
            for bucket in _directed(buckets, newest_first):
                t_ns = midnight_ns + bucket * size_ns
                first_ns = max(t_ns, hours.pre_ns)
                last_ns = min(t_ns + size_ns, hours.post_ns) - 1
                if self.unit == "Hour":
                    last_ns = min(last_ns, now_ns)
                if start_ns <= t_ns <= end_ns and first_ns <= last_ns <= now_ns:
                    yield Span(t_ns, first_ns, last_ns, range(0))

    def _of_sessions(self, start_ns: int, end_ns: int, now_ns: int, newest_first: bool) -> Iterator[Span]:
        first = number_begun(_midnight_ns(self._begin(_day(start_ns))))
        until = number_begun(now_ns)
        if now_ns < session_number(until).open_ns:
            until -= 1
        numbers = range(first, min(until, number_begun(end_ns) + self._sessions) + 1)
        for begin, together in groupby(
            _directed(numbers, newest_first), key=lambda number: self._begin(session_number(number).day)
        ):
            t_ns = _midnight_ns(begin)
            if start_ns <= t_ns <= end_ns:
                found = sorted(together)
                yield Span(t_ns, 0, 0, range(found[0], found[-1] + 1))

    @property
    def _sessions(self) -> int:
        """The most sessions of one bar."""
        return {"Day": 1, "Week": 5}.get(self.unit, 23 * self.length)

    def _begin(self, day: date) -> date:
        """Return the day that a bar is stamped with: its day, its Monday, or the first of its months."""
        if self.unit == "Day":
            return day
        if self.unit == "Week":
            return day - timedelta(days=day.weekday())
        return day.replace(month=(day.month - 1) // self.length * self.length + 1, day=1)


def read_time_frame(text: str) -> TimeFrame:
    """Return a time frame: 5Min, 1Hour, 1Day, …; raises ``Refusal`` for any other text."""
    match = _WRITTEN.fullmatch(text)
    unit = "" if match is None else _UNITS.get(match[2], match[2])
    if match is None or int(match[1]) not in _LENGTHS[unit]:
        raise messages.INVALID_PARAMETER("timeframe", text)
    return TimeFrame(int(match[1]), unit)


def _directed(numbers: range, newest_first: bool) -> range:
    return numbers[::-1] if newest_first else numbers


def _day(t_ns: int) -> date:
    return datetime.fromtimestamp(t_ns // SECOND, NEW_YORK).date()


def _midnight_ns(day: date) -> int:
    return int(datetime.combine(day, time(), NEW_YORK).timestamp()) * SECOND
