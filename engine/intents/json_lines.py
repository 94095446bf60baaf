"""JSON Lines in bulk: the lines whose values all have their field's type, read column by column by Arrow.

A reader of single lines takes two microseconds a row. Arrow takes a fifth of that, but has one type per
column and fails at the first ``"abc"`` among numbers. So lines with other types are found by a pattern and
left to the other reader. Where anything is unexpected, this reader reads nothing, and the other one reads the
whole file.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from engine.intents.characters import places_of
from engine.intents.raw_table import one_array
from engine.model.schema import INTENT_FIELDS

_NUMBERS = tuple(field.name for field in INTENT_FIELDS if field.kind in {"quantity", "number"})
_FLAGS = tuple(field.name for field in INTENT_FIELDS if field.kind == "flag")
_TEXTS = tuple(
    field.name for field in INTENT_FIELDS if field.kind in {"text", "upper", "symbol", "enum", "time"}
)
_TYPES = {
    name: kind
    for names, kind in ((_NUMBERS, pa.float64()), (_TEXTS, pa.string()), (_FLAGS, pa.bool_()))
    for name in names
}
_MOST_ODD = 0.2
_LINES_LOOKED_AT = 100
_SHORTEST_LINE = 3
_BLOCK_BYTES = 1 << 20
_ROUNDED_FROM = 2.0**63
"""From this integer on, a refused one is shown with all its digits."""


@dataclass(frozen=True)
class Bulk:
    """``columns`` of the plain lines, and which lines (from 0) these are; ``odd`` are the others."""

    columns: dict[str, pa.Array]
    plain: npt.NDArray[np.int64]
    odd: npt.NDArray[np.int64]


def read_in_bulk(content: bytes) -> Bulk | None:
    """Return the plain lines of a file; None where this reader can't read it."""
    if not content.endswith(b"\n"):
        content += b"\n"
    ends = places_of(b"\n", content) + 1
    schema = _schema(content[: ends[:_LINES_LOOKED_AT][-1]])
    if schema is None or not (content.isascii() or _are_unicode(_lines(content, ends))):
        return None
    columns = _columns(content, ends, schema) if _are_whole(content, ends) else None
    if columns is not None:
        return Bulk(columns, np.arange(len(ends)), np.zeros(0, dtype=np.int64))
    return _read_plain_lines(_lines(content, ends), schema)


def _are_whole(content: bytes, ends: npt.NDArray[np.int64]) -> bool:
    """Return whether each line begins with ``{`` and ends with ``}``."""
    letters = np.frombuffer(content, dtype=np.uint8)
    if ends[0] < _SHORTEST_LINE or bool((np.diff(ends) < _SHORTEST_LINE).any()):
        return False
    begin, end = b"{}"
    begins = letters[0] == begin and (letters[ends[:-1]] == begin).all()
    return bool(begins and (letters[ends - 2] == end).all())


def _read_plain_lines(lines: pa.Array, schema: pa.Schema) -> Bulk | None:
    """Return the lines that match no odd pattern; None where that fails, or too many others are left."""
    is_odd = _odd(lines)
    odd, plain = np.flatnonzero(is_odd), np.flatnonzero(~is_odd)
    if not len(plain) or not 0 < len(odd) <= _MOST_ODD * len(lines):
        return None
    _, starts, characters = lines.filter(pa.array(~is_odd)).buffers()
    columns = _columns(characters, np.frombuffer(starts, dtype=np.int64)[1:], schema)
    return None if columns is None else Bulk(columns, plain, odd)


def _columns(
    content: bytes | pa.Buffer, ends: npt.NDArray[np.int64], schema: pa.Schema
) -> dict[str, pa.Array] | None:
    """Return the columns of lines that end at ``ends``; None where Arrow can't read them exactly."""
    from pyarrow import json

    longest = max(int(ends[0]), int(np.diff(ends).max(initial=0)))
    try:
        table = json.read_json(
            pa.BufferReader(content),
            read_options=json.ReadOptions(block_size=max(_BLOCK_BYTES, 2 * longest)),
            parse_options=json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
        )
    except pa.ArrowException:
        return None
    if table.num_rows != len(ends) or not all(map(_is_exact, table.columns)):
        return None
    columns = {name: one_array(table[name]) for name in table.column_names}
    return {name: column for name, column in columns.items() if column.null_count < len(column)}


def _is_exact(column: pa.ChunkedArray) -> bool:
    """Return whether a column has no number that JSON lacks, and none that was rounded."""
    if not pa.types.is_floating(column.type):
        return True
    largest = pc.max(pc.abs(pc.fill_null(column, 0.0))).as_py()
    return largest < _ROUNDED_FROM and not pc.any(pc.is_nan(column)).as_py()


def _lines(content: bytes, ends: npt.NDArray[np.int64]) -> pa.Array:
    """Return the lines, each with its newline, as views into the content."""
    starts = pa.py_buffer(np.concatenate([[0], ends]).astype(np.int64))
    return pa.Array.from_buffers(pa.large_string(), len(ends), [None, starts, pa.py_buffer(content)])


def _are_unicode(lines: pa.Array) -> bool:
    try:
        lines.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _odd(lines: pa.Array) -> npt.NDArray[np.bool_]:
    whole = pc.and_(pc.starts_with(lines, "{"), pc.ends_with(lines, "}\n"))
    odd = pc.or_(pc.invert(whole), pc.match_substring_regex(lines, _odd_value()))
    return np.asarray(odd.to_numpy(zero_copy_only=False))


@cache
def _odd_value() -> str:
    """Return a pattern that finds a field with a value of another type than its own."""
    kinds = ((_NUMBERS, "-0-9n"), (_TEXTS, '"n'), (_FLAGS, "tfn"))
    return "|".join(rf'"(?:{"|".join(names)})"\s*:\s*[^\s{first}]' for names, first in kinds)


def _schema(lines: bytes) -> pa.Schema | None:
    """Return the fields and types of the first lines; None where a key is no field of a plain type.

    A field that only comes later ends the bulk reading.
    """
    import orjson

    names: dict[str, None] = {}
    for line in lines.split(b"\n"):
        with suppress(orjson.JSONDecodeError):  # it is one of the odd ones, or ends the bulk reading
            record = orjson.loads(line)
            names.update(dict.fromkeys(record if isinstance(record, dict) else ()))
    return pa.schema([(name, _TYPES[name]) for name in names]) if names.keys() <= _TYPES.keys() else None
