"""Files of prices or volumes: CSV in UTF-8, or Parquet, read as rows of named cells.

What is wrong with the whole file raises ``DataUnavailable``: it can't be read, lacks a column, or has a row
with another number of cells. What is wrong with one row is a ``Fault``, which makes its symbol unknown.
"""

from __future__ import annotations

import csv
import io
import math
import os
import re
import stat
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

from engine.errors import DataUnavailable
from engine.model.symbols import canonical_symbol
from engine.text.printable import printable, shown

LARGEST_BYTES = 1 << 28
MOST_ROWS = 1_000_000
_FOLDED = re.compile(r"[\s._-]+")
_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_NOT_NUMBERS = frozenset({"nan", "inf", "-inf", "+inf", "infinity", "-infinity"})


class Row(NamedTuple):
    """One row: its line in a CSV file, or its number in a Parquet file, from 1; cells are text or values.

    An empty cell is None.
    """

    place: int
    cells: Mapping[str, Any]


@dataclass(frozen=True)
class Fault:
    """What is wrong with a row; ``symbol`` is canonical, "" where the row names none."""

    symbol: str
    message: str


class BadCell(Exception):
    """The cell of a field breaks its rule; ``wrong`` has rule and remedy."""

    def __init__(self, field: str, wrong: str) -> None:
        super().__init__(f"{field}: {wrong}")
        self.field, self.wrong = field, wrong


def read_rows(path: str, columns: Sequence[str], *, optional: Collection[str] = ()) -> list[Row]:
    """Return the rows of a file with their cells of ``columns``, whose names match ignoring case and blanks.

    Further columns are ignored. Raises ``DataUnavailable`` with file, fault and remedy.
    """
    content = _content(path)
    if path.lower().endswith(".parquet"):
        return _rows_of_parquet(path, content, columns, optional)
    return _rows_of_csv(path, content, columns, optional)


def _content(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - opened so that a pipe doesn't block
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _refused(path, "it is no regular file", "Name the file itself")
            content = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise _refused(path, f"it can't be read ({why})", "Correct the path, or its permissions") from None
    if len(content) > LARGEST_BYTES:
        raise _refused(path, f"it has more than {LARGEST_BYTES} bytes", "Leave out what no order needs")
    return content


def _rows_of_csv(path: str, content: bytes, columns: Sequence[str], optional: Collection[str]) -> list[Row]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = f"the byte {content[error.start]:#04x} is not UTF-8"
        raise _refused(path, found, "Save it as UTF-8", line=line) from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[Row] = []
    try:
        header = next(reader, [])
        at = _columns_at(path, header, columns, optional)
        for cells in reader:
            if not cells:
                continue  # an empty line
            if len(cells) != len(header):
                found = f"it has {len(cells)} cells; expected {len(header)}, as in the header"
                raise _refused(path, found, "Write every cell", line=reader.line_num)
            if len(rows) == MOST_ROWS:
                raise _refused(path, f"it has more than {MOST_ROWS} rows", "Leave out what no order needs")
            rows.append(
                Row(reader.line_num, {name: cells[place].strip() or None for name, place in at.items()})
            )
    except csv.Error as error:
        raise _refused(path, f"it is no CSV ({error})", "Write it again", line=reader.line_num) from None
    return rows


def _rows_of_parquet(
    path: str, content: bytes, columns: Sequence[str], optional: Collection[str]
) -> list[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        names = file.schema_arrow.names
        if file.metadata.num_rows > MOST_ROWS:
            raise _refused(path, f"it has more than {MOST_ROWS} rows", "Leave out what no order needs")
        at = _columns_at(path, names, columns, optional)
        table = file.read(columns=[names[place] for place in at.values()])
        for name, place in at.items():
            form = table.schema.field(names[place]).type
            if pa.types.is_timestamp(form) and form.tz is None:
                found = f"its column {name} has times without a zone"
                raise _refused(path, found, "Write them with a zone, such as UTC")
        values = {name: _in_us(table[names[place]]).to_pylist() for name, place in at.items()}
    except (pa.ArrowException, OSError, ValueError, KeyError, OverflowError) as error:
        why = printable(str(error)).split(". ")[0]
        raise _refused(path, f"it is no readable Parquet ({why})", "Write it again") from None
    return [
        Row(number, dict(zip(values, cells, strict=True)))
        for number, cells in enumerate(zip(*values.values(), strict=True), start=1)
    ]


def _in_us(column: Any) -> Any:
    """Return a column, its times cut to the microsecond."""
    import pyarrow as pa

    if not pa.types.is_timestamp(column.type):
        return column
    return column.cast(pa.timestamp("us", column.type.tz), safe=False)


def _columns_at(
    path: str, header: Sequence[str], columns: Sequence[str], optional: Collection[str]
) -> dict[str, int]:
    """Return where each column stands. Raises ``DataUnavailable`` for one that is missing, or there twice."""
    folded = [_FOLDED.sub("_", name.strip().lower()) for name in header]
    twice = [name for name in columns if folded.count(name) > 1]
    if twice:
        raise _refused(path, f"it has the column {twice[0]} twice", "Leave one of them", line=1)
    missing = [name for name in columns if name not in folded and name not in optional]
    if missing:
        found = f"it has no column {', '.join(missing)}; its first line is {shown(','.join(header))}"
        raise _refused(path, found, f"Write the columns {', '.join(columns)}", line=1)
    return {name: folded.index(name) for name in columns if name in folded}


def _refused(path: str, found: str, remedy: str, *, line: int = 0) -> DataUnavailable:
    place = f"{printable(path)}:{line}" if line else printable(path)
    return DataUnavailable(f"{place}: {found}. {remedy}; nothing of the file is used until then.")


def fault_of(path: str, row: Row, error: BadCell) -> Fault:
    """Return the fault of a cell, with file, row, value, rule and remedy."""
    place = f"{printable(Path(path).name)}:{row.place}"
    message = f"{place}: {error.field} is {shown(row.cells.get(error.field))}; {error.wrong}"
    return Fault(canonical_symbol(str(row.cells.get("symbol") or "")), message)


def repeated(path: str, rows: Sequence[Row]) -> dict[str, Fault]:
    """Return a fault for each symbol that several rows name, in any spelling, by symbol."""
    places: dict[str, list[int]] = {}
    for row in rows:
        places.setdefault(canonical_symbol(str(row.cells["symbol"] or "")), []).append(row.place)
    name = printable(Path(path).name)
    return {
        symbol: Fault(
            symbol,
            f"{name}:{at[1]}: symbol is {shown(symbol)}, as in row {at[0]}; expected one row for each "
            f"symbol. Leave one of them; the symbol is unknown until then.",
        )
        for symbol, at in places.items()
        if len(at) > 1
    }


def number_in(row: Row, field: str, *, below: float, expected: str) -> float:
    """Return a cell as a number from 0, NaN for an empty one. Raises ``BadCell`` for anything else."""
    cell = row.cells.get(field)
    if cell is None:
        return math.nan
    bad = BadCell(field, f"expected {expected}. Write it as, say, 12.5, or leave the cell empty.")
    if isinstance(cell, str):
        if cell.lower() in _NOT_NUMBERS or not _DECIMAL.fullmatch(cell):
            raise bad
    elif isinstance(cell, bool):
        raise bad
    try:
        number = float(cell)
    except (TypeError, ValueError, OverflowError):
        raise bad from None
    if not 0 <= number < below:
        raise bad
    return number


def time_in(row: Row, field: str) -> datetime | None:
    """Return a cell as a time in UTC, None for an empty one. Raises ``BadCell`` for one without a zone."""
    cell = row.cells.get(field)
    bad = BadCell(
        field,
        "expected a time with a zone, in ISO 8601. Write it as, say, 2026-03-02T14:30:00Z or "
        "2026-03-02T09:30:00-05:00.",
    )
    if cell is None:
        return None
    try:
        timestamp = datetime.fromisoformat(cell) if isinstance(cell, str) else cell
        has_zone = isinstance(timestamp, datetime) and timestamp.tzinfo is not None
        found = timestamp.astimezone(UTC) if has_zone else None
    except (ValueError, OverflowError):
        found = None
    if found is None:
        raise bad
    return found


def date_in(row: Row, field: str) -> date | None:
    """Return a cell as a date, None for an empty one. Raises ``BadCell`` for anything else."""
    cell = row.cells.get(field)
    if cell is None:
        return None
    bad = BadCell(field, "expected a date. Write it as, say, 2026-03-02.")
    if isinstance(cell, datetime):
        raise bad
    if isinstance(cell, date):
        return cell
    try:
        found = date.fromisoformat(cell)
    except (TypeError, ValueError):
        raise bad from None
    if found.isoformat() != cell:
        raise bad
    return found
