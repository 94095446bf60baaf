"""Rule: one order is worth no more than so many dollars.

Buys are valued at the highest of ask, limit and stop, sells at the higher of ask and limit: a strategy's own
price only ever makes an order worth more. Source: SEC Rule 15c3-5(c)(1)(ii), erroneous orders; RTS 6 Art.
15(1)(b), maximum order values.
"""

from __future__ import annotations

import numpy as np

from engine.model.money import LARGEST_AMOUNT, usd_to_units
from engine.risk.rule import Figure, Limit, Rule
from engine.risk.valuing import Valuation
from engine.risk.verdicts import Amounts
from engine.settings.values import as_usd


def amount(valuation: Valuation) -> Amounts:
    """Return what each order is worth; one that is worth more than any amount is worth the largest."""
    worth, beyond = valuation.order_notional, valuation.beyond_any_amount
    return Amounts(np.where(beyond, LARGEST_AMOUNT, worth.units), worth.known | beyond)


RULE = Rule(
    name="max_order_notional_exceeded",
    source="SEC Rule 15c3-5(c)(1)(ii); RTS 6 Art. 15(1)(b)",
    explain=(
        "the order is worth {order_notional_usd:,.2f} USD, limit {order_notional_limit_usd:,.2f} USD set by "
        "{limit_source}"
    ),
    limit=Limit(
        key="max_order_notional_usd",
        unit="USD",
        parse=as_usd,
        meaning="most that one order may be worth",
        env="EXEC_MAX_ORDER_NOTIONAL_USD",
    ),
    reads=("prices",),
    figures=(
        Figure("order_notional_usd", "USD", "total"),
        Figure("order_notional_limit_usd", "USD", "limit"),
    ),
    reducing="pass",
    units=usd_to_units,
    priced_amount=amount,
)
