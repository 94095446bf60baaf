"""Parsing of Alpaca's replies: JSON with texts, decimals and timestamps.

Every reader raises ``ValueError`` with the fault where a field has an unexpected shape.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from engine.brokers.alpaca.text import shown

_HALF_CHARACTER = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")
_DECIMAL = re.compile(r"\d+(\.\d+)?(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)

_Value = TypeVar("_Value")


class NotJson(ValueError):
    """A body is not JSON: a partial reply, or a gateway's page."""


def json_object(body: bytes) -> dict[str, Any]:
    """Return a JSON object with its decimals as text, whether sent as JSON strings or JSON numbers."""
    reply = _json(body)
    if type(reply) is not dict:
        raise ValueError("it is not a JSON object")
    return reply


def json_rows(body: bytes, read: Callable[[dict[str, Any]], _Value]) -> list[_Value]:
    """Return the rows of a JSON list of objects, each parsed by ``read``; an unreadable row is an error."""
    reply = _json(body)
    if type(reply) is not list:
        raise ValueError("it is not a JSON list")
    rows = []
    for number, row in enumerate(reply, start=1):
        if type(row) is not dict:
            raise ValueError(f"its row {number} is not a JSON object")
        try:
            rows.append(read(row))
        except ValueError as error:
            raise ValueError(f"in its row {number}, {error}") from error
    return rows


def _json(body: bytes) -> object:
    try:
        reply: object = json.loads(body, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise NotJson("it is not JSON") from error
    return _whole_text(reply) if _HALF_CHARACTER.search(body) else reply


def _whole_text(value: object) -> object:
    """Return JSON with a replacement character for each lone surrogate, which can't be written to a file."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_whole_text(name): _whole_text(held) for name, held in value.items()}
    return [_whole_text(held) for held in value] if isinstance(value, list) else value


def text_in(reply: Mapping[str, Any], field: str, *, default: str | None = None) -> str:
    """Return a text of a reply, ``default`` where it is absent or null; without a default, "" is an error."""
    value = reply.get(field)
    if value is None and default is not None:
        return default
    if not isinstance(value, str) or (not value and default is None):
        raise ValueError(f"its {field} is {shown(value)}")
    return value


def word_in(reply: Mapping[str, Any], field: str) -> str:
    """Return an optional text, "" where there is none."""
    value = reply.get(field)
    return value if isinstance(value, str) else ""


def figure_in(reply: Mapping[str, Any], field: str, *, signed: bool = False) -> float | None:
    """Return a finite number as float64, None where it is absent or null; below 0 only where ``signed``."""
    value = reply.get(field)
    if value is None:
        return None
    text = str(value)
    digits = text.removeprefix("-") if signed else text
    if not _DECIMAL.fullmatch(digits) or not math.isfinite(float(text)):
        raise ValueError(f"its {field} is {shown(value)}")
    return float(text)


def needed_figure_in(reply: Mapping[str, Any], field: str, *, signed: bool = False) -> float:
    """Return a finite number as float64."""
    value = figure_in(reply, field, signed=signed)
    if value is None:
        raise ValueError(f"its {field} is {shown(value)}")
    return value


def timestamp_in(reply: Mapping[str, Any], field: str) -> datetime:
    """Return a timestamp in UTC, cut to the microsecond; nanoseconds and any offset are accepted."""
    text = text_in(reply, field)
    if not _TIMESTAMP.fullmatch(text):
        raise ValueError(f"its {field} is {shown(text)}")
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"its {field} is {shown(text)}") from error


def readable_or_none(
    read: Callable[[Mapping[str, Any], str], _Value | None], reply: Mapping[str, Any], field: str
) -> _Value | None:
    """Return what ``read`` returns for an optional field, None where it is unreadable."""
    try:
        return read(reply, field)
    except ValueError:
        return None
