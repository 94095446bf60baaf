"""Sessions as they are named on a command line."""

from __future__ import annotations

from datetime import date

from engine.errors import UsageError


def session_named(text: str) -> date:
    """Return the session that a text such as 2026-03-02 names. Raises ``UsageError``."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"the day is {text!r}; expected a session such as 2026-03-02.") from None
