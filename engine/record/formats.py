"""The formats of the record: Parquet and JSON, and the hash by which content is compared."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from engine.errors import RecordError
from engine.text.printable import printable_json

_LEVELS = 50
_SMALL_BYTES = 1 << 20
_UNCOMPRESSED = {"client_intent_id", "content_hash"}
_COUNTED = {"source_row"}


def table_bytes(table: pa.Table) -> pa.Buffer:
    """Return a table as Parquet. Ids and hashes, which don't compress, are stored uncompressed.

    Ascending numbers are stored as differences, in a sixth of the time.
    """
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    names = table.schema.names
    pq.write_table(
        table,
        sink,
        compression={name: "none" if name in _UNCOMPRESSED else "zstd" for name in names},
        use_dictionary=[name for name in names if name not in _UNCOMPRESSED | _COUNTED],
        column_encoding={name: "DELTA_BINARY_PACKED" for name in names if name in _COUNTED},
        write_statistics=False,  # they take a third of the time, and no reader here uses them
    )
    return sink.getvalue()


def read_table(name: str, content: bytes, columns: list[str] | None = None) -> pa.Table:
    """Read a recorded Parquet file. Raises ``RecordError`` where it is damaged."""
    import pyarrow.parquet as pq

    try:
        threads = (
            len(content) > _SMALL_BYTES
        )  # handing a small table out to threads takes longer than reading it
        return pq.ParquetFile(pa.BufferReader(content)).read(columns=columns, use_threads=threads)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise RecordError(f"{name} is damaged ({error}).") from None


def json_bytes(value: dict[str, Any]) -> bytes:
    """Return a JSON object as indented, printable text: see ``printable_json``."""
    return _json(value, orjson.OPT_INDENT_2, indent=2)


def json_line(value: dict[str, Any]) -> bytes:
    """Return a JSON object as one printable line."""
    return _json(value, orjson.OPT_SERIALIZE_NUMPY, indent=None)


def _json(value: dict[str, Any], option: int, *, indent: int | None) -> bytes:
    try:
        content = orjson.dumps(value, default=str, option=option | orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # integers beyond 64 bits, half a surrogate pair: what strategies can put into a file
        content = (_json_text(value, indent) + "\n").encode()
    if content.isascii() and b"\x7f" not in content:
        return content
    return printable_json(content.decode()).encode()


def _json_text(value: dict[str, Any], indent: int | None) -> str:
    try:
        return json.dumps(value, indent=indent, default=str)
    except (
        RecursionError,
        TypeError,
        ValueError,
    ):  # too deep, keys that are no text, a map that holds itself
        return json.dumps(_cut(value, _LEVELS), indent=indent, default=str)


def _cut(value: Any, levels: int) -> Any:
    """Return maps and lists down to ``levels``, with a remark in place of deeper ones."""
    if not isinstance(value, dict | list | tuple):
        return value
    if not levels:
        return "(nested too deeply to be written here)"
    if isinstance(value, dict):
        return {str(key): _cut(held, levels - 1) for key, held in value.items()}
    return [_cut(held, levels - 1) for held in value]


def read_json(name: str, content: bytes) -> dict[str, Any]:
    """Read a recorded JSON object. Raises ``RecordError`` where it is damaged."""
    try:
        value = json.loads(content)
    except ValueError as error:
        raise RecordError(f"{name} is damaged ({error}).") from None
    if not isinstance(value, dict):
        raise RecordError(f"{name} is damaged (not a JSON object).")
    return value


def file_hash(name: str, content: bytes) -> str:
    """Return the hash of a recorded file: of the values of a table, of the bytes of anything else."""
    if name.endswith(".parquet"):
        return content_hash(read_table(name, content))
    return hashlib.sha256(content).hexdigest()


def content_hash(table: pa.Table) -> str:
    """Return the SHA-256 of a table's names, types and values, independent of how the file was written.

    Dictionary-coded text counts as plain text; memory below nulls does not count.
    """
    digest = hashlib.sha256()
    for field, column in zip(table.schema, table.columns, strict=True):
        array = _plain(column.combine_chunks())
        valid = pc.is_valid(array).to_numpy(zero_copy_only=False)
        digest.update(f"{field.name}\0{array.type}\0{len(array)}\0".encode())
        digest.update(_memory(np.packbits(valid)))
        if pa.types.is_string(array.type):
            digest.update(_memory(_values(pc.binary_length(array), 0)))
            digest.update(_characters(array))
        elif pa.types.is_boolean(array.type):
            digest.update(_memory(np.packbits(_values(array, False))))
        elif not pa.types.is_null(array.type):
            fixed = array.cast(pa.int64()) if pa.types.is_timestamp(array.type) else array
            digest.update(_memory(_values(fixed, 0)))
    return digest.hexdigest()


def _values(array: pa.Array, where_null: object) -> Any:
    return pc.fill_null(array, where_null).to_numpy(zero_copy_only=False)


def _memory(values: Any) -> memoryview:
    return np.ascontiguousarray(values).data


def _plain(array: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    return array.cast(pa.string()) if pa.types.is_large_string(array.type) else array


def _characters(array: pa.Array) -> memoryview:
    """Return the concatenated text of a string array, without memory below nulls and outside slices."""
    joined = pa.concat_arrays([pc.fill_null(array, "")])
    _, starts, characters = joined.buffers()
    if characters is None or len(joined) == 0:
        return memoryview(b"")
    ends = np.frombuffer(starts, dtype=np.int32)[joined.offset : joined.offset + len(joined) + 1]
    return memoryview(characters)[int(ends[0]) : int(ends[-1])]
