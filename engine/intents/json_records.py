"""JSON and JSON Lines to raw columns.

A record with a repeated key, ``{"qty": 1, "qty": 100}``, is refused: readers differ in which value they use.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import pyarrow as pa

from engine.errors import UnreadableFile
from engine.intents.characters import count_of
from engine.intents.json_columns import RecordColumns, Repeats, TooDeep, joined
from engine.intents.json_lines import read_in_bulk
from engine.intents.json_shapes import records_of
from engine.intents.limits import (
    LARGEST_RECORD_BYTES,
    beyond,
    check_values,
    record_too_large,
)
from engine.intents.long_integers import integer, may_have_long_integers
from engine.intents.raw_table import RawTable
from engine.settings.variables import IntakeLimits

_NUMBERS = {"quantity", "number"}
_LINES_AT_ONCE = 50_000
_BULK_BYTES = 1 << 20
_QUOTE, _COLON, _SPACE = b'": '
_PIECE_BYTES = 1 << 22
_WHOLE_LISTS = {b"[", b"{"}


def read_json(name: str, content: bytes, limits: IntakeLimits) -> RawTable:
    """Read one object, a list of objects, or such a list within an object; rows are numbered in order.

    Raises ``UnreadableFile`` where it can't be read, or is beyond a limit.
    """
    check_values(name, content, limits)
    with _no_garbage_collection():
        records = _records(name, content, limits)
        builder = RecordColumns(name, limits)
        builder.add(list(range(1, len(records) + 1)), records)
    return builder.table()


def _records(name: str, content: bytes, limits: IntakeLimits) -> list[Any]:
    """Return the rows of a JSON file. Raises ``UnreadableFile``."""
    try:
        value = _parsed(content)
        if _a_key_may_repeat(content, _keys(value)):
            value = _parsed_strictly(content.decode())
        records = [_or_repeats(record) for record in records_of(name, value)]
    except RecursionError:
        raise UnreadableFile(f"{name}: nested too deeply", remedy="Write it flatter.") from None
    except ValueError as error:
        raise UnreadableFile(f"{name}: not JSON ({_said(error)})", remedy=_json_remedy(content)) from None
    if content.count(b":") > limits.max_keys:
        _check_keys(name, records, limits)
    if len(content) > LARGEST_RECORD_BYTES:
        _check_sizes(name, records)
    return records


def _check_sizes(name: str, records: list[Any]) -> None:
    """Raise ``UnreadableFile`` where a row is larger than any order needs to be."""
    import orjson

    for number, record in enumerate(records, start=1):
        values = record.values() if type(record) is dict else [record]
        if any(
            type(value) in {dict, list} or (type(value) is str and len(value) > 1_000) for value in values
        ):
            with suppress(TypeError):  # nested too deeply, or no text: refused as such
                if len(orjson.dumps(record)) > LARGEST_RECORD_BYTES:
                    raise record_too_large(name, f"row {number}")


def _json_remedy(content: bytes) -> str:
    first, _, rest = content.partition(b"\n")
    if first.strip().startswith(b"{") and first.strip().endswith(b"}") and rest.lstrip().startswith(b"{"):
        return "It looks like JSON Lines, an object a line: call it .jsonl."
    return "Write one object or a list of objects, whole."


def read_json_lines(name: str, content: bytes, limits: IntakeLimits) -> RawTable:
    """Read an object a line; rows are numbered by their lines, blank lines are skipped.

    Raises ``UnreadableFile`` where it can't be read, or is beyond a limit.
    """
    check_values(name, content, limits)
    if count_of(b"\n", content) - content.endswith(b"\n") >= limits.max_rows:
        raise beyond(name, limits, "max_rows", "(lines)")
    bulk = read_in_bulk(content) if len(content) >= _BULK_BYTES else None
    if bulk is None:
        return _read_records(name, list(enumerate(content.split(b"\n"), start=1)), limits)
    plain = RawTable(len(bulk.plain), bulk.columns, bulk.plain + 1, names_differ_by_row=True)
    if not len(bulk.odd):
        return plain
    lines = content.split(b"\n")
    odd = _read_records(name, [(row + 1, lines[row]) for row in bulk.odd.tolist()], limits)
    return _in_file_order(plain, odd)


def _read_records(name: str, lines: list[tuple[int, bytes]], limits: IntakeLimits) -> RawTable:
    """Read lines, each with its number, one object at a time."""
    import orjson

    builder = RecordColumns(name, limits)
    with _no_garbage_collection():
        for start in range(0, len(lines), _LINES_AT_ONCE):
            chunk = [(number, line) for number, line in lines[start : start + _LINES_AT_ONCE] if line.strip()]
            _check_lines(name, chunk)
            try:
                _check_exact(b"\n".join(line for _, line in chunk))
                records = [orjson.loads(line) for _, line in chunk]
            except json.JSONDecodeError:
                records = [_parsed_line(name, number, line) for number, line in chunk]
            many = [
                record
                for (_, line), record in zip(chunk, records, strict=True)
                if line.count(b":") > limits.max_keys
            ]
            _check_keys(name, many, limits)
            records = _each_key_once([line for _, line in chunk], records)
            builder.add([number for number, _ in chunk], records)
    return builder.table()


def _check_lines(name: str, lines: list[tuple[int, bytes]]) -> None:
    for number, line in lines:
        if len(line) > LARGEST_RECORD_BYTES:
            raise record_too_large(name, f"line {number}")


def _check_keys(name: str, records: list[Any], limits: IntakeLimits) -> None:
    """Raise ``UnreadableFile`` where a row has more keys than the limit, those of nested objects included."""
    with suppress(RecursionError):  # which is refused as such
        if any(_keys(record) > limits.max_keys for record in records):
            raise beyond(name, limits, "max_keys")


def _in_file_order(first: RawTable, second: RawTable) -> RawTable:
    """Return two parts of one file as one table."""
    numbers = np.concatenate([first.row_numbers, second.row_numbers])
    order = pa.array(np.argsort(numbers, kind="stable"))
    columns = {}
    for name in {**first.columns, **second.columns}:
        parts = [part.columns.get(name, pa.nulls(part.rows)) for part in (first, second)]
        columns[name] = joined(name, parts).take(order)
    rows = first.rows + second.rows
    refused = first.refused + second.refused
    return RawTable(rows, columns, numbers[order.to_numpy()], refused, names_differ_by_row=True)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Pause the garbage collector, which would scan millions of new objects that are all in use."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _parsed_line(name: str, number: int, line: bytes) -> Any:
    try:
        return _parsed(line)
    except ValueError as error:
        raise UnreadableFile(
            f"{name}: line {number} is not JSON ({_said(error)})",
            remedy="Write one object a line; was the file still being written? Drop it whole."
            if number > 1 or line.strip() not in _WHOLE_LISTS
            else "It looks like one JSON document: call it .json.",
        ) from None


def _parsed(content: bytes) -> Any:
    """Return parsed JSON; NaN and Infinity, which some writers emit, become floats that no rule accepts."""
    import orjson

    try:
        _check_exact(content)
        return orjson.loads(content)
    except json.JSONDecodeError:
        try:
            return json.loads(content.decode(), parse_int=integer)
        except RecursionError:
            raise ValueError("nested too deeply") from None


def _check_exact(content: bytes) -> None:
    """Raise ``JSONDecodeError`` for JSON that orjson would not read to the digit."""
    if may_have_long_integers(content):
        raise json.JSONDecodeError("an integer of more than 64 bits", "", 0)


def _said(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        line = "" if error.lineno == 1 else f"line {error.lineno}, "
        return f"{error.msg.removesuffix(' at')} at {line}character {error.colno}"
    return "no UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)


class _Ambiguous(dict[str, Any]):
    """An object with repeated keys; such a key holds the list of its values."""

    repeated: frozenset[str]


def _a_key_may_repeat(text: bytes | memoryview, keys: int) -> bool:
    r"""Return whether JSON text may have more keys than the ``keys`` that were found in it.

    Behind a key stands a quote and a colon, which within text are written ``\":``. Unless there is space
    before a colon somewhere, there are thus no more keys in the text than ``":``.
    """
    characters = np.frombuffer(text, dtype=np.uint8)
    found = 0
    for start in range(0, len(characters) - 1, _PIECE_BYTES):
        piece = characters[start : start + _PIECE_BYTES + 1]
        before = piece[:-1][piece[1:] == _COLON]
        if (before <= _SPACE).any():
            return True
        found += int(np.count_nonzero(before == _QUOTE))
    return found != keys


def _each_key_once(lines: list[bytes], records: list[Any]) -> list[Any]:
    """Return the records of some lines, those with repeated keys as ``Repeats``."""
    text = b"\n".join(lines)
    if not _a_key_may_repeat(text, sum(len(record) for record in records if type(record) is dict)):
        return records
    with suppress(RecursionError):
        if not _a_key_may_repeat(text, sum(map(_keys, records))):
            return records
    return list(map(_looked_at_closely, lines, records))


def _looked_at_closely(line: bytes, record: Any) -> Any:
    try:
        if not _a_key_may_repeat(line, _keys(record)):
            return record
        return _or_repeats(_parsed_strictly(line.decode()))
    except (RecursionError, ValueError):
        return TooDeep()


def _keys(value: Any) -> int:
    """Return the number of keys of an object and of all objects in it."""
    if type(value) is dict:
        return len(value) + sum(_keys(held) for held in value.values() if type(held) in {dict, list})
    if type(value) is list:
        return sum(_keys(held) for held in value if type(held) in {dict, list})
    return 0


def _parsed_strictly(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object, parse_int=integer)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) == len(pairs):
        return record
    values: dict[str, list[Any]] = {}
    for key, value in pairs:
        values.setdefault(key, []).append(value)
    repeated = {key for key, given in values.items() if len(given) > 1}
    ambiguous = _Ambiguous({key: given if key in repeated else given[0] for key, given in values.items()})
    ambiguous.repeated = frozenset(repeated)
    return ambiguous


def _or_repeats(record: Any) -> Any:
    values = dict(_repeated(record, ""))
    return Repeats(record, values) if values else record


def _repeated(value: Any, place: str) -> Iterator[tuple[str, list[Any]]]:
    if isinstance(value, dict):
        for key, held in value.items():
            if isinstance(value, _Ambiguous) and key in value.repeated:
                yield place + key, held
            elif isinstance(held, dict | list):
                yield from _repeated(held, f"{place}{key}.")
    elif isinstance(value, list):
        for held in value:
            yield from _repeated(held, place)
