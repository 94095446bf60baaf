"""Query parameters: text in, values out, or a ``Refusal`` that names the parameter."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from urllib.parse import parse_qsl

from replay.simulator.intake import messages
from replay.simulator.timestamps import read, read_day

_FLAGS = {"true": True, "false": False, "1": True, "0": False, "t": True, "f": False}
_MOST_DIGITS = 9

LISTS = frozenset({
    "activity_types", "adjustment", "asset_class", "attributes", "ca_types", "cashflow_types", "markets",
    "symbols",
})  # fmt: skip
"""The parameters that are lists: ``symbols=A&symbols=B`` is ``symbols=A,B``."""


def parsed(raw: bytes) -> dict[str, str]:
    """Return the parameters of a query string; of one that is no list and is repeated, the last."""
    query: dict[str, str] = {}
    for name, text in parse_qsl(raw.decode("latin-1"), keep_blank_values=True) if raw else ():
        query[name] = f"{query[name]},{text}" if name in LISTS and query.get(name) else text
    return query


def flag(query: Mapping[str, str], name: str) -> bool:
    """Return a boolean parameter, False if it is missing. Raises ``Refusal`` for any other text."""
    text = query.get(name)
    if not text:
        return False
    value = _FLAGS.get(text.lower())
    if value is None:
        raise messages.BAD_PARAMETER(name)
    return value


def count(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    """Return a whole number from 1 to ``most``; larger ones are read as ``most``."""
    text = query.get(name)
    if not text:
        return default
    if not (text.isascii() and text.isdigit()) or not text.strip("0"):
        raise messages.BAD_PARAMETER(name)
    digits = text.lstrip("0")
    return most if len(digits) > _MOST_DIGITS else min(int(digits), most)


def word(query: Mapping[str, str], name: str, allowed: frozenset[str], default: str) -> str:
    """Return a parameter that must be one of ``allowed``."""
    text = query.get(name) or default
    if text not in allowed:
        raise messages.BAD_PARAMETER(name)
    return text


def timestamp_ns(query: Mapping[str, str], name: str) -> int | None:
    """Return a timestamp or the midnight of a day, nanoseconds since 1970; ``None`` if it is missing."""
    text = query.get(name)
    if not text:
        return None
    t_ns = read(text)
    if t_ns is None:
        raise messages.BAD_PARAMETER(name)
    return t_ns


def day(query: Mapping[str, str], name: str) -> date | None:
    """Return a day, alone or at the start of a timestamp; ``None`` if it is missing."""
    text = query.get(name)
    if not text:
        return None
    found = read_day(text)
    if found is None:
        raise messages.BAD_PARAMETER(name)
    return found


def words(query: Mapping[str, str], name: str) -> frozenset[str] | None:
    """Return a comma-separated list; ``None`` if it is missing."""
    text = query.get(name)
    if not text:
        return None
    return frozenset(part.strip() for part in text.split(",") if part.strip())
