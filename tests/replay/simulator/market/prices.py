"""Moments and bars to test prices with."""

from __future__ import annotations

from datetime import datetime

import pandas as pd

from engine.model.calendar import NEW_YORK
from replay.simulator.market.prices import Bars
from replay.simulator.timestamps import SECOND

HEADER = "symbol,timestamp,open,high,low,close,volume"
TWO_BARS = (
    "A,2026-03-02T09:30:00-05:00,100,103,99,102",  # rises: low first
    "A,2026-03-02T09:31:00-05:00,101,101.5,98,98.5",  # falls: high first
    "A,2026-03-02T09:40:00-05:00,90,90,90,90",
)


def at(text: str) -> int:
    """Return a moment of New York's clocks, nanoseconds since 1970 UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).timestamp()) * SECOND


OPEN = at("2026-03-02T09:30")


def bars(*rows: str) -> Bars:
    """Return a market of bars, each written as a line of a CSV file without its volume."""
    names = HEADER.split(",")[:6]
    return Bars(pd.DataFrame([dict(zip(names, row.split(","), strict=True)) for row in rows]))
