"""Words and numbers of rows, read exactly."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

Row = dict[str, Any]

QUANTITY_BOUND = Decimal(10**9)
DECIMALS = 9
DIGITS = 15


def is_cancel(row: Row) -> bool:
    return bool(row.get("action") == "cancel")


def given(row: Row, name: str) -> bool:
    return not is_missing(row.get(name))


def is_missing(value: Any) -> bool:
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


def is_text(value: Any, *, longest: int = 128) -> bool:
    if not isinstance(value, str) or not 1 <= len(value) <= longest or value != value.strip():
        return False
    return value.isprintable() and unicodedata.normalize("NFKC", value) == value


def is_symbol(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[A-Z0-9./-]{1,32}", value) is not None


def is_intent_id(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,48}", value) is not None


def is_timestamp(value: Any) -> bool:
    return isinstance(value, datetime) and not is_missing(value) and value.tzinfo is not None


def is_quantity(value: Any) -> bool:
    """Return whether ``value`` is a number above 0, below 1e9, of at most 9 decimals and 15 digits."""
    amount = number(value)
    if amount is None or not amount.is_finite() or not 0 < amount < QUANTITY_BOUND:
        return False
    _, digits, exponent = amount.normalize().as_tuple()
    return isinstance(exponent, int) and -exponent <= DECIMALS and len(digits) <= DIGITS


def number(value: Any) -> Decimal | None:
    """Read a number as it would be printed: 0.1 is one tenth. What is missing or no number is None."""
    if is_missing(value) or isinstance(value, bool | np.bool_):
        return None
    if isinstance(value, int | np.integer):
        return Decimal(int(value))
    if isinstance(value, float | np.floating):
        return Decimal(repr(float(value)))
    return None


def exact(value: float) -> Decimal:
    amount = number(value)
    assert amount is not None, value
    return amount


def count_of(value: Any) -> Decimal | None:
    """Return a whole number of things, None for what is none."""
    amount = number(value)
    if amount is None or not amount.is_finite() or amount < 0 or amount != amount.to_integral_value():
        return None
    return amount


def in_units(qty: Decimal) -> Decimal:
    """Round to the unit that quantities are held in: 1e-9 of a share."""
    return qty.quantize(Decimal("1e-9"))


def key_of(row: Row) -> tuple[Any, Any]:
    return row.get("broker_account_id"), instrument(row.get("symbol"))


def instrument(symbol: Any) -> Any:
    """Return the one name of an instrument that has several."""
    names = {"BRK/B": "BRK.B", "BRK-B": "BRK.B", "BTCUSD": "BTC/USD", "BTC-USD": "BTC/USD"}
    return names.get(symbol, symbol) if isinstance(symbol, str) else symbol


def records(frame: pd.DataFrame | None) -> list[Row] | None:
    return None if frame is None else rows_of(frame)


def rows_of(frame: pd.DataFrame) -> list[Row]:
    names = list(frame.columns)
    columns = [frame.iloc[:, nth].tolist() for nth in range(len(names))]
    return [dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True)]


def has_null_key(rows: list[Row], *names: str) -> bool:
    return any(is_missing(row[name]) for row in rows for name in names)
