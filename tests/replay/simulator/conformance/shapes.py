"""The shape of a JSON body: which keys there are, and of what kind each value is."""

from __future__ import annotations

import re
from typing import Any

_KINDS = {
    "uuid": r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "activity id": r"\d{17}::[0-9a-f-]{36}",
    "session hour": r"\d{4}",
    "decimal": r"-?\d+(\.\d+)?",
    "UTC time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z",
    "New York time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?-0[45]:00",
    "date": r"\d{4}-\d\d-\d\d",
    "hour": r"\d\d:\d\d",
    "text": r"(?s).*",
}

Shape = dict[str, set[str]]
"""Where (``legs.id``; rows of a list are one place) -> the kinds of value that are found there."""


def shape(value: Any, place: str = "") -> Shape:
    found: Shape = {place or "it": {_kind(value)}}
    if isinstance(value, dict):
        for name, each in value.items():
            _add(found, shape(each, f"{place}.{name}" if place else name))
    if isinstance(value, list):
        for each in value:
            _add(found, shape(each, place))
    return found


def differences(theirs: Shape, simulated: Any) -> list[str]:
    """Return where a body differs from a recorded shape, in one sentence for each place."""
    ours = shape(simulated)
    return sorted(
        [f"{place} is new" for place in ours.keys() - theirs.keys()]
        + [f"{place} is missing" for place in theirs.keys() - ours.keys()]
        + [
            f"{place} is {_list(ours[place])}, not {_list(theirs[place])}"
            for place in ours.keys() & theirs.keys()
            if ours[place] != theirs[place]
        ]
    )


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case dict():
            return "object"
        case list():
            return "list"
    return next(kind for kind, pattern in _KINDS.items() if re.fullmatch(pattern, value))


def _add(shapes: Shape, more: Shape) -> None:
    for place, kinds in more.items():
        shapes.setdefault(place, set()).update(kinds)


def _list(kinds: set[str]) -> str:
    return " or ".join(sorted(kinds))
