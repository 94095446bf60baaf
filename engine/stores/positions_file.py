"""Positions in a file from a person or another system: read whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from engine.errors import UnreadableFile
from engine.model.quantity import NOT_A_QUANTITY, to_units
from engine.model.schema import SYMBOL_PATTERN, TEXT_LENGTH
from engine.model.symbols import canonical_symbol
from engine.text.plain_text import VISIBLE, is_plain, trimmed
from engine.text.printable import printable

PROBLEMS_SHOWN = 10
REQUIRED = ("broker_account_id", "symbol", "qty")
OPTIONAL = ("avg_price", "market_value")
PASSED_OVER = ("updated_at", "raw")
"""Columns that a file may have and that loading ignores and sets itself."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_SYMBOL = re.compile(SYMBOL_PATTERN)
_REMEDY = "Nothing was loaded; correct the file and load it again."
_SHOWN_LENGTH = 60


@dataclass(frozen=True)
class _Table:
    """A file's content by column, as found: text, numbers (``Decimal``), None for nothing.

    ``rows`` are the lines of a CSV or JSON Lines file, the 1-based rows of any other.
    """

    name: str
    rows: Sequence[int]
    columns: dict[str, list[Any]]

    def problem(self, index: int, field: str, rule: str, remedy: str) -> str:
        cell = self.columns[field][index]
        text = printable(str(cell) if isinstance(cell, Decimal) else repr(cell))
        shown = text if len(text) <= _SHOWN_LENGTH else text[:_SHOWN_LENGTH] + "…"
        return f"{self.name}:{self.rows[index]}: {field} is {shown}; expected {rule}. {remedy}"


def read_positions_file(path: Path) -> pd.DataFrame:
    """Read positions from CSV, JSON, JSON Lines or Parquet, by the file's extension, in UTF-8.

    Return ``broker_account_id, symbol`` (text), ``qty`` (float64, signed shares, 0 for flat), ``avg_price``
    and ``market_value`` (float64, NaN where missing), in the file's order, with one row per account and
    symbol. Text is trimmed, symbols are in their canonical form.

    Raises ``UnreadableFile`` with the problems, up to ``PROBLEMS_SHOWN``.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise UnreadableFile(
            f"{path.name}: the extension is {path.suffix!r}; expected .csv, .json, .jsonl or .parquet",
            remedy="Give the file the extension of its format, or convert it.",
        )
    try:
        table = reader(path)
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    except (ValueError, RecursionError, csv.Error) as error:
        raise _unreadable(path, str(error)) from error
    _check_columns(table)
    frame, problems = _checked(table)
    if problems:
        raise _refusal(path.name, problems)
    return frame


def _read_csv(path: Path) -> _Table:
    # The standard library's reader knows lines and is strict: pandas completes short rows silently.
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    header = next(reader, [])
    lines, cells = [], []
    for row in reader:
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(header):
            raise ValueError(
                f"line {reader.line_num} has {len(row)} cells where the header has {len(header)}"
            )
        lines.append(reader.line_num)
        cells.append(row)
    columns = [list(column) for column in zip(*cells, strict=True)] or [[] for _ in header]
    return _Table(path.name, lines, _named(header, columns))


def _read_json(path: Path) -> _Table:
    found = _parsed(_text(path))
    records = found if isinstance(found, list) else [found]
    return _from_records(path.name, range(1, len(records) + 1), records)


def _read_json_lines(path: Path) -> _Table:
    lines, records = [], []
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if line.strip():
            lines.append(number)
            try:
                records.append(_parsed(line))
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from error
    return _from_records(path.name, lines, records)


def _read_parquet(path: Path) -> _Table:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.ParquetFile(path).read()
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error
    columns = [[_number_or_same(value) for value in column.to_pylist()] for column in table.columns]
    return _Table(path.name, range(1, table.num_rows + 1), _named(table.column_names, columns))


_READERS = {
    ".csv": _read_csv,
    ".json": _read_json,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".parquet": _read_parquet,
}


def _text(path: Path) -> str:
    text = path.read_bytes().decode("utf-8-sig")
    if "\0" in text:
        raise ValueError("it holds NUL bytes")
    return text


def _parsed(text: str) -> Any:
    return json.loads(
        text, parse_float=Decimal, parse_int=Decimal, parse_constant=Decimal, object_pairs_hook=_object
    )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError(f"an object names a field twice ({', '.join(name for name, _ in pairs)})")
    return record


def _from_records(name: str, rows: Sequence[int], records: list[Any]) -> _Table:
    for row, record in zip(rows, records, strict=True):
        if type(record) is not dict:
            raise ValueError(f"row {row} is {str(record)[:_SHOWN_LENGTH]!r}; expected an object")
    names = list(dict.fromkeys(field for record in records for field in record))
    return _Table(name, rows, _named(names, [[record.get(field) for record in records] for field in names]))


def _named(names: Sequence[str], columns: list[list[Any]]) -> dict[str, list[Any]]:
    trimmed = [name.strip().lower() for name in names]
    repeated = {name for name in trimmed if trimmed.count(name) > 1}
    if repeated:
        raise ValueError(f"it has two columns {', '.join(sorted(repeated))}")
    return dict(zip(trimmed, columns, strict=True))


def _number_or_same(value: Any) -> Any:
    if isinstance(value, float):  # frames have NaN for a missing value
        return None if isnan(value) else Decimal(repr(value))
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _check_columns(table: _Table) -> None:
    missing = [name for name in REQUIRED if name not in table.columns]
    unknown = [name for name in table.columns if name not in (*REQUIRED, *OPTIONAL, *PASSED_OVER)]
    if table.rows and (missing or unknown):
        wrong = [f"lacks {name}" for name in missing] + [
            f"has an unknown column {name!r}" for name in unknown
        ]
        raise UnreadableFile(
            f"{table.name}: it {', '.join(wrong)}; expected {', '.join(REQUIRED)} and, if known, "
            f"{', '.join(OPTIONAL)}",
            remedy=_REMEDY,
        )
    if not table.rows:
        raise UnreadableFile(
            f"{table.name}: it holds no positions",
            remedy="If the account is flat, write a row for it with qty 0 and load the file again.",
        )


def _checked(table: _Table) -> tuple[pd.DataFrame, list[str]]:
    texts = {
        "broker_account_id": [_plain_text(value) for value in table.columns["broker_account_id"]],
        "symbol": [_symbol(value) for value in table.columns["symbol"]],
    }
    numbers = {"qty": _quantities(table.columns["qty"])}
    for name in OPTIONAL:
        cells = table.columns.get(name, [None] * len(table.rows))
        numbers[name] = [math.nan if _is_blank(cell) else _finite(cell) for cell in cells]
    found = [
        *_problems(table, "broker_account_id", texts["broker_account_id"], _ACCOUNT_WORDS),
        *_problems(table, "symbol", texts["symbol"], _SYMBOL_WORDS),
        *_problems(table, "qty", numbers["qty"], _QTY_WORDS),
        *(problem for name in OPTIONAL for problem in _problems(table, name, numbers[name], _PRICE_WORDS)),
        *_repetitions(table, texts),
    ]
    problems = [text for _, text in sorted(found, key=lambda entry: entry[0])]
    if problems:
        return pd.DataFrame(), problems
    typed = {name: pd.Series(values, dtype="str") for name, values in texts.items()}
    return pd.DataFrame(typed | {name: pd.Series(v, dtype="float64") for name, v in numbers.items()}), []


_ACCOUNT_WORDS = (
    f"text of 1 to {TEXT_LENGTH} characters, {VISIBLE}",
    "Write the account's id, in JSON and Parquet as text.",
)
_SYMBOL_WORDS = ("1 to 32 characters of A-Z 0-9 . / -", "Write the broker's symbol, such as SPY.")
_QTY_WORDS = (
    "a number below 1e9 in size with at most 9 decimals and 15 significant digits",
    "Write digits with a decimal point, such as 1.5, or -1.5 for a short position.",
)
_PRICE_WORDS = ("a finite number", "Write digits with a decimal point, or leave it out.")


def _problems(
    table: _Table, field: str, values: Sequence[object], words: tuple[str, str]
) -> Iterator[tuple[int, str]]:
    for index, value in enumerate(values):
        if value is None:
            yield index, table.problem(index, field, *words)


def _repetitions(table: _Table, texts: dict[str, list[str | None]]) -> Iterator[tuple[int, str]]:
    first: dict[tuple[str | None, str | None], int] = {}
    for index, key in enumerate(zip(texts["broker_account_id"], texts["symbol"], strict=True)):
        earlier = first.setdefault(key, index)
        if earlier != index and None not in key:
            at = table.rows[earlier]
            rule = f"each symbol once per account, and row {at} has {key[1]} for {key[0]} already"
            yield index, table.problem(index, "symbol", rule, "Drop one of the two.")


def _plain_text(value: object) -> str | None:
    if not isinstance(value, str):
        return None
    text = trimmed(value)
    return text if 0 < len(text) <= TEXT_LENGTH and is_plain(text) else None


def _symbol(value: object) -> str | None:
    symbol = canonical_symbol(trimmed(value)) if isinstance(value, str) else ""
    return symbol if _SYMBOL.fullmatch(symbol) else None


def _decimal(value: object) -> Decimal | None:
    if isinstance(value, Decimal):
        return value
    text = value.strip() if isinstance(value, str) else ""
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def _quantities(cells: Sequence[object]) -> list[float | None]:
    """Return the numbers that are exact in float64 and in units; None for the others."""
    numbers = [_decimal(cell) for cell in cells]
    floats = [math.nan if number is None else float(number) + 0.0 for number in numbers]
    exact = to_units(np.array(floats)) != NOT_A_QUANTITY
    return [
        value if fits and Decimal(repr(value)) == number else None
        for number, value, fits in zip(numbers, floats, exact.tolist(), strict=True)
    ]


def _finite(cell: object) -> float | None:
    number = _decimal(cell)
    value = math.nan if number is None else float(number)
    return value if math.isfinite(value) else None


def _is_blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _unreadable(path: Path, why: str) -> UnreadableFile:
    kind = path.suffix.lower().removeprefix(".")
    return UnreadableFile(f"{path.name}: can't be read as {kind} ({why.rstrip('.')})", remedy=_REMEDY)


def _refusal(name: str, problems: list[str]) -> UnreadableFile:
    shown = problems[:PROBLEMS_SHOWN]
    left_out = f", of which the first {len(shown)}" if len(problems) > len(shown) else ""
    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    return UnreadableFile(f"{name}: {count}{left_out}", problems=shown, remedy=_REMEDY)
