"""The session in which a sync takes place."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Session:
    """The current session and the calendar that defines it."""

    trading_date: date
    calendar: str
