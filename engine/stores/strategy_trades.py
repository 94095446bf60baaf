"""Trades by strategy and symbol, as the stores of the ledger count them, and what they cost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from typing import Any, NamedTuple

import pandas as pd

from engine.ledger.documents import is_adjustment
from engine.ledger.keys import DocumentKeys, check_symbols
from engine.ledger.strategies import strategy_of
from engine.model.money import MONEY_UNITS
from engine.model.symbols import canonical_symbol


class Trades(NamedTuple):
    """Documents of an account and session that name one strategy and symbol, each of any type.

    ``order_id`` is the id of one of them, ``number`` how many they are.
    """

    account: str
    order_id: str
    strategy_id: Any
    symbol: Any
    number: int = 1


def trades_frame(trades: Iterable[Trades], session: str, place: str) -> pd.DataFrame:
    """Return ``strategy_id, broker_account_id, symbol, trades`` (int64), sorted, one row per key.

    Raises ``AccountsInDoubt`` for a document without a symbol; ``place``, the store's, begins the message.
    """
    rows = list(trades)
    check_symbols(((DocumentKeys(one.order_id, one.account, session), one.symbol) for one in rows), place)
    counts: Counter[tuple[str, str, str]] = Counter()
    for one in rows:
        counts[strategy_of(one.strategy_id), one.account, canonical_symbol(one.symbol)] += one.number
    names = ("strategy_id", "broker_account_id", "symbol")
    keys = sorted(counts)
    columns: dict[str, Any] = {
        name: pd.Series([key[at] for key in keys], dtype="str") for at, name in enumerate(names)
    }
    return pd.DataFrame(columns | {"trades": pd.Series([counts[key] for key in keys], dtype="int64")})


class Filled(NamedTuple):
    """What a document of an account and session says of its fills; every value may be of any type.

    ``adjustment`` is None in the document of an order.
    """

    account: str
    order_id: str
    strategy_id: Any
    symbol: Any
    filled_qty: Any
    filled_avg_price: Any
    adjustment: Any = None


def notional_frame(filled: Iterable[Filled], session: str, place: str) -> pd.DataFrame:
    """Return ``strategy_id, broker_account_id, symbol, notional`` (USD, float64), sorted, one row per key.

    Quantity times average price of each document, exact and rounded up to 1e-6 USD, then added; NaN where a
    document's quantity or price is unknown. Adjustments are no fills. Raises ``AccountsInDoubt`` for a
    document without a symbol.
    """
    orders = [one for one in filled if not is_adjustment(one.order_id, one.adjustment)]
    check_symbols(((DocumentKeys(one.order_id, one.account, session), one.symbol) for one in orders), place)
    spent: dict[tuple[str, str, str], int | None] = {}
    for one in orders:
        key = strategy_of(one.strategy_id), one.account, canonical_symbol(one.symbol)
        before, micros = spent.get(key, 0), cost_in_units(one.filled_qty, one.filled_avg_price)
        spent[key] = None if before is None or micros is None else before + micros
    names = ("strategy_id", "broker_account_id", "symbol")
    keys = sorted(spent)
    columns: dict[str, Any] = {
        name: pd.Series([key[at] for key in keys], dtype="str") for at, name in enumerate(names)
    }
    totals = (spent[key] for key in keys)
    notional = [math.nan if total is None else total / MONEY_UNITS for total in totals]
    return pd.DataFrame(columns | {"notional": pd.Series(notional, dtype="float64")})


def cost_in_units(qty: Any, price: Any) -> int | None:
    """Return a quantity times a price in units of 1e-6 USD, rounded up; None where either is unknown."""
    if _is_figure(qty) and qty == 0:
        return 0
    if not (_is_figure(qty) and _is_figure(price)):
        return None
    return math.ceil(Fraction(repr(qty)) * Fraction(repr(price)) * MONEY_UNITS)


def _is_figure(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
