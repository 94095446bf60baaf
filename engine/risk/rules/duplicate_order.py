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

    A row whose terms are not known is of no known cell. Without the earlier orders all cells are unknown,
    and so is one to which an earlier order without a time could belong.
    """
    own = pd.DataFrame({name: _own_texts(batch, name) for name in _TEXTS})
    own = own.assign(**{name: _own_units(batch, name) for name in _NUMBERS})
    earlier = inputs.earlier_orders
    if earlier is None:
        return RowCells(np.arange(batch.rows), np.zeros(batch.rows, np.int64), np.zeros(batch.rows, bool))
    before = pd.DataFrame({name: _texts(earlier, name) for name in _TEXTS})
    before = before.assign(**{name: _units(earlier, name) for name in _NUMBERS})
    counted, sure = _in_window(earlier, inputs, settings["equal_orders_window_s"])
    groups = pd.concat([own, before], ignore_index=True).groupby(
        [*_TEXTS, *_NUMBERS], sort=False, dropna=False
    )
    numbers = groups.ngroup().to_numpy(dtype=np.int64)
    cell, of_earlier = numbers[: batch.rows].copy(), numbers[batch.rows :]
    count = int(numbers.max(initial=-1)) + 1
    known = np.ones(count, dtype=bool)
    known[of_earlier[~sure]] = False
    has_terms = (batch.qty.known | (own["notional"] > 0).to_numpy()) & (batch.side != 0)
    cell[~has_terms] = UNKNOWN_CELL
    return RowCells(cell, np.bincount(of_earlier[counted & sure], minlength=count), known)


def _in_window(
    earlier: pd.DataFrame, inputs: RiskInputs, window_s: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return which earlier orders are in the window, and of which that is known; without one all are."""
    if window_s is None:
        return np.ones(len(earlier), dtype=bool), np.ones(len(earlier), dtype=bool)
    sent = time_column(earlier["sent_at"])
    oldest_us = microseconds(inputs.as_of) - round(window_s * 1e6)
    return sent.us >= oldest_us, sent.given & ~sent.bad


def _own_texts(batch: Batch, name: str) -> list[str]:
    column = batch.text(name)
    return _by_row(column.values, column.codes, name)


def _texts(frame: pd.DataFrame, name: str) -> list[str]:
    column = text_column(frame[name])
    return _by_row(column.values, column.codes, name)


def _by_row(values: Any, codes: Any, name: str) -> list[str]:
    form = _FORMS.get(name, str)
    forms = [form(value) if isinstance(value, str) else "" for value in values]
    return [forms[code] if code >= 0 else "" for code in codes.tolist()]


def _own_units(batch: Batch, name: str) -> Ints:
    column = batch.columns.get(name)
    if not isinstance(column, NumberColumn):
        return np.full(batch.rows, NOT_A_QUANTITY)
    return to_units(column.numbers)


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
