"""Prices from a file: ``symbol, bid, ask, last, quote_at``, one row for each symbol.

An empty bid, ask or last is unknown, a bid or ask of 0 has no order on its side. A row that can't be read
makes its symbol unpriced, and so do two rows of one symbol. No cell is ever taken for 0.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from engine.brokers.quotes import ABSENT, OK, UNREADABLE, Quote
from engine.model.quantity import BOUND, NOT_A_QUANTITY, to_units
from engine.model.symbols import canonical_symbol
from engine.run.market_files.table_files import (
    BadCell,
    Fault,
    Row,
    fault_of,
    number_in,
    read_rows,
    repeated,
    time_in,
)

COLUMNS = ("symbol", "bid", "ask", "last", "quote_at")
_PRICE = "a number from 0 to below 1e9 with at most 9 decimals and 15 significant digits"


@dataclass(frozen=True)
class QuotesRead:
    """The quotes of a file by symbol, and what is wrong with rows of it."""

    quotes: dict[str, Quote]
    faults: tuple[Fault, ...] = ()


def read_price_file(path: str, symbols: Collection[str]) -> QuotesRead:
    """Return a file's quotes of some symbols (canonical). Raises ``DataUnavailable`` for a faulty file."""
    wanted = frozenset(symbols)
    rows = [
        row
        for row in read_rows(path, COLUMNS, optional=("last",))
        if canonical_symbol(str(row.cells["symbol"] or "")) in wanted
    ]
    faults = repeated(path, rows)
    quotes: dict[str, Quote] = {}
    for row in rows:
        symbol = canonical_symbol(str(row.cells["symbol"]))
        if symbol not in faults:
            read = _quote(path, symbol, row)
            if isinstance(read, Fault):
                faults[symbol] = read
            else:
                quotes[symbol] = read
    quotes |= {symbol: Quote(symbol, verdict=UNREADABLE) for symbol in faults}
    return QuotesRead(quotes, tuple(faults.values()))


def _quote(path: str, symbol: str, row: Row) -> Quote | Fault:
    """Return a row's quote, or what is wrong with it."""
    try:
        bid, ask, last = (_price(row, field) for field in ("bid", "ask", "last"))
        quote_at = time_in(row, "quote_at")
        has_quote = not (math.isnan(bid) and math.isnan(ask))
        _check_time(quote_at, has_quote=has_quote)
    except BadCell as error:
        return fault_of(path, row, error)
    return Quote(symbol, bid, ask, last, quote_at, OK if has_quote else ABSENT)


def _check_time(quote_at: datetime | None, *, has_quote: bool) -> None:
    if quote_at is None and has_quote:
        raise BadCell("quote_at", "expected the time of the quote, with a zone. Write it in each row.")


def _price(row: Row, field: str) -> float:
    price = number_in(row, field, below=BOUND, expected=_PRICE)
    if not math.isnan(price) and to_units(np.array([price]))[0] == NOT_A_QUANTITY:
        raise BadCell(field, f"expected {_PRICE}. Round it, or leave the cell empty.")
    return price
