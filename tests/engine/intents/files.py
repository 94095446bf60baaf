"""Rows as files of every format, and what the engine finds in them."""

from __future__ import annotations

import csv
import gzip
import io
import json
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine.intents.reading import IntentFile, read_intent_file
from engine.model.schema import intents_schema
from engine.settings.variables import DEFAULT_INTAKE, IntakeLimits

Row = dict[str, Any]

SESSION = date(2026, 3, 2)
FILE_TIME_US = 1_772_460_000_000_000
HALF_PAST_TWO = "2026-03-02T14:30:00Z"
HALF_PAST_TWO_US = 1_772_461_800_000_000
ENDINGS = (".json", ".jsonl", ".ndjson", ".csv", ".parquet")
HEADER = "strategy_id,broker_account_id,symbol,side,qty"


def order(**said: Any) -> Row:
    """Return a good intent, one share of SPY, with what is ``said`` instead; None leaves a field out."""
    row = {"strategy_id": "momentum", "broker_account_id": "paper", "symbol": "SPY", "side": "buy", "qty": 1}
    return {name: value for name, value in {**row, **said}.items() if value is not None}


def written(ending: str, rows: list[Row]) -> bytes:
    """Write rows as a file of the kind that ``ending`` says."""
    if ending.endswith(".gz"):
        return gzip.compress(written(ending.removesuffix(".gz"), rows))
    names = list(dict.fromkeys(name for row in rows for name in row))
    if ending == ".json":
        return json.dumps(rows).encode()
    if ending in {".jsonl", ".ndjson"}:
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    if ending == ".parquet":
        return parquet(pa.table({name: pa.array([row.get(name) for row in rows]) for name in names}))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        cells = [row.get(name) for name in names]
        writer.writerow([json.dumps(cell) if isinstance(cell, dict | list) else cell for cell in cells])
    return text.getvalue().encode()


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def orders_with(**columns: pa.Array) -> bytes:
    """Write good intents as Parquet, some of their columns given as arrays of any type."""
    rows = len(next(iter(columns.values())))
    plain = {name: pa.array([value] * rows) for name, value in order().items()}
    return parquet(pa.table({**plain, **columns}))


def read(
    name: str, content: bytes | str, *, on: date = SESSION, limits: IntakeLimits = DEFAULT_INTAKE
) -> IntentFile:
    """Read a file, and see that every row is accounted for and that nothing was too much for the engine."""
    content = content.encode() if isinstance(content, str) else content
    file = read_intent_file(name, content, file_time_us=FILE_TIME_US, trading_date=on, limits=limits)
    assert file.rows == file.table.num_rows + len(file.refused)
    assert file.table.schema == intents_schema()
    file.table.validate(full=True)
    assert not any("can't cope" in message for message in messages(file)), messages(file)
    return file


def read_rows(ending: str, *rows: Row, on: date = SESSION) -> IntentFile:
    return read(f"intents{ending}", written(ending, list(rows)), on=on)


def messages(file: IntentFile) -> list[str]:
    """Return the first thing that is wrong with each refused row."""
    return [refused.first.message for refused in file.refused]


def values(file: IntentFile, column: str) -> list[Any]:
    return list(file.table[column].to_pylist())


def ids(file: IntentFile) -> list[str]:
    return [str(value) for value in values(file, "client_intent_id")]


def places(file: IntentFile) -> tuple[list[int], list[int]]:
    """Return the numbers of the rows that were taken, and of those that were not."""
    return values(file, "source_row"), [refused.first.row for refused in file.refused]
