"""Rule: no more than so many equal orders within a window of time.

Equal are orders of one account, strategy and symbol with the same side, quantity (or notional), order type
and prices, whatever their ids. Earlier runs count as far as the window reaches. Source: SEC Rule
15c3-5(c)(1)(ii), duplicative orders; SEC 34-70694 on Knight Capital (one parent order sent again and
again).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from engine.model.columns import NumberColumn, microseconds, number_column, text_column, time_column
from engine.model.quantity import NOT_A_QUANTITY, Ints, to_units
from engine.model.symbols import canonical_symbol
from engine.risk.batch import Batch
from engine.risk.equal_rows import combined, first_equal
from engine.risk.inputs import RiskInputs
from engine.risk.rule import EVERYWHERE_ONLY, Counter, Figure, Limit, RowCells, Rule
from engine.risk.scan import UNKNOWN_CELL
from engine.settings.values import as_count, as_seconds
from engine.text.plain_text import trimmed

_NUMBERS = ("qty", "notional", "limit_price", "stop_price")
_FORMS: Mapping[str, Callable[[str], str]] = {
    "broker_account_id": trimmed,
    "strategy_id": trimmed,
    "symbol": canonical_symbol,
}
_TEXTS = ("broker_account_id", "strategy_id", "symbol", "side", "order_type")


def equal_orders(batch: Batch, inputs: RiskInputs, settings: Mapping[str, Any]) -> RowCells:
    """Return a cell per group of equal orders, with the number of them that earlier runs sent.

    A cell is the first of its rows, earlier orders after those of the batch. A row whose terms are not known
    is of no known cell. Without the earlier orders all cells are unknown, and so is one to which an earlier
    order without a time could belong.
    """
    rows, earlier = batch.rows, inputs.earlier_orders
    if earlier is None:
        return RowCells(np.arange(rows), np.zeros(rows, np.int64), np.zeros(rows, bool))
    counted, sure = _in_window(earlier, inputs, settings["equal_orders_window_s"])
    first = first_equal(
        [
            *combined(*zip(*(_codes(batch, earlier, name) for name in _TEXTS), strict=True)),
            *(np.concatenate([_own_units(batch, name), _units(earlier, name)]) for name in _NUMBERS),
        ]
    )
    cell, of_earlier = first[:rows].copy(), first[rows:]
    known = np.ones(len(first), dtype=bool)
    known[of_earlier[~sure]] = False
    cell[~((batch.qty.known | (_own_units(batch, "notional") > 0)) & (batch.side != 0))] = UNKNOWN_CELL
    return RowCells(cell, np.bincount(of_earlier[counted & sure], minlength=len(first)), known)


def _in_window(
    earlier: pd.DataFrame, inputs: RiskInputs, window_s: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return which earlier orders are in the window, and of which that is known; without one all are."""
    if window_s is None:
        return np.ones(len(earlier), dtype=bool), np.ones(len(earlier), dtype=bool)
    sent = time_column(earlier["sent_at"])
    oldest_us = microseconds(inputs.as_of) - round(window_s * 1e6)
    return sent.us >= oldest_us, sent.given & ~sent.bad


def _codes(batch: Batch, earlier: pd.DataFrame, name: str) -> tuple[Ints, int]:
    """Return the texts of a column as codes, equal ones for one name, and the number of codes."""
    form = _FORMS.get(name, str)
    code_of = {"": 0}
    codes = []
    for column in (batch.text(name), text_column(earlier[name])):
        forms = (form(value) if isinstance(value, str) else "" for value in column.values)
        by_value = [code_of.setdefault(text, len(code_of)) for text in forms]
        codes.append(np.array([*by_value, 0], dtype=np.int64)[column.codes])
    return np.concatenate(codes), len(code_of)


def _own_units(batch: Batch, name: str) -> Ints:
    column = batch.columns.get(name)
    return column.units if isinstance(column, NumberColumn) else np.full(batch.rows, NOT_A_QUANTITY)


def _units(frame: pd.DataFrame, name: str) -> Ints:
    return to_units(number_column(frame[name]).numbers) if len(frame) else np.zeros(0, dtype=np.int64)


RULE = Rule(
    name="duplicate_order",
    source="SEC Rule 15c3-5(c)(1)(ii); SEC 34-70694",
    explain="{equal_orders:g} equal orders before it, limit {equal_orders_limit:g} set by {limit_source}",
    limit=Limit(
        key="max_equal_orders",
        unit="orders",
        parse=as_count,
        meaning="orders of a strategy with the same symbol, side, quantity and prices within the window",
        env="EXEC_MAX_EQUAL_ORDERS",
    ),
    settings=(
        Limit(
            key="equal_orders_window_s",
            unit="seconds",
            parse=as_seconds,
            meaning="how long an order counts against equal ones; unset: the session",
            env="EXEC_EQUAL_ORDERS_WINDOW_S",
            scopes=EVERYWHERE_ONLY,
            looser="lower",
        ),
    ),
    reads=("earlier_orders",),
    figures=(Figure("equal_orders", "orders", "used"), Figure("equal_orders_limit", "orders", "limit")),
    counter=Counter(of="order", by_row=equal_orders),
)
