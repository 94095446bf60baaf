"""Parquet to raw columns; the limits are checked by the footer before anything is unpacked.

A page that repeats one long text a million times is small until its values are written out. So text is
kept as codes and a dictionary wherever the file does so, and its size is counted before it is decoded.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from engine.errors import UnreadableFile
from engine.intents.limits import CELL_BYTES, NESTED_VALUE_BYTES, beyond, check_cells, check_laid_out
from engine.intents.raw_table import RawTable, one_array
from engine.model.field_names import field_named
from engine.model.schema import INTENT_FIELDS
from engine.settings.variables import IntakeLimits

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_FEW_TEXTS = {field.name for field in INTENT_FIELDS if field.kind in {"text", "upper", "symbol", "enum"}} - {
    "client_intent_id"
}
_TEXT_TYPES = {"BYTE_ARRAY"}
_PREFIXES = "DELTA_BYTE_ARRAY"
_DICTIONARIES = {"PLAIN_DICTIONARY", "RLE_DICTIONARY"}


def read_parquet(name: str, content: bytes, limits: IntakeLimits) -> RawTable:
    """Read a Parquet file; rows are numbered in order.

    Raises ``UnreadableFile`` where it can't be read, or is beyond a limit.
    """
    import pyarrow.parquet as pq

    try:
        footer = pq.read_metadata(pa.BufferReader(content))
        _check_footer(name, footer, limits)
        schema = footer.schema.to_arrow_schema()
        names = schema.names
        twice = [column for column, times in Counter(names).items() if times > 1]
        if twice:
            raise UnreadableFile(f"{name}: column {min(twice)} stands twice", remedy="Name each column once.")
        file = pq.ParquetFile(pa.BufferReader(content), metadata=footer, read_dictionary=_coded(footer))
        table = file.read().unify_dictionaries()
    except (pa.ArrowException, OSError, ValueError) as error:
        what = f"not Parquet ({str(error).rstrip('.')})"
        raise UnreadableFile(f"{name}: {what}", remedy="Write it again, whole.") from None
    stored = {column: table.column(column) for column in table.column_names}
    check_laid_out(name, stored, limits)
    columns = {column: _of_common_type(array) for column, array in stored.items()}
    numbers = np.arange(1, table.num_rows + 1, dtype=np.int64)
    return RawTable(table.num_rows, columns, numbers, index_names=_index_names(schema.metadata or {}))


def _index_names(metadata: Mapping[bytes, bytes]) -> frozenset[str]:
    """Return the columns that were the index of a pandas frame; none where that can't be read."""
    try:
        said = json.loads(metadata.get(b"pandas", b"{}"))
        return frozenset(name for name in said["index_columns"] if isinstance(name, str))
    except (ValueError, KeyError, TypeError, RecursionError):
        return frozenset()


def _check_footer(name: str, footer: pq.FileMetaData, limits: IntakeLimits) -> None:
    """Raise ``UnreadableFile`` where a file is, by its own footer, beyond a limit."""
    if footer.num_columns > limits.max_columns:
        raise beyond(name, limits, "max_columns")
    if footer.num_rows > limits.max_rows:
        raise beyond(name, limits, "max_rows")
    chunks = [
        (leaf, footer.row_group(group).column(leaf))
        for group in range(footer.num_row_groups)
        for leaf in range(footer.num_columns)
    ]
    if sum(max(0, chunk.total_uncompressed_size) for _, chunk in chunks) > limits.max_unpacked_bytes:
        raise beyond(name, limits, "max_unpacked_bytes", "when unpacked")
    cells = sum(chunk.num_values * _cells_of(footer.schema.column(leaf)) for leaf, chunk in chunks)
    check_cells(name, max(cells, footer.num_rows), limits)
    for _, chunk in chunks:
        if _PREFIXES in chunk.encodings and (
            chunk.num_values * chunk.total_uncompressed_size > limits.max_unpacked_bytes
        ):
            raise UnreadableFile(
                f"{name}: texts of {chunk.path_in_schema} are written as {_PREFIXES}, whose size can't be "
                f"known beforehand",
                remedy="Write it with the encoding PLAIN or with a dictionary.",
            )


def _cells_of(leaf: pq.ColumnSchema) -> int:
    """Return how many cells a value counts as: a nested one becomes an object of its own."""
    if leaf.max_repetition_level:
        return NESTED_VALUE_BYTES // CELL_BYTES
    return max(1, int(leaf.length) // CELL_BYTES)


def _coded(footer: pq.FileMetaData) -> list[str]:
    """Return the paths of the texts that are read as codes and a dictionary.

    These are the fields with few different texts, and all that a file keeps as codes itself.
    """
    paths = []
    for leaf in range(footer.num_columns):
        column = footer.schema.column(leaf)
        if column.physical_type in _TEXT_TYPES:
            is_kept_so = any(
                _DICTIONARIES.intersection(footer.row_group(group).column(leaf).encodings)
                for group in range(footer.num_row_groups)
            )
            is_number = column.logical_type.type == "DECIMAL"
            if not is_number and (is_kept_so or field_named(column.path) in _FEW_TEXTS):
                paths.append(column.path)
    return paths


def _of_common_type(column: pa.ChunkedArray) -> pa.Array:
    """Return a column with the same values in a type that Arrow's functions support."""
    array = one_array(column)
    if isinstance(array.type, pa.UuidType):
        return pa.array([None if value is None else str(value) for value in array.to_pylist()], pa.string())
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if pa.types.is_string_view(array.type):
        return array.cast(pa.string())
    if pa.types.is_binary_view(array.type):
        return array.cast(pa.binary())
    if pa.types.is_dictionary(array.type) and not pa.types.is_int32(array.type.index_type):
        return array.dictionary_decode()
    if pa.types.is_timestamp(array.type) and array.type.tz is not None:
        return array.view(pa.timestamp(array.type.unit, tz="UTC"))  # the zone's name may be an unknown one
    return array
