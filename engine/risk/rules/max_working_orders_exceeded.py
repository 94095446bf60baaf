"""Rule: no more than so many orders open at the broker at once.

Counted are the working orders and every order allowed before in the batch, whether it will rest or not.
Source: FIA 2024 (limits on open orders); RTS 6 Art. 15(1)(d).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.risk.cells import Cells, names_every
from engine.risk.inputs import RiskInputs
from engine.risk.rule import OF_STRATEGIES, Counter, Figure, Limit, Rule, Used
from engine.settings.values import as_count


def working(cells: Cells, inputs: RiskInputs, settings: Mapping[str, Any]) -> Used:
    """Return the number of working orders per cell."""
    orders = inputs.working_order_terms if cells.basis.strategy else inputs.working_orders
    if orders is not None and not (
        names_every(orders, "broker_account_id") and names_every(orders, "symbol")
    ):
        orders = None  # one of no account, or of no symbol, may be any strategy's too
    if orders is not None and cells.basis.strategy:
        orders = orders[orders["strategy_id"].notna()]
    codes = None if orders is None else cells.codes(orders)
    if codes is None:
        return Used(np.zeros(cells.count, dtype=np.int64), np.zeros(cells.count, dtype=bool))
    return Used(np.bincount(codes[codes >= 0], minlength=cells.count), np.ones(cells.count, dtype=bool))


RULE = Rule(
    name="max_working_orders_exceeded",
    source="FIA 2024; RTS 6 Art. 15(1)(d)",
    explain="{working_orders:g} orders open before it, limit {working_orders_limit:g} set by {limit_source}",
    limit=Limit(
        key="max_working_orders",
        unit="orders",
        parse=as_count,
        meaning="orders of an account open at once; in sections of symbols and strategies, of these in it",
        env="EXEC_MAX_WORKING_ORDERS",
    ),
    reads_by_level={"working_order_terms": OF_STRATEGIES},
    figures=(Figure("working_orders", "orders", "used"), Figure("working_orders_limit", "orders", "limit")),
    counter=Counter(of="order", used=working),
)
