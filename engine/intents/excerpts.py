"""Excerpts of refused rows for the record, of bounded size.

The file itself is kept whole, byte for byte, so nothing is lost.
"""

from __future__ import annotations

from typing import Any

_LONGEST_TEXT = 1_000
_FEWEST, _MOST = 1_000, 50_000
_ALL_ROWS = 1 << 26
_CELL = 8


def room_for_each(rows: int) -> int:
    """Return how many characters are kept of each refused row, by the number of such rows."""
    return max(_FEWEST, min(_MOST, _ALL_ROWS // max(1, rows)))


def cells_for_each(rows: int) -> int:
    """Return the most columns that are kept of each refused row, by the number of such rows."""
    return room_for_each(rows) // _CELL + 1


def excerpt(value: Any, room: int) -> Any:
    """Return a value of plain types, or its beginning where it takes more than ``room`` characters."""
    return _excerpt(value, room)[0]


def _excerpt(value: Any, room: int) -> tuple[Any, int]:
    """Return the kept part of a value, and the remaining room."""
    if isinstance(value, str | bytes):
        longest = max(0, min(room, _LONGEST_TEXT))
        if len(value) <= longest:
            return value, room - len(value) - _CELL
        return f"{value[:longest]!s}… ({len(value)} characters)", room - longest - _CELL
    if isinstance(value, dict):
        return _members(value, room)
    if isinstance(value, list | tuple):
        return _items(value, room)
    return value, room - _CELL


def _members(value: dict[Any, Any], room: int) -> tuple[dict[Any, Any], int]:
    kept: dict[Any, Any] = {}
    for key, held in value.items():
        if room <= 0:
            kept["…"] = f"and {len(value) - len(kept)} more"
            break
        name, room = _excerpt(key, room)
        kept[name], room = _excerpt(held, room)
    return kept, room


def _items(value: list[Any] | tuple[Any, ...], room: int) -> tuple[list[Any], int]:
    kept: list[Any] = []
    for held in value:
        if room <= 0:
            kept.append(f"… and {len(value) - len(kept)} more")
            break
        item, room = _excerpt(held, room)
        kept.append(item)
    return kept, room
