"""Rule: no order whose strategy itself expects it to slip further than the limit.

``estimated_slippage`` is a fraction (0.002 is 0.2 %), judged by its size: some strategies write a cost as a
negative number. An order that doesn't say how far it may slip is unavailable. Source: RTS 6 Art. 15(1)(a),
price collars; FIA 2024 (price tolerance).
"""

from __future__ import annotations

import numpy as np

from engine.model.columns import NumberColumn
from engine.model.quantity import BOUND, UNITS, shares_to_units
from engine.risk.batch import Batch
from engine.risk.inputs import RiskInputs
from engine.risk.rule import Figure, Limit, Rule
from engine.risk.verdicts import Amounts
from engine.settings.values import as_fraction

_MOST = int(BOUND) * UNITS


def amount(batch: Batch, inputs: RiskInputs) -> Amounts:
    """Return the size of each order's estimated slippage in units of 1e-9, rounded up."""
    column = batch.columns.get("estimated_slippage")
    if not isinstance(column, NumberColumn):
        return Amounts(np.zeros(batch.rows, dtype=np.int64), np.zeros(batch.rows, dtype=bool))
    size = np.abs(column.numbers)
    known = np.isfinite(size)
    size = np.where(known, np.minimum(size, BOUND), 0.0)
    exact = NumberColumn(size).units
    rounded_up = np.minimum(np.floor(size * UNITS) + 1, float(_MOST)).astype(np.int64)
    return Amounts(np.where(exact >= 0, exact, rounded_up), known)


RULE = Rule(
    name="max_slippage_exceeded",
    source="RTS 6 Art. 15(1)(a); FIA 2024",
    explain="the estimated slippage is {slippage}, limit {slippage_limit} set by {limit_source}",
    limit=Limit(
        key="max_slippage",
        unit="fraction",
        parse=as_fraction,
        meaning="largest estimated_slippage of an order, as a fraction: 0.01 is 1 %",
        env="EXEC_MAX_SLIPPAGE",
    ),
    figures=(Figure("slippage", "fraction", "total"), Figure("slippage_limit", "fraction", "limit")),
    units=shares_to_units,
    amount=amount,
)
