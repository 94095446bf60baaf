"""Accepted shapes of a JSON file around its rows, and shapes that are refused."""

from __future__ import annotations

from typing import Any

from engine.errors import UnreadableFile
from engine.model.field_names import field_named

_AS_RECORDS = 'Write it with orient="records", as in frame.to_json(path, orient="records").'


def records_of(name: str, value: Any) -> list[Any]:
    """Return the rows of a JSON file: of a list, of an object that holds only a list, or of one object.

    Raises ``UnreadableFile`` for a frame that was written another way than row by row.
    """
    if isinstance(value, list):
        if value and all(type(row) is list for row in value):
            raise UnreadableFile(f"{name}: rows without the names of their columns", remedy=_AS_RECORDS)
        return value
    if not isinstance(value, dict):
        return [value]
    orient = _orient(value)
    if orient:
        what = f"a frame that was written column by column or with its index (orient={orient!r})"
        raise UnreadableFile(f"{name}: {what}", remedy=_AS_RECORDS)
    if _names_a_field(value):
        return [value]
    lists = [key for key, held in value.items() if _is_list_of_objects(held)]
    if len(value) == 1 and lists:
        return list(value[lists[0]])
    if lists:
        what = f"an object with a list of objects under {lists[0][:40]!r} and more beside it"
        raise UnreadableFile(
            f"{name}: {what}", remedy="Write the list alone, and into each row what holds for it."
        )
    return [value]


def _orient(value: dict[str, Any]) -> str:
    """Return pandas' name of the orient with which a frame was written, "" for none."""
    if {"columns", "data"} <= value.keys() <= {"columns", "index", "data", "index_names", "column_names"}:
        return "split"
    if value.keys() == {"schema", "data"} and isinstance(value["schema"], dict):
        return "table"
    if not value or not all(type(held) is dict for held in value.values()):
        return ""
    if _names_a_field(value):
        return "columns"
    return "index" if any(map(_names_a_field, value.values())) else ""


def _is_list_of_objects(held: Any) -> bool:
    return type(held) is list and all(type(row) is dict for row in held)


def _names_a_field(row: dict[str, Any]) -> bool:
    return any(field_named(key) not in {None, "metadata"} for key in row)
