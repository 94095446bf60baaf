"""Rule: one order is for no more than so many shares.

Source: SEC Rule 15c3-5(c)(1)(ii), erroneous orders; RTS 6 Art. 15(1)(c), maximum order volumes.
"""

from __future__ import annotations

from engine.model.quantity import shares_to_units
from engine.risk.batch import Batch
from engine.risk.inputs import RiskInputs
from engine.risk.rule import Figure, Limit, Rule
from engine.risk.verdicts import Amounts
from engine.settings.values import as_quantity


def amount(batch: Batch, inputs: RiskInputs) -> Amounts:
    """Return the quantity of each order; that of one by notional is known only where a quote gives it."""
    return batch.traded


RULE = Rule(
    name="max_order_qty_exceeded",
    source="SEC Rule 15c3-5(c)(1)(ii); RTS 6 Art. 15(1)(c)",
    explain="the order is for {intent_qty:,g} shares, limit {order_qty_limit:,g} set by {limit_source}",
    limit=Limit(
        key="max_order_qty",
        unit="shares",
        parse=as_quantity,
        meaning="largest quantity of one order",
        env="EXEC_MAX_ORDER_QTY",
    ),
    figures=(Figure("intent_qty", "shares", "total"), Figure("order_qty_limit", "shares", "limit")),
    reducing="pass",
    units=shares_to_units,
    amount=amount,
)
