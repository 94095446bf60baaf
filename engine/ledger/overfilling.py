"""Overfills: an order, or its group, that filled more than was ordered, by the broker's report.

Pure. Nothing that we send can cause an overfill, and no limit was checked for it: the broker has to explain
it. A group may fill its first order's quantity once on each side: two exits that both fill are too much.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.model.breaks import shares, units_of
from engine.model.orders import BrokerFill, BrokerOrder
from engine.model.quantity import BOUND

_ROUNDED = 1.01
"""What the average price of fills, which the broker rounds, may be off by."""
Fills = Mapping[str, Sequence[BrokerFill]]
"""Executions by the broker's id of their order."""


@dataclass(frozen=True)
class Overfill:
    """The ordered and filled units of an order, or of a side of its group, that filled too much."""

    side: str
    ordered: int
    filled: int

    @property
    def said(self) -> str:
        """The figures as a phrase: ``bought 15 of 10 ordered, 5 too many``."""
        traded = "sold" if self.side == "sell" else "bought"
        beyond = shares(self.filled - self.ordered)
        return f"{traded} {shares(self.filled)} of {shares(self.ordered)} ordered, {beyond} too many"


def overfill_of(entry: BrokerOrder, fills: Fills) -> Overfill | None:
    """Return the largest overfill of an order and its legs; None where no more filled than was ordered.

    Filled quantities are those of the orders or of ``fills``, whichever are larger. An order by notional
    orders what its notional buys at the price of its fills (``units_for``).
    """
    group = (entry, *entry.legs)
    filled = {order.broker_order_id: _filled(order, fills) for order in group}
    found = [
        Overfill(order.side, ordered, filled[order.broker_order_id])
        for order in group
        if (ordered := _ordered(order, fills)) is not None
    ]
    if entry.qty is not None:
        for side in dict.fromkeys(order.side for order in entry.legs):
            total = sum(filled[order.broker_order_id] for order in group if order.side == side)
            found.append(Overfill(side, units_of(entry.qty), total))
    beyond = [one for one in found if one.filled > one.ordered]
    return max(beyond, key=lambda one: one.filled - one.ordered, default=None)


def overfill_key(entry: BrokerOrder, overfill: Overfill) -> str:
    """Return the key of an acceptance of an overfill: the order and its filled quantity.

    An order that fills further has another key, and has to be accepted again.
    """
    return f"{entry.broker_order_id}@{overfill.side}:{shares(overfill.filled)}"


def units_for(notional: float | None, average_price: float | None) -> int | None:
    """Return the most units that a notional (USD) buys at an average price; None where that is unknown.

    One percent is added for the rounding of the average.
    """
    if notional is None or not average_price or notional >= BOUND * average_price:
        return None
    return units_of(notional / average_price * _ROUNDED)


def _ordered(order: BrokerOrder, fills: Fills) -> int | None:
    """Return the ordered units; None where they are unknown.

    A quantity beside a notional may be what has filled, so the notional counts.
    """
    if order.notional is None:
        return None if order.qty is None else units_of(order.qty)
    executed = fills.get(order.broker_order_id, ())
    return units_for(order.notional, order.filled_avg_price or _average_price(executed))


def _average_price(executed: Sequence[BrokerFill]) -> float | None:
    shares = math.fsum(fill.qty for fill in executed)
    return math.fsum(fill.qty * fill.price for fill in executed) / shares if shares > 0 else None


def _filled(order: BrokerOrder, fills: Fills) -> int:
    executed = fills.get(order.broker_order_id, ())
    cumulated = [units_of(fill.cum_qty) for fill in executed if fill.cum_qty is not None]
    return max([units_of(order.filled_qty), *cumulated])
