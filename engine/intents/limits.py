"""Checks of a file against the intake limits, by the size of its content as columns."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.errors import UnreadableFile
from engine.intents.characters import count_of
from engine.model.field_names import field_named
from engine.settings.variables import IntakeLimits

LARGEST_RECORD_BYTES = 1 << 22
"""Four times what the ledger keeps of an order."""
CELL_BYTES = 8
JSON_VALUE_BYTES = 32
NESTED_VALUE_BYTES = 64
_FEW_BYTES = 1 << 10

_SPLIT = "Split it into smaller files"
_UNITS = {
    "max_file_bytes": ("bytes", _SPLIT),
    "max_unpacked_bytes": ("bytes", _SPLIT),
    "max_rows": ("rows", _SPLIT),
    "max_columns": ("columns", "Use the same few in each row, and put what varies into metadata"),
    "max_keys": ("keys in one row", "Leave out what the order doesn't need"),
    "max_refused_rows": ("refused rows", "Correct its rows"),
    "max_depth": ("folders below each other", "Put it higher up"),
}


def beyond(name: str, limits: IntakeLimits, limit: str, what: str = "") -> UnreadableFile:
    """Return the error of a file beyond the limit of this name, with the setting that changes it."""
    unit, instead = _UNITS[limit]
    text = f"more than {getattr(limits, limit)} {unit}{what and f' {what}'}"
    return UnreadableFile(f"{name}: {text}", remedy=f"{instead}, or raise {limits.setting_of(limit)}.")


def record_too_large(name: str, place: str) -> UnreadableFile:
    """Return the error of a file with a record larger than any order needs; ``place`` names the record."""
    what = f"{place} is larger than {LARGEST_RECORD_BYTES >> 20} MiB"
    return UnreadableFile(f"{name}: {what}", remedy="Keep long texts elsewhere, and name the place.")


def check_cells(name: str, cells: int, limits: IntakeLimits) -> None:
    """Raise ``UnreadableFile`` where so many cells are beyond ``limits.max_unpacked_bytes``."""
    if cells * CELL_BYTES > limits.max_unpacked_bytes:
        raise beyond(name, limits, "max_unpacked_bytes", f"when laid out as {cells} cells")


def check_values(name: str, content: bytes, limits: IntakeLimits) -> None:
    """Raise ``UnreadableFile`` where JSON has more values than memory should be filled with.

    Every value but the first follows one of three characters; text with these characters counts as more.
    """
    values = 1 + sum(count_of(character, content) for character in (b",", b"[", b"{"))
    if values * JSON_VALUE_BYTES > limits.max_unpacked_bytes:
        raise beyond(name, limits, "max_unpacked_bytes", f"when laid out as {values} values")


def check_laid_out(
    name: str, columns: Mapping[str, pa.Array | pa.ChunkedArray], limits: IntakeLimits
) -> None:
    """Raise ``UnreadableFile`` where columns, each value written out, are beyond the limit of bytes.

    A value that is kept once for many rows counts as often as it stands, and so does the name of a column
    that goes into metadata.
    """
    if sum(_at_most(column, array) for column, array in columns.items()) <= limits.max_unpacked_bytes:
        return
    size = 0
    for column, array in columns.items():
        size += written_out_bytes(array)
        if field_named(column) is None:
            size += (len(array) - array.null_count) * len(column)
    if size > limits.max_unpacked_bytes:
        raise beyond(name, limits, "max_unpacked_bytes", f"when laid out ({size})")


def _at_most(column: str, array: pa.Array | pa.ChunkedArray) -> int:
    """Return a bound of the bytes that a column counts for, of codes by the longest of their values."""
    chunks = array.chunks if isinstance(array, pa.ChunkedArray) else [array]
    size = len(array) * len(column) if field_named(column) is None else 0
    for chunk in chunks:
        if pa.types.is_dictionary(chunk.type):
            size += len(chunk) * _longest_bytes(chunk.dictionary)
        else:
            size += written_out_bytes(chunk)
    return size


def _longest_bytes(values: pa.Array) -> int:
    """Return the bytes of the longest value; of a few short texts those of all, which are counted at once."""
    if pa.types.is_string(values.type) and values.nbytes <= _FEW_BYTES:
        return int(values.nbytes)
    return int(_value_bytes(values).max(initial=0))


def written_out_bytes(array: pa.Array | pa.ChunkedArray) -> int:
    """Return the bytes of an array's values if each were written out."""
    if isinstance(array, pa.ChunkedArray):
        return sum(map(written_out_bytes, array.chunks))
    if isinstance(array, pa.ExtensionArray):
        return written_out_bytes(array.storage)
    kind = array.type
    if pa.types.is_dictionary(kind):
        each = np.append(_value_bytes(array.dictionary), 0)
        codes = pc.fill_null(array.indices, len(array.dictionary)).to_numpy(zero_copy_only=False)
        return int(each[codes].sum())
    if pa.types.is_struct(kind):
        return sum(written_out_bytes(array.field(i)) for i in range(kind.num_fields))
    if pa.types.is_nested(kind) and not pa.types.is_union(kind):
        return written_out_bytes(array.values) + CELL_BYTES * len(array)
    return int(array.nbytes)


def _value_bytes(values: pa.Array) -> np.ndarray:
    """Return the bytes of each value of a dictionary."""
    if pa.types.is_primitive(values.type) or not len(values):
        return np.full(len(values), CELL_BYTES, dtype=np.int64)
    if pa.types.is_string_view(values.type) or pa.types.is_binary_view(values.type):
        values = values.cast(pa.large_binary())
    try:
        return np.asarray(pc.fill_null(pc.binary_length(values), 0).to_numpy(zero_copy_only=False), np.int64)
    except pa.ArrowNotImplementedError:  # values that are nested, or of a fixed width
        return np.full(len(values), written_out_bytes(values), dtype=np.int64)
