"""JSON and JSON Lines to raw columns.

A record that says one thing twice, ``{"qty": 1, "qty": 100}``, is refused: readers take different ones.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import isnan
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.errors import UnreadableFile
from engine.field_names import field_named
from engine.intents.json_lines import read_in_bulk
from engine.intents.long_integers import integer, may_have_long_integers
from engine.intents.problems import Problem, RefusedRow
from engine.intents.raw_table import ODD, RawTable
from engine.schema import FIELD_BY_NAME

_NUMBERS = {"quantity", "number"}
_LINES_AT_ONCE = 50_000
_BULK_BYTES = 1 << 20
_MOST_COLUMNS = 1_000
_QUOTE, _COLON, _SPACE = b'": '


def read_json(name: str, content: bytes) -> RawTable:
    """Read one object or a list of objects; rows are numbered by their place in the list."""
    try:
        value = _parsed(content)
        if _a_key_may_repeat(content, _keys(value)):
            value = _parsed_strictly(content.decode())
    except ValueError as error:
        raise UnreadableFile(
            f"{name}: not JSON ({_said(error)})", remedy="Write one object or a list of objects, whole."
        ) from None
    records = value if isinstance(value, list) else [value]
    builder = _RecordColumns(name)
    builder.add(list(range(1, len(records) + 1)), [_or_repeats(record) for record in records])
    return builder.table()


def read_json_lines(name: str, content: bytes) -> RawTable:
    """Read an object a line; rows are numbered by their lines, blank lines are passed over."""
    in_bulk = len(content) >= _BULK_BYTES and not may_have_long_integers(content)
    bulk = read_in_bulk(content) if in_bulk else None
    if bulk is None:
        return _read_records(name, list(enumerate(content.split(b"\n"), start=1)))
    plain = RawTable(len(bulk.plain), bulk.columns, bulk.plain + 1, names_differ_by_row=True)
    if not len(bulk.odd):
        return plain
    lines = content.split(b"\n")
    return _in_file_order(plain, _read_records(name, [(row + 1, lines[row]) for row in bulk.odd.tolist()]))


def _read_records(name: str, lines: list[tuple[int, bytes]]) -> RawTable:
    """Read lines, each with its number, one object at a time."""
    import orjson

    builder = _RecordColumns(name)
    with _no_garbage_collection():
        for start in range(0, len(lines), _LINES_AT_ONCE):
            chunk = [(number, line) for number, line in lines[start : start + _LINES_AT_ONCE] if line.strip()]
            try:
                _check_exact(b"\n".join(line for _, line in chunk))
                records = [orjson.loads(line) for _, line in chunk]
            except json.JSONDecodeError:
                records = [_parsed_line(name, number, line) for number, line in chunk]
            records = _each_key_once([line for _, line in chunk], records)
            builder.add([number for number, _ in chunk], records)
    return builder.table()


def _in_file_order(first: RawTable, second: RawTable) -> RawTable:
    """Put two parts of one file together."""
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
    """Keep the collector from walking millions of fresh objects, none of which is garbage."""
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
            remedy="Write one object a line; was the file still being written? Drop it whole.",
        ) from None


def _parsed(content: bytes) -> Any:
    """Parse JSON; NaN and Infinity, which some writers leave, become floats that no rule admits."""
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


@dataclass(frozen=True)
class _Repeats:
    """A record in which keys stand more than once, each with the values that it was given."""

    record: dict[str, Any]
    values: dict[str, list[Any]]


class _TooDeep:
    """Stands for a record that is nested more deeply than it can be examined or kept."""


class _Ambiguous(dict[str, Any]):
    """An object in which a key stands more than once; such a key holds the list of its values."""

    repeated: frozenset[str]


def _a_key_may_repeat(text: bytes | memoryview, keys: int) -> bool:
    r"""Tell whether JSON text may have more keys than the ``keys`` that were found in it.

    Behind a key stands a quote and a colon, which within text are written ``\":``. Unless there is space
    before a colon somewhere, there are thus no more keys in the text than ``":``.
    """
    characters = np.frombuffer(text, dtype=np.uint8)
    before = characters[np.flatnonzero(characters == _COLON) - 1]
    return bool((before <= _SPACE).any()) or int(np.count_nonzero(before == _QUOTE)) != keys


def _each_key_once(lines: list[bytes], records: list[Any]) -> list[Any]:
    """Give the records of some lines, those in which a key stands twice as ``_Repeats``."""
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
        return _TooDeep()


def _keys(value: Any) -> int:
    """Count the keys of an object and of all objects in it."""
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
    return _Repeats(record, values) if values else record


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


class _RecordColumns:
    """Collects JSON objects as columns, a chunk at a time, so that few objects are held at once."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._numbers: list[int] = []
        self._chunks: dict[str, list[pa.Array]] = {}
        self._refused: list[RefusedRow] = []

    def add(self, numbers: list[int], records: list[Any]) -> None:
        """Take in records, with the number of each in its file."""
        if not set(map(type, records)) <= {dict}:
            numbers, records = self._without_refused(numbers, records)
        try:
            columns = {name: _array(name, values) for name, values in self._columns_of(records).items()}
        except RecursionError:
            records = [_TooDeep() if _is_too_deep(record) else record for record in records]
            numbers, records = self._without_refused(numbers, records)
            columns = {name: _array(name, values) for name, values in self._columns_of(records).items()}
        for name, column in columns.items():
            self._chunks.setdefault(name, [pa.nulls(len(self._numbers))]).append(column)
        self._numbers += numbers
        for chunks in self._chunks.values():
            chunks.append(pa.nulls(len(self._numbers) - sum(map(len, chunks))))

    def table(self) -> RawTable:
        """Give all that was taken in."""
        columns = {name: joined(name, chunks) for name, chunks in self._chunks.items()}
        numbers = np.array(self._numbers, dtype=np.int64)
        return RawTable(len(numbers), columns, numbers, self._refused, names_differ_by_row=True)

    def _columns_of(self, records: list[dict[str, Any]]) -> dict[str, Sequence[Any]]:
        if not records:
            return {}
        names = tuple(records[0])
        if len(names) > 1 and set(map(len, records)) == {len(names)}:
            with suppress(KeyError):  # all have the same keys: taken row by row, in one go
                return dict(zip(names, zip(*map(itemgetter(*names), records), strict=True), strict=True))
        names = tuple(dict.fromkeys(name for record in records for name in record))
        if len(self._chunks.keys() | names) > _MOST_COLUMNS:  # a cell for each row under each would not fit
            raise UnreadableFile(
                f"{self._name}: more than {_MOST_COLUMNS} different keys",
                remedy="Use the same keys in each row, and put what varies into metadata.",
            )
        return {name: [record.get(name) for record in records] for name in names}

    def _without_refused(self, numbers: list[int], records: list[Any]) -> tuple[list[int], list[Any]]:
        kept = []
        for number, record in zip(numbers, records, strict=True):
            if type(record) is dict:
                kept.append((number, record))
            else:
                self._refused.append(self._refusal(number, record))
        return [number for number, _ in kept], [record for _, record in kept]

    def _refusal(self, number: int, record: Any) -> RefusedRow:
        if isinstance(record, _Repeats):
            rule, remedy = "one value", "Write each key once in an object."
            problems = [Problem(self._name, number, *said, rule, remedy) for said in record.values.items()]
            return RefusedRow(tuple(problems), record.record)
        if isinstance(record, _TooDeep):
            rule, remedy = "an object with few levels", "Write it flatter."
            return RefusedRow((Problem(self._name, number, "row", "nested too deeply", rule, remedy),))
        rule, remedy = "an object", 'Write it as {"strategy_id": …, …}.'
        value = "null" if record is None else record
        return RefusedRow((Problem(self._name, number, "row", value, rule, remedy),), {"value": record})


def _kind_of(name: str) -> str:
    """Return the kind of the field that a key is; other keys hold any JSON."""
    field = field_named(name)
    return "json" if field is None else FIELD_BY_NAME[field].kind


def _array(name: str, values: Sequence[Any]) -> pa.Array:
    """Give Python values as an array: of one type where they have one, else of text."""
    kinds = set(map(type, values)) - {type(None)}
    try:
        if len(kinds) <= 1 and kinds <= {str, bool, float}:
            return pa.array(values)
        if kinds == {int}:
            return pa.array(values, type=pa.int64())
        if kinds == {int, float} and _kind_of(name) in _NUMBERS:
            return pa.array(values, type=pa.float64())
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):
        pass
    return _text_array(name, values)


def joined(name: str, chunks: Sequence[pa.Array]) -> pa.Array:
    """Join arrays of one type, or of several as text."""
    types = {chunk.type for chunk in chunks if not pa.types.is_null(chunk.type)}
    if types == {pa.int64(), pa.float64()} and _kind_of(name) in _NUMBERS:
        types = {pa.float64()}
    if len(types) > 1:
        chunks = [_as_text_array(name, chunk) for chunk in chunks]
        types = {pa.string()}
    target = types.pop() if types else pa.null()
    return pa.concat_arrays([chunk.cast(target, safe=False) for chunk in chunks])


def _as_text_array(name: str, array: pa.Array) -> pa.Array:
    if pa.types.is_string(array.type):
        return array
    if pa.types.is_floating(array.type) and _kind_of(name) in _NUMBERS:
        return pc.if_else(pc.is_nan(array), None, array).cast(pa.string())
    return _text_array(name, array.to_pylist())


def _text_array(name: str, values: Sequence[Any]) -> pa.Array:
    kind = _kind_of(name)
    texts = [None if value is None else _as_text(value, kind) for value in values]
    return pa.array(texts, type=pa.string())


def _as_text(value: Any, kind: str) -> str | None:
    """Give a value such that its neighbours don't matter: it reads as it would in a column of its like."""
    if isinstance(value, str):
        return value if _is_unicode(value) else ODD + json.dumps(value)
    if kind != "json" and type(value) is int:
        return repr(value)
    if kind in _NUMBERS and type(value) is float:
        return None if isnan(value) else repr(value)
    return ODD + _json_text(value)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    return True


def _json_text(value: Any) -> str:
    """Write a value as JSON. Raises ``RecursionError`` beyond the 254 levels that orjson writes."""
    import orjson

    if not isinstance(value, float):  # NaN would become null
        try:
            text = orjson.dumps(value).decode()
        except TypeError as error:
            if "ecursion" in str(error):
                raise RecursionError from None
        else:
            if "null" not in text:
                return text
    return json.dumps(value)


def _is_too_deep(record: dict[str, Any]) -> bool:
    try:
        for value in record.values():
            _json_text(value)
    except RecursionError:
        return True
    return False
