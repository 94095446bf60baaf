"""Timestamps: int nanoseconds since 1970 inside the simulator, RFC 3339 in UTC on the wire."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")
SECOND = 1_000_000_000
MILLISECOND = 1_000_000
DAY = 86_400 * SECOND

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FRACTION = re.compile(r"\.(\d{1,9})\d*")
_DAY_ONLY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_LONGEST = 64


@lru_cache(maxsize=4096)
def written(t_ns: int) -> str:
    """Return a timestamp as RFC 3339 in UTC with up to 9 fractional digits: 2026-10-08T15:10:00.004Z."""
    second, rest = divmod(t_ns, SECOND)
    if rest == 0:
        return _second(second) + "Z"
    return f"{_second(second)}.{rest:09d}".rstrip("0") + "Z"


def written_or_none(t_ns: int | None) -> str | None:
    """Return a timestamp as ``written`` does, and None for None."""
    return None if t_ns is None else written(t_ns)


def stamp_in_new_york(t_ns: int) -> str:
    """Return the local time in New York in the form of activity ids: YYYYMMDDHHMMSSmmm."""
    second, rest = divmod(t_ns, SECOND)
    return f"{_second_in_new_york(second)}{rest // MILLISECOND:03d}"


def read(text: str) -> int | None:
    """Return an RFC 3339 timestamp, or a day's midnight in UTC; ``None`` for any other text."""
    if len(text) > _LONGEST or not text.isascii():
        return None
    fraction = _FRACTION.search(text)
    rest = int(fraction[1].ljust(9, "0")) if fraction else 0
    whole = text[: fraction.start()] + text[fraction.end() :] if fraction else text
    try:
        timestamp = datetime.fromisoformat(whole.replace(" ", "+"))  # a query string decodes "+" as a space
    except ValueError:
        return None
    if timestamp.tzinfo is None:
        timestamp = timestamp.replace(tzinfo=UTC)
    return (timestamp - _EPOCH) // timedelta(seconds=1) * SECOND + rest


def read_day(text: str) -> date | None:
    """Return a day, YYYY-MM-DD alone or at the start of a timestamp; ``None`` for any other text."""
    head = text[:10]
    if _DAY_ONLY.fullmatch(head) is None or (len(text) > len(head) and read(text) is None):
        return None
    try:
        return date.fromisoformat(head)
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def _second(second: int) -> str:
    return f"{_EPOCH + timedelta(seconds=second):%Y-%m-%dT%H:%M:%S}"


@lru_cache(maxsize=4096)
def _second_in_new_york(second: int) -> str:
    return f"{(_EPOCH + timedelta(seconds=second)).astimezone(NEW_YORK):%Y%m%d%H%M%S}"
