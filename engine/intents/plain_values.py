"""Exact conversion of an intent's Python values to JSON's; others are refused with their place."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from engine.errors import UsageError
from engine.model.orders import OwnId

_LEVELS_AT_MOST = 100
_SHOWN = 80


def plain_intent(intent: Any, place: str) -> dict[str, Any]:
    """Return an intent (a mapping, or a dataclass such as ``OrderIntent``) as plain values by field.

    ``place`` names the intent in messages, as in ``intent 3``. A field that is None in a dataclass, or in a
    mapping what pandas writes for a missing value (NaN, NA, NaT), is left out. numpy scalars become numbers,
    decimals text with all their digits, times ISO text. An id that an ``OrderIntent`` made for itself is left
    out: rows of files have theirs from their content, so that a file dropped again is recognised. Raises
    ``UsageError`` for what JSON can't hold.
    """
    if is_dataclass(intent) and not isinstance(intent, type):
        fields = {
            name: value
            for name, value in asdict(intent).items()
            if value is not None and not isinstance(value, OwnId)
        }
    elif isinstance(intent, Mapping):
        fields = dict(intent)
    else:
        raise UsageError(
            f"{place} is {_shown(intent)}: {_short(intent)} is no intent; give a mapping or an OrderIntent."
        )
    return {
        _key(name, place): plain_value(value, f"{place}: {name}")
        for name, value in fields.items()
        if not is_missing(value)
    }


def plain_value(value: Any, place: str, levels: int = 0) -> Any:
    """Return a value in a type of JSON: text, number, true, false, null, list or object.

    Raises ``UsageError``, naming ``place``, for values without an exact form: NaN, infinity, bytes, sets,
    keys that are no text, objects of other kinds, more than 100 levels.
    """
    if levels > _LEVELS_AT_MOST:
        raise UsageError(f"{place} has more than {_LEVELS_AT_MOST} levels; expected few. Make it flatter.")
    if isinstance(value, Enum):
        return plain_value(value.value, place, levels)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return _finite(float(value), value, place)
    if isinstance(value, Decimal):
        return format(_finite(value, value, place), "f")
    if isinstance(value, datetime | date | time):
        return _time(value, place)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Mapping):
        return {
            _key(name, place): plain_value(item, f"{place}.{name}", levels + 1)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [plain_value(item, f"{place}[{i}]", levels + 1) for i, item in enumerate(value)]
    if is_dataclass(value) and not isinstance(value, type):
        return plain_value(asdict(value), place, levels)
    return _of_other_libraries(value, place, levels)


def is_missing(value: Any) -> bool:
    """Return whether a value is a missing one of pandas or numpy: NaN, NA or NaT."""
    if isinstance(value, float):
        return math.isnan(value)
    if isinstance(value, Decimal):
        return value.is_nan()
    if type(value).__name__ in {"NAType", "NaTType"}:
        return True
    return type(value).__module__ == "numpy" and getattr(value, "ndim", 1) == 0 and bool(value != value)  # noqa: PLR0124


def _of_other_libraries(value: Any, place: str, levels: int) -> Any:
    """Return a numpy scalar or array as Python's own values; ``numpy`` itself need not be loaded."""
    if type(value).__module__ == "numpy":
        if type(value).__name__ == "datetime64":
            return _finite_text(str(value), value, place)
        converted = value.tolist() if hasattr(value, "tolist") else value
        if type(converted).__module__ != "numpy" and type(value).__name__ != "timedelta64":
            return plain_value(converted, place, levels + 1)
    raise UsageError(
        f"{place} is {_shown(value)}; expected text, a number, true or false, a time, a list or a mapping. "
        f"Convert it, or leave it out."
    )


def _finite(number: Any, said: object, place: str) -> Any:
    if math.isfinite(number):
        return number
    raise UsageError(f"{place} is {said}; expected a finite number. Leave it out where it is unknown.")


def _finite_text(text: str, said: object, place: str) -> str:
    if text == "NaT":
        raise UsageError(f"{place} is {said}; expected a time. Leave it out where it is unknown.")
    return text


def _time(value: datetime | date | time, place: str) -> str:
    return _finite_text("NaT" if type(value).__name__ == "NaTType" else value.isoformat(), value, place)


def _key(name: object, place: str) -> str:
    if isinstance(name, str):
        return str(name)
    raise UsageError(f"{place} has the key {_short(name)}; expected text. Write it in quotes.")


def _shown(value: object) -> str:
    return f"of type {type(value).__module__}.{type(value).__qualname__}".replace("builtins.", "")


def _short(value: object) -> str:
    return repr(value)[:_SHOWN]
