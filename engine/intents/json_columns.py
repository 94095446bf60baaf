"""JSON objects to columns: of one type where all values of a key have it, else of text.

A value is read the same whatever its neighbours are.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import isnan
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.intents.limits import beyond, check_cells
from engine.intents.problems import Problem, RefusedRow
from engine.intents.raw_table import ODD, RawTable
from engine.model.field_names import field_named
from engine.model.schema import FIELD_BY_NAME
from engine.settings.variables import IntakeLimits

_NUMBERS = {"quantity", "number"}
_SPARSE = 4
"""Where fewer than one in this many cells have a value, columns are built from the values alone."""


@dataclass(frozen=True)
class Repeats:
    """A record with repeated keys, each with all its values."""

    record: dict[str, Any]
    values: dict[str, list[Any]]


class TooDeep:
    """Stands for a record that is nested more deeply than it can be examined or kept."""


class RecordColumns:
    """Collects JSON objects as columns, a chunk at a time, so that few objects are held at once."""

    def __init__(self, name: str, limits: IntakeLimits) -> None:
        self._name = name
        self._limits = limits
        self._numbers: list[int] = []
        self._chunks: dict[str, list[pa.Array]] = {}
        self._refused: list[RefusedRow] = []

    def add(self, numbers: list[int], records: list[Any]) -> None:
        """Add records, with the number of each in its file. Raises ``UnreadableFile`` beyond a limit."""
        if len(self._numbers) + len(self._refused) + len(records) > self._limits.max_rows:
            raise beyond(self._name, self._limits, "max_rows")
        if not set(map(type, records)) <= {dict}:
            numbers, records = self._without_refused(numbers, records)
        try:
            columns = self._columns_of(records)
        except RecursionError:
            records = [TooDeep() if _is_too_deep(record) else record for record in records]
            numbers, records = self._without_refused(numbers, records)
            columns = self._columns_of(records)
        for name, column in columns.items():
            self._chunks.setdefault(name, [pa.nulls(len(self._numbers))]).append(column)
        self._numbers += numbers
        for chunks in self._chunks.values():
            chunks.append(pa.nulls(len(self._numbers) - sum(map(len, chunks))))

    def table(self) -> RawTable:
        """Return the table of all added records."""
        columns = {name: joined(name, chunks) for name, chunks in self._chunks.items()}
        numbers = np.array(self._numbers, dtype=np.int64)
        return RawTable(len(numbers), columns, numbers, self._refused, names_differ_by_row=True)

    def _columns_of(self, records: list[dict[str, Any]]) -> dict[str, pa.Array]:
        if not records:
            return {}
        names = tuple(records[0])
        if 1 < len(names) <= self._limits.max_columns and set(map(len, records)) == {len(names)}:
            with suppress(KeyError):  # all have the same keys: transposed at once
                by_name = zip(*map(itemgetter(*names), records), strict=True)
                return {name: _array(name, values) for name, values in zip(names, by_name, strict=True)}
        names = tuple(dict.fromkeys(name for record in records for name in record))
        columns = len(self._chunks.keys() | names)
        if columns > self._limits.max_columns:
            raise beyond(self._name, self._limits, "max_columns", "(different keys)")
        check_cells(self._name, columns * (len(self._numbers) + len(records)), self._limits)
        if _SPARSE * sum(map(len, records)) < len(names) * len(records):
            return _sparse_columns(records)
        return {name: _array(name, [record.get(name) for record in records]) for name in names}

    def _without_refused(self, numbers: list[int], records: list[Any]) -> tuple[list[int], list[Any]]:
        kept = []
        for number, record in zip(numbers, records, strict=True):
            if type(record) is dict:
                kept.append((number, record))
            else:
                self._refused.append(self._refusal(number, record))
        if len(self._refused) > self._limits.max_refused_rows:
            raise beyond(self._name, self._limits, "max_refused_rows")
        return [number for number, _ in kept], [record for _, record in kept]

    def _refusal(self, number: int, record: Any) -> RefusedRow:
        if isinstance(record, Repeats):
            rule, remedy = "one value", "Write each key once in an object."
            problems = [
                Problem(self._name, number, *repeated, rule, remedy) for repeated in record.values.items()
            ]
            return RefusedRow(tuple(problems), record.record)
        if isinstance(record, TooDeep):
            rule, remedy = "an object with few levels", "Write it flatter."
            return RefusedRow((Problem(self._name, number, "row", "nested too deeply", rule, remedy),))
        rule, remedy = "an object", 'Write it as {"strategy_id": …, …}.'
        value = "null" if record is None else record
        return RefusedRow((Problem(self._name, number, "row", value, rule, remedy),), {"value": record})


def _kind_of(name: str) -> str:
    """Return the kind of a key's field; other keys hold any JSON."""
    field = field_named(name)
    return "json" if field is None else FIELD_BY_NAME[field].kind


def _sparse_columns(records: list[dict[str, Any]]) -> dict[str, pa.Array]:
    """Return the columns of records that have few keys each, and many in all."""
    found: dict[str, tuple[list[int], list[Any]]] = {}
    for row, record in enumerate(records):
        for name, value in record.items():
            rows, values = found.setdefault(name, ([], []))
            rows.append(row)
            values.append(value)
    columns = {}
    for name, (rows, values) in found.items():
        places = np.full(len(records), len(rows), dtype=np.int64)
        places[rows] = np.arange(len(rows))
        columns[name] = _array(name, values).take(pa.array(places, mask=places == len(rows)))
    return columns


def _array(name: str, values: Sequence[Any]) -> pa.Array:
    """Return Python values as an array: of one type where they have one, else of text."""
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
    alike = [
        chunk if chunk.type == target else chunk.cast(target, safe=False) for chunk in chunks if len(chunk)
    ]
    return alike[0] if len(alike) == 1 else pa.concat_arrays([pa.nulls(0, target), *alike])


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
    """Return a value in the form in which it is read the same whatever its neighbours are."""
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
