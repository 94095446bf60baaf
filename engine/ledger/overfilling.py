"""More filled than was ordered: found in what a broker reports of an order and of its group.

Pure. Nothing that we send can cause it, and no limit was checked for it: the broker has to explain it. A
group may fill what its first order asks for once on each side: two exits that both fill are too much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.model.breaks import shares, units_of
from engine.model.orders import BrokerFill, BrokerOrder

_ROUNDED = 1.01
Fills = Mapping[str, Sequence[BrokerFill]]
"""Executions by the broker's id of their order."""


@dataclass(frozen=True)
class Overfill:
    """What of an order, or of a side of its group, has filled beyond what was ordered; in units."""

    side: str
    ordered: int
    filled: int

    @property
    def said(self) -> str:
        """The figures in words: ``bought 15 of 10 ordered, 5 too many``."""
        traded = "sold" if self.side == "sell" else "bought"
        beyond = shares(self.filled - self.ordered)
        return f"{traded} {shares(self.filled)} of {shares(self.ordered)} ordered, {beyond} too many"


def overfill_of(entry: BrokerOrder, fills: Fills) -> Overfill | None:
    """Return the largest overfill of an order and its legs; None where no more filled than was ordered.

    By the orders or by ``fills``, whichever has more. An order by notional orders what it buys at the price
    that it filled at, and one percent for what is rounded.
    """
    group = (entry, *entry.legs)
    filled = {order.broker_order_id: _filled(order, fills) for order in group}
    found = [
        Overfill(order.side, ordered, filled[order.broker_order_id])
        for order in group
        if (ordered := _ordered(order)) is not None
    ]
    if entry.qty is not None:
        for side in dict.fromkeys(order.side for order in entry.legs):
            total = sum(filled[order.broker_order_id] for order in group if order.side == side)
            found.append(Overfill(side, units_of(entry.qty), total))
    beyond = [one for one in found if one.filled > one.ordered]
    return max(beyond, key=lambda one: one.filled - one.ordered, default=None)


def overfill_key(entry: BrokerOrder, overfill: Overfill) -> str:
    """Return what an acceptance of an overfill names: the order and how much of it has filled.

    An order that fills still more is news again.
    """
    return f"{entry.broker_order_id}@{overfill.side}:{shares(overfill.filled)}"


def _ordered(order: BrokerOrder) -> int | None:
    """Return what an order asks for, in units; None where that is unknown."""
    if order.qty is not None:
        return units_of(order.qty)
    if order.notional is None or not order.filled_avg_price:
        return None
    return units_of(order.notional / order.filled_avg_price * _ROUNDED)


def _filled(order: BrokerOrder, fills: Fills) -> int:
    executed = fills.get(order.broker_order_id, ())
    cumulated = [units_of(fill.cum_qty) for fill in executed if fill.cum_qty is not None]
    return max([units_of(order.filled_qty), *cumulated])
