"""Values of limits as TOML writes them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from typing import Any

_GROUPED_FROM = 10_000


def toml_value(value: Any) -> str:
    """Return a value as a limits file has it: ``25_000``, ``0.5``, ``true``, ``["SPY"]``, ``2027-03-31``."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str):
        return toml_text_of(value)
    if isinstance(value, frozenset):
        return toml_value(sorted(value))
    if isinstance(value, Collection):
        return f"[{', '.join(map(toml_value, value))}]"
    return str(value)


def toml_text_of(text: str) -> str:
    """Return text in the quotes of TOML."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _number(value: float) -> str:
    if value == int(value):
        return f"{int(value):_}" if value >= _GROUPED_FROM else str(int(value))
    return f"{value:.9f}".rstrip("0") if abs(value) < 1e6 else repr(value)
