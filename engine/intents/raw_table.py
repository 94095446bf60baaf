"""A file's raw content, column by column, before anything is interpreted."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from engine.intents.long_integers import may_have_long_integers
from engine.intents.problems import RefusedRow

ODD = "\x00"
"""Marks a value of another kind in a column of text, as JSON: no field's rule accepts it."""


@dataclass
class RawTable:
    """A file's rows as Arrow arrays by column name, with the number of each row in its file (from 1).

    ``refused`` are the records that have no columns at all, such as a CSV line with a field too many.
    ``names_differ_by_row``: each row has names of its own, as in JSON, and a null is no value at all; else a
    column is there for every row. ``index_names`` are the columns that were the index of a pandas frame.
    """

    rows: int
    columns: dict[str, pa.Array]
    row_numbers: npt.NDArray[np.int64]
    refused: list[RefusedRow] = field(default_factory=list)
    names_differ_by_row: bool = False
    index_names: frozenset[str] = frozenset()

    def of(self, rows: npt.NDArray[np.bool_]) -> RawTable:
        """Return some of the rows, without those that were refused."""
        wanted = pa.array(rows)
        columns = {name: column.filter(wanted) for name, column in self.columns.items()}
        return replace(
            self, rows=int(rows.sum()), columns=columns, row_numbers=self.row_numbers[rows], refused=[]
        )

    def raw(self, rows: list[int], names: Collection[str] | None = None) -> list[dict[str, Any]]:
        """Return some rows as they were in the file, in all columns or ``names``; nulls are left out."""
        wanted = pa.array(rows, type=pa.int64())
        columns = {
            name: python_values(column.take(wanted))
            for name, column in self.columns.items()
            if names is None or name in names
        }
        return [
            {name: values[i] for name, values in columns.items() if values[i] is not None}
            for i in range(len(rows))
        ]


def one_array(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array; Arrow's own ``combine_chunks`` copies even where there is one chunk."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def python_values(array: pa.Array) -> list[Any]:
    """Return an array's values; one that Python has no type for (a time in the year 20000) as text."""
    try:
        values = array.to_pylist()
    except (ValueError, OverflowError):
        values = [_value_or_text(array.slice(i, 1)) for i in range(len(array))]
    if not pa.types.is_string(array.type):
        return list(values)
    return [plain(value) if value is not None and value.startswith(ODD) else value for value in values]


def plain(text: str) -> Any:
    """Return the value that a text stands for, which is the text itself unless it is marked ``ODD``."""
    import orjson

    if not text.startswith(ODD):
        return text
    said = text.removeprefix(ODD)
    try:
        if not may_have_long_integers(said.encode()):
            return orjson.loads(said)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(said)  # NaN, infinity, half a surrogate pair
    except (ValueError, RecursionError):
        return text


def _value_or_text(one: pa.Array) -> Any:
    try:
        return one.to_pylist()[0]
    except (ValueError, OverflowError):
        return one.to_string(skip_new_lines=True).strip("[] ")
