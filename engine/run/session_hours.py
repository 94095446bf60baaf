"""The source of ``session_hours``: when the session of a batch opens and closes, by the calendar."""

from __future__ import annotations

import pandas as pd

from engine.model.calendar import extended_hours, regular_hours
from engine.run.reading import Reading


def session_hours(reading: Reading) -> pd.DataFrame:
    """Return the hours of the session in one row (UTC); extended hours are missing where unknown."""
    opens_at, closes_at = regular_hours(reading.trading_date, reading.calendar)
    extended = extended_hours(reading.trading_date, reading.calendar) or (None, None)
    hours = {
        "opens_at": opens_at,
        "closes_at": closes_at,
        "extended_opens_at": extended[0],
        "extended_closes_at": extended[1],
    }
    return pd.DataFrame({name: pd.to_datetime(pd.Series([time]), utc=True) for name, time in hours.items()})
