"""Writes XNYS_early_closes.csv anew: ``python -m tests.replay.simulator.market.make_early_closes``.

Needed when exchange_calendars learns of a new half day; the tests of the sessions say when.
"""

from __future__ import annotations

import exchange_calendars

from engine.model.calendar import EARLY_CLOSES, FIRST_DAY, LAST_DAY

HEADER = "session_that_closes_at_13"


def early_closes() -> list[str]:
    """Return the half days, from the first to the last day covered, as ISO text."""
    calendar = exchange_calendars.get_calendar("XNYS", start=FIRST_DAY, end=LAST_DAY)
    return [f"{day:%Y-%m-%d}" for day in calendar.early_closes]


if __name__ == "__main__":
    EARLY_CLOSES.write_text("\n".join([HEADER, *early_closes(), ""]), encoding="ascii")
