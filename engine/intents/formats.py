"""File text to raw columns: JSON, JSON Lines, CSV and Parquet, each also gzip-compressed.

Nothing is interpreted here. CSV values stay text; JSON and Parquet values keep their types.
"""

from __future__ import annotations

import gc
import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from engine.errors import UnreadableFile
from engine.intents.json_lines import read_in_bulk
from engine.intents.problems import Problem, RefusedRow
from engine.schema import INTENT_FIELDS

FORMATS = (".json", ".jsonl", ".ndjson", ".csv", ".parquet")
ODD = "\x00"
"""Marks a value in a column of text that was neither text nor a number: no field's rule admits it."""

_FEW_TEXTS = {field.name for field in INTENT_FIELDS if field.kind in {"text", "upper", "enum"}} - {
    "client_intent_id"
}
_BOM = b"\xef\xbb\xbf"
_LINES_AT_ONCE = 50_000
_BULK_BYTES = 1 << 20
_ONE_FORMAT = "Give the file one of the endings .json .jsonl .csv .parquet, each may be followed by .gz."


@dataclass
class RawTable:
    """A file's rows as Arrow arrays by column name, with the number of each row in its file (from 1).

    ``refused`` are the records that have no columns at all, such as a CSV line with a field too many.
    """

    rows: int
    columns: dict[str, pa.Array]
    row_numbers: npt.NDArray[np.int64]
    refused: list[RefusedRow] = field(default_factory=list)

    def raw(self, rows: list[int]) -> list[dict[str, Any]]:
        """Give some rows as they stood in the file, without what they left out."""
        wanted = pa.array(rows, type=pa.int64())
        columns = {name: _python_values(column.take(wanted)) for name, column in self.columns.items()}
        return [
            {
                name: values[i].removeprefix(ODD) if isinstance(values[i], str) else values[i]
                for name, values in columns.items()
                if values[i] is not None
            }
            for i in range(len(rows))
        ]


def _python_values(array: pa.Array) -> list[Any]:
    try:
        return list(array.to_pylist())
    except (ValueError, OverflowError):  # a moment beyond what Python's datetime can hold
        return list(array.cast(pa.string()).to_pylist())


def read_raw(name: str, content: bytes) -> RawTable:
    """Read a file's content by the ending of its name.

    Raises ``UnreadableFile`` where it can't be parsed as a whole.
    """
    ending = name.lower()
    if ending.endswith(".gz"):
        ending = ending.removesuffix(".gz")
        content = _unpacked(name, content)
    reader = _READERS.get("." + ending.rpartition(".")[2])
    if reader is None:
        raise UnreadableFile(f"{name}: unknown kind of file", remedy=_ONE_FORMAT)
    content = content.removeprefix(_BOM)
    if not content[:1024].strip() and not content.strip():
        return RawTable(0, {}, np.zeros(0, dtype=np.int64))
    return reader(name, content)


def _unpacked(name: str, content: bytes) -> bytes:
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise UnreadableFile(f"{name}: not a whole gzip file ({error})", remedy="Pack it again.") from None


def _read_json(name: str, content: bytes) -> RawTable:
    try:
        value = _parse_json(content)
    except ValueError as error:
        raise UnreadableFile(
            f"{name}: not JSON ({error})", remedy="Write one object or a list of objects."
        ) from None
    records = value if isinstance(value, list) else [value]
    return _from_records(name, np.arange(1, len(records) + 1), records)


def _read_json_lines(name: str, content: bytes) -> RawTable:
    bulk = read_in_bulk(content) if len(content) >= _BULK_BYTES else None
    if bulk is None:
        return _read_records(name, list(enumerate(content.split(b"\n"), start=1)))
    plain = RawTable(len(bulk.plain), bulk.columns, bulk.plain + 1)
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
                records = [orjson.loads(line) for _, line in chunk]
            except orjson.JSONDecodeError:
                records = [_parse_line(name, number, line) for number, line in chunk]
            builder.add([number for number, _ in chunk], records)
    return builder.table()


def _in_file_order(first: RawTable, second: RawTable) -> RawTable:
    """Put two parts of one file together."""
    numbers = np.concatenate([first.row_numbers, second.row_numbers])
    order = pa.array(np.argsort(numbers, kind="stable"))
    columns = {}
    for name in {**first.columns, **second.columns}:
        parts = [part.columns.get(name, pa.nulls(part.rows)) for part in (first, second)]
        columns[name] = _joined(parts).take(order)
    rows = first.rows + second.rows
    return RawTable(rows, columns, numbers[order.to_numpy()], first.refused + second.refused)


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


def _parse_line(name: str, number: int, line: bytes) -> Any:
    try:
        return _parse_json(line)
    except ValueError as error:
        raise UnreadableFile(
            f"{name}: line {number} is not JSON ({error})",
            remedy="Write one object a line; was the file still being written? Drop it whole.",
        ) from None


def _parse_json(content: bytes) -> Any:
    """Parse JSON; NaN and Infinity, which some writers leave, become floats that no rule admits."""
    import orjson

    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        try:
            return json.loads(content.decode())
        except RecursionError:
            raise ValueError("nested too deeply") from None


def _from_records(name: str, numbers: Iterable[int], records: list[Any]) -> RawTable:
    builder = _RecordColumns(name)
    builder.add(list(numbers), records)
    return builder.table()


class _RecordColumns:
    """Collects JSON objects as columns, a chunk at a time, so that few objects are held at once."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._numbers: list[int] = []
        self._chunks: dict[str, list[pa.Array]] = {}
        self._refused: list[RefusedRow] = []

    def add(self, numbers: list[int], records: list[Any]) -> None:
        """Take in records, with the number of each in its file."""
        if not all(type(record) is dict for record in records):
            pairs = list(zip(numbers, records, strict=True))
            self._refused += [self._no_object(number, r) for number, r in pairs if type(r) is not dict]
            pairs = [pair for pair in pairs if type(pair[1]) is dict]
            numbers, records = [number for number, _ in pairs], [record for _, record in pairs]
        for name, values in _columns_of(records).items():
            chunks = self._chunks.setdefault(name, [pa.nulls(len(self._numbers))])
            chunks.append(_array(values))
        self._numbers += numbers
        for chunks in self._chunks.values():
            chunks.append(pa.nulls(len(self._numbers) - sum(map(len, chunks))))

    def table(self) -> RawTable:
        """Give all that was taken in."""
        columns = {name: _joined(chunks) for name, chunks in self._chunks.items()}
        numbers = np.array(self._numbers, dtype=np.int64)
        return RawTable(len(numbers), columns, numbers, self._refused)

    def _no_object(self, number: int, value: object) -> RefusedRow:
        problem = Problem(self._name, number, "row", value, "an object", 'Write it as {"strategy_id": …, …}.')
        return RefusedRow((problem,), {"value": value})


def _columns_of(records: list[dict[str, Any]]) -> dict[str, Sequence[Any]]:
    if not records:
        return {}
    names = tuple(records[0])
    if len(names) > 1 and set(map(len, records)) == {len(names)}:
        with suppress(KeyError):  # all have the same keys: taken row by row, in one go
            return dict(zip(names, zip(*map(itemgetter(*names), records), strict=True), strict=True))
    names = tuple(dict.fromkeys(name for record in records for name in record))
    return {name: [record.get(name) for record in records] for name in names}


def _array(values: Sequence[Any]) -> pa.Array:
    """Give Python values as an array: of one type where they have one, else of text."""
    kinds = set(map(type, values)) - {type(None)}
    try:
        if kinds <= {str} or kinds <= {bool}:
            return pa.array(values)
        if kinds <= {int, float}:
            return pa.array(values, type=pa.float64() if float in kinds else pa.int64())
        if kinds <= {str, int, float}:
            texts = pa.array([value if type(value) is str else None for value in values], type=pa.string())
            numbers = pa.array([None if type(value) is str else value for value in values])
            return pc.coalesce(texts, numbers.cast(pa.string()))
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):
        pass
    return pa.array([None if value is None else _as_text(value) for value in values], type=pa.string())


def _joined(chunks: list[pa.Array]) -> pa.Array:
    """Join arrays of one type, or of several as text."""
    types = {chunk.type for chunk in chunks if not pa.types.is_null(chunk.type)}
    if len(types) > 1:
        types = {pa.float64()} if types == {pa.int64(), pa.float64()} else {pa.string()}
    target = types.pop() if types else pa.null()
    return pa.concat_arrays(
        [
            pa.array([None if v is None else _as_text(v) for v in chunk.to_pylist()], type=target)
            if pa.types.is_boolean(chunk.type) and pa.types.is_string(target)
            else chunk.cast(target)
            for chunk in chunks
        ]
    )


def _as_text(value: object) -> str:
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
    return ODD + json.dumps(value, sort_keys=True)


def _read_csv(name: str, content: bytes) -> RawTable:
    from pyarrow import csv

    header = _csv_header(name, content)
    lines = _record_lines(content)
    skipped: list[int] = []
    refused: list[RefusedRow] = []

    def note(row: csv.InvalidRow) -> str:
        rule = f"{row.expected_columns}, as the header has"
        remedy = "Put quotes around text with commas, write numbers without, or drop the row."
        line = int(lines[row.number - 1])
        problem = Problem(name, line, "number of fields", row.actual_columns, rule, remedy)
        refused.append(RefusedRow((problem,), {"text": row.text}))
        skipped.append(row.number - 1)
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
        raise UnreadableFile(f"{name}: not CSV ({error})", remedy="Write UTF-8 text with commas.") from None
    numbers = np.delete(lines, [0, *skipped])[: table.num_rows]
    columns = {
        column.strip(): table.column(i).combine_chunks() for i, column in enumerate(table.column_names)
    }
    return RawTable(table.num_rows, columns, numbers, refused)


def _record_lines(content: bytes) -> npt.NDArray[np.int64]:
    """Give the line of each record, the header being the first; records within quotes are counted instead."""
    count = content.count(b"\n") + 1
    if b'"' in content or not (b"\n\n" in content or b"\n\r\n" in content):
        return np.arange(1, count + 1, dtype=np.int64)
    filled = [number for number, line in enumerate(content.split(b"\n"), start=1) if line.strip(b"\r")]
    return np.array(filled, dtype=np.int64)


def _longest(content: bytes) -> int:
    """Bound the length of the longest record, which a reader's block has to hold."""
    return len(content) if b'"' in content and len(content) < 1 << 24 else 1 << 20


def _csv_header(name: str, content: bytes) -> list[str]:
    import csv as standard_csv

    first_line = content.split(b"\n", 1)[0]
    try:
        header = next(standard_csv.reader([first_line.decode()]))
    except (UnicodeDecodeError, StopIteration, standard_csv.Error) as error:
        raise UnreadableFile(f"{name}: no header ({error})", remedy="Write column names first.") from None
    names = [column.strip() for column in header]
    twice = sorted({column for column in names if names.count(column) > 1})
    if twice or "" in names:
        what = f"column {twice[0]} stands twice" if twice else "a column has no name"
        raise UnreadableFile(f"{name}: {what} in the header", remedy="Name each column once.")
    return header


def _read_parquet(name: str, content: bytes) -> RawTable:
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(pa.BufferReader(content))
        coded = [field.name for field in schema if field.name in _FEW_TEXTS and _is_plain_text(field.type)]
        table = pq.read_table(pa.BufferReader(content), read_dictionary=coded).unify_dictionaries()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UnreadableFile(f"{name}: not Parquet ({error})", remedy="Write it again, whole.") from None
    twice = sorted({column for column in table.column_names if table.column_names.count(column) > 1})
    if twice:
        raise UnreadableFile(f"{name}: column {twice[0]} stands twice", remedy="Name each column once.")
    columns = {column: table.column(column).combine_chunks() for column in table.column_names}
    return RawTable(table.num_rows, columns, np.arange(1, table.num_rows + 1, dtype=np.int64))


def _is_plain_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


_READERS: dict[str, Callable[[str, bytes], RawTable]] = {
    ".json": _read_json,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
