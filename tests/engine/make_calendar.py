"""Writes engine/calendars/XNYS.csv anew: ``python -m tests.engine.make_calendar``.

Needed when exchange_calendars learns of a new closing; the tests of the calendar say when.
"""

from __future__ import annotations

import exchange_calendars
import pandas as pd

from engine.model.calendar import FIRST_DAY, LAST_DAY, TABLE

HEADER = "weekday_without_session"


def closed_weekdays() -> list[str]:
    """Return the weekdays without a session, from the first to the last day covered, as ISO text."""
    calendar = exchange_calendars.get_calendar("XNYS", start=FIRST_DAY, end=LAST_DAY)
    closed = pd.bdate_range(FIRST_DAY, LAST_DAY).difference(calendar.sessions)
    return [f"{day:%Y-%m-%d}" for day in closed]


if __name__ == "__main__":
    TABLE.write_text("\n".join([HEADER, *closed_weekdays(), ""]), encoding="ascii")
