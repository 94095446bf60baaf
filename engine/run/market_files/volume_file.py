"""Average daily volumes from a file: ``symbol, shares, measured_on``, one row for each symbol."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

import pandas as pd

from engine.model.symbols import canonical_symbol
from engine.run.market_files.table_files import (
    BadCell,
    Fault,
    Row,
    date_in,
    fault_of,
    number_in,
    read_rows,
    repeated,
)

COLUMNS = ("symbol", "shares", "measured_on")
_BOUND = 1e12


@dataclass(frozen=True)
class VolumesRead:
    """The input frame ``average_volumes``, and what is wrong with rows of the file.

    A symbol whose row is wrong has NaN, one without a row none.
    """

    frame: pd.DataFrame
    faults: tuple[Fault, ...] = ()


def read_volume_file(path: str, symbols: Collection[str], *, today: date) -> VolumesRead:
    """Return the volumes of some symbols (canonical); ``today`` is the session.

    Raises ``DataUnavailable`` for a faulty file.
    """
    wanted = frozenset(symbols)
    rows = [
        row for row in read_rows(path, COLUMNS) if canonical_symbol(str(row.cells["symbol"] or "")) in wanted
    ]
    faults = repeated(path, rows)
    volumes: dict[str, tuple[float, str | None]] = {}
    for row in rows:
        symbol = canonical_symbol(str(row.cells["symbol"]))
        if symbol not in faults:
            read = _volume(path, row, today)
            if isinstance(read, Fault):
                faults[symbol] = read
            else:
                volumes[symbol] = read
    volumes |= dict.fromkeys(faults, (math.nan, None))
    found = [(symbol, *volumes[symbol]) for symbol in sorted(volumes)]
    frame = pd.DataFrame(found, columns=list(COLUMNS)).astype({"symbol": "str", "shares": "float64"})
    return VolumesRead(frame, tuple(faults.values()))


def _volume(path: str, row: Row, today: date) -> tuple[float, str] | Fault:
    """Return a row's shares and date, or what is wrong with it."""
    try:
        return _shares(row), _measured_on(row, today)
    except BadCell as error:
        return fault_of(path, row, error)


def _shares(row: Row) -> float:
    shares = number_in(row, "shares", below=_BOUND, expected="a number of shares from 0 to below 1e12")
    if math.isnan(shares):
        raise BadCell("shares", "expected a number of shares. Write it, or leave the row out.")
    return shares


def _measured_on(row: Row, today: date) -> str:
    measured_on = date_in(row, "measured_on")
    if measured_on is None or measured_on > today:
        wrong = f"expected the date of the volume, {today} or earlier. Write it as, say, {today}."
        raise BadCell("measured_on", wrong)
    return measured_on.isoformat()
