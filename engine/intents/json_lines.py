"""JSON Lines in bulk: the lines whose values all have their field's type, read column by column by Arrow.

A line by line reader spends two microseconds a row on objects that are taken apart again; Arrow spends a
fifth of that, but knows one type per column and gives up at the first ``"abc"`` among numbers. So the odd
lines are picked out by a pattern first and left to the other reader. Whenever anything is not exactly as
expected here, nothing is read, and the other reader has the say.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from engine.schema import INTENT_FIELDS

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


@dataclass(frozen=True)
class Bulk:
    """``columns`` of the plain lines, and which lines (from 0) these are; ``odd`` are the others."""

    columns: dict[str, pa.Array]
    plain: npt.NDArray[np.int64]
    odd: npt.NDArray[np.int64]


def read_in_bulk(content: bytes) -> Bulk | None:
    """Read the plain lines of a file; None where it is not for this reader."""
    from pyarrow import json

    lines = _lines(content)
    if lines is None:
        return None
    is_odd = _odd(lines)
    odd, plain = np.flatnonzero(is_odd), np.flatnonzero(~is_odd)
    if len(odd) > _MOST_ODD * len(lines):
        return None
    chosen = lines.filter(pa.array(~is_odd)) if len(odd) else lines
    schema = _schema(chosen)
    if schema is None:
        return None
    _, _, characters = chosen.buffers()
    try:
        table = json.read_json(
            pa.BufferReader(characters),
            read_options=json.ReadOptions(
                block_size=max(1 << 20, 2 * int(pc.max(pc.binary_length(chosen)).as_py()))
            ),
            parse_options=json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
        )
    except pa.ArrowException:
        return None
    if table.num_rows != len(plain):
        return None
    columns = {name: table[name].combine_chunks() for name in table.column_names}
    given = {name: column for name, column in columns.items() if column.null_count < len(column)}
    return Bulk(given, plain, odd)


def _lines(content: bytes) -> pa.Array | None:
    """Give the lines, each with its newline, as views into the content."""
    if not content.endswith(b"\n"):
        content += b"\n"
    ends = np.flatnonzero(np.frombuffer(content, dtype=np.uint8) == ord("\n")) + 1
    starts = np.concatenate([[0], ends]).astype(np.int64)
    lines = pa.Array.from_buffers(
        pa.large_string(), len(ends), [None, pa.py_buffer(starts), pa.py_buffer(content)]
    )
    if not content.isascii():
        try:
            lines.validate(full=True)
        except pa.ArrowInvalid:
            return None
    return lines


def _odd(lines: pa.Array) -> npt.NDArray[np.bool_]:
    whole = pc.and_(pc.starts_with(lines, "{"), pc.ends_with(lines, "}\n"))
    odd = pc.or_(pc.invert(whole), pc.match_substring_regex(lines, _odd_value()))
    return np.asarray(odd.to_numpy(zero_copy_only=False))


@cache
def _odd_value() -> str:
    """Give a pattern that finds a field with a value of another type than its own."""
    kinds = ((_NUMBERS, "-0-9n"), (_TEXTS, '"n'), (_FLAGS, "tfn"))
    return "|".join(rf'"(?:{"|".join(names)})"\s*:\s*[^\s{first}]' for names, first in kinds)


def _schema(lines: pa.Array) -> pa.Schema | None:
    """Give the fields and types of the first lines; a field that only comes later ends the bulk reading."""
    import orjson

    try:
        records = [orjson.loads(line) for line in lines.slice(0, _LINES_LOOKED_AT).to_pylist()]
    except orjson.JSONDecodeError:
        return None
    names = dict.fromkeys(name for record in records for name in record)
    return pa.schema([(name, _TYPES[name]) for name in names]) if names.keys() <= _TYPES.keys() else None
