"""File text to raw columns: CSV, Parquet, and JSON by way of ``engine.intents.json_records``.

Nothing is interpreted here. CSV values stay text; JSON and Parquet values keep their types.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from engine.config import DEFAULT_INTAKE, IntakeLimits
from engine.errors import UnreadableFile
from engine.field_names import field_named
from engine.intents.gzipped import unpacked
from engine.intents.json_records import read_json, read_json_lines
from engine.intents.problems import Problem, RefusedRow
from engine.intents.raw_table import RawTable
from engine.printable import shown
from engine.schema import FILE_ENDINGS, INTENT_FIELDS

if TYPE_CHECKING:
    from pyarrow import csv


_FEW_TEXTS = {field.name for field in INTENT_FIELDS if field.kind in {"text", "upper", "symbol", "enum"}} - {
    "client_intent_id"
}
_BOM = b"\xef\xbb\xbf"
_ONE_FORMAT = "Give the file one of the endings .json .jsonl .csv .parquet, each may be followed by .gz."


def read_raw(name: str, content: bytes, limits: IntakeLimits = DEFAULT_INTAKE) -> RawTable:
    """Read a file's content by the ending of its name.

    Raises ``UnreadableFile`` where it can't be parsed as a whole.
    """
    ending = name.lower()
    if ending.endswith(".gz"):
        ending = ending.removesuffix(".gz")
        content = unpacked(name, content, limits)
    reader = next((_READERS[known] for known in FILE_ENDINGS if ending.endswith(known)), None)
    if reader is None:
        raise UnreadableFile(f"{name}: unknown kind of file", remedy=_ONE_FORMAT)
    content = content.removeprefix(_BOM)
    if not content[:1024].strip() and not content.strip():
        return RawTable(0, {}, np.zeros(0, dtype=np.int64))
    return reader(name, content)


def _read_csv(name: str, content: bytes) -> RawTable:
    from pyarrow import csv

    header = _csv_header(name, content)
    if not content.endswith((b"\n", b"\r")):
        content += b"\n"  # without which Arrow takes a header alone for no file at all
    ragged: list[csv.InvalidRow] = []

    def note(row: csv.InvalidRow) -> str:
        ragged.append(row)
        return "skip"

    try:
        table = csv.read_csv(
            pa.BufferReader(content),
            read_options=csv.ReadOptions(use_threads=False, block_size=max(1 << 22, 2 * _longest(content))),
            parse_options=csv.ParseOptions(newlines_in_values=b'"' in content, invalid_row_handler=note),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=True, null_values=[""]
            ),
        )
    except pa.ArrowException as error:
        raise UnreadableFile(f"{name}: not CSV ({error})", remedy="Save it as UTF-8, with commas.") from None
    if table.column_names != header:
        raise UnreadableFile(f"{name}: no plain header", remedy="Write column names with commas first.")
    lines = _record_lines(content, 1 + table.num_rows + len(ragged))
    columns = {
        column.strip(): table.column(i).combine_chunks() for i, column in enumerate(table.column_names)
    }
    numbers = np.delete(lines, [0, *(row.number - 1 for row in ragged)])
    refused = [_ragged_row(name, int(lines[row.number - 1]), row) for row in ragged]
    return RawTable(table.num_rows, columns, numbers, refused)


def _ragged_row(name: str, line: int, row: csv.InvalidRow) -> RefusedRow:
    rule = f"{row.expected_columns}, as the header has"
    remedy = "Put quotes around text with commas, write numbers without, or leave the row out."
    problem = Problem(name, line, "number of fields", row.actual_columns, rule, remedy)
    return RefusedRow((problem,), {"text": row.text})


def _record_lines(content: bytes, records: int) -> npt.NDArray[np.int64]:
    """Give the line on which each record begins, the header being the first record.

    Where there are blank lines, or line breaks within quotes, the lines are followed one by one.
    """
    import csv as standard_csv

    breaks = content.count(b"\n") + content.count(b"\r") - content.count(b"\r\n")
    if breaks == records:
        return np.arange(1, records + 1, dtype=np.int64)
    reader = standard_csv.reader(io.TextIOWrapper(io.BytesIO(content), encoding="latin-1", newline=""))
    begins, before = [], 0
    try:
        for record in reader:
            if record:
                begins.append(before + 1)
            before = reader.line_num
    except standard_csv.Error:
        begins = []
    found = begins if len(begins) == records else range(1, records + 1)
    return np.array(found, dtype=np.int64)


def _longest(content: bytes) -> int:
    """Bound the length of the longest record, which a reader's block has to hold."""
    return len(content) if b'"' in content and len(content) < 1 << 24 else 1 << 20


def _csv_header(name: str, content: bytes) -> list[str]:
    import csv as standard_csv

    text = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", newline="")
    try:
        header = next(record for record in standard_csv.reader(text) if record)
    except UnicodeDecodeError:
        raise UnreadableFile(f"{name}: not UTF-8 text", remedy="Save it as UTF-8, with commas.") from None
    except (StopIteration, standard_csv.Error) as error:
        raise UnreadableFile(f"{name}: no header ({error})", remedy="Write column names first.") from None
    names = [column.strip() for column in header]
    for separator, word in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if len(names) == 1 and separator in names[0]:
            raise UnreadableFile(f"{name}: columns separated by {word}", remedy="Separate them by commas.")
    if not any(map(field_named, names)):  # then it is a row, which would be lost
        found = shown(", ".join(names))
        raise UnreadableFile(
            f"{name}: the first line names no field of an intent, but {found}",
            remedy="Begin with a header: strategy_id,broker_account_id,symbol,side,qty.",
        )
    twice = sorted({column for column in names if names.count(column) > 1})
    if twice or "" in names:
        what = f"column {twice[0]} stands twice" if twice else "a column has no name"
        raise UnreadableFile(f"{name}: {what} in the header", remedy="Name each column once.")
    return header


def _read_parquet(name: str, content: bytes) -> RawTable:
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(pa.BufferReader(content))
        twice = sorted({column for column in schema.names if schema.names.count(column) > 1})
        if twice:
            raise UnreadableFile(f"{name}: column {twice[0]} stands twice", remedy="Name each column once.")
        coded = [
            field.name
            for field in schema
            if field_named(field.name) in _FEW_TEXTS and _is_plain_text(field.type)
        ]
        table = pq.read_table(pa.BufferReader(content), read_dictionary=coded).unify_dictionaries()
    except (pa.ArrowException, OSError, ValueError) as error:
        what = f"not Parquet ({str(error).rstrip('.')})"
        raise UnreadableFile(f"{name}: {what}", remedy="Write it again, whole.") from None
    columns = {column: _of_common_type(table.column(column)) for column in table.column_names}
    numbers = np.arange(1, table.num_rows + 1, dtype=np.int64)
    return RawTable(table.num_rows, columns, numbers, index_names=_index_names(schema.metadata or {}))


def _index_names(metadata: Mapping[bytes, bytes]) -> frozenset[str]:
    """Return the columns that were the index of a pandas frame; none where that can't be read."""
    try:
        said = json.loads(metadata.get(b"pandas", b"{}"))
        return frozenset(name for name in said["index_columns"] if isinstance(name, str))
    except (ValueError, KeyError, TypeError, RecursionError):
        return frozenset()


def _of_common_type(column: pa.ChunkedArray) -> pa.Array:
    """Give a column as an array of a type that Arrow's functions know, and that says the same."""
    array = column.combine_chunks()
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


def _is_plain_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


_READERS: dict[str, Callable[[str, bytes], RawTable]] = {
    ".json": read_json,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
