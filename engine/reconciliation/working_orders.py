"""What may still fill at the broker: working orders, one row for each group."""

from __future__ import annotations

import math
from collections.abc import Iterable

from engine.model.breaks import units_of
from engine.model.orders import BrokerOrder
from engine.model.quantity import UNITS

Working = tuple[str, str, str, float]
"""Account, symbol, side and the shares that may still fill."""


def working(account: str, orders: Iterable[BrokerOrder]) -> list[Working]:
    """Return what may still fill, one row per group: the entry, or once that has filled the larger exit."""
    at_work = filter(None, map(active, orders))
    return [(account, order.symbol, order.side, _remaining(order)) for order in at_work]


def active(entry: BrokerOrder) -> BrokerOrder | None:
    """Return the order of a group that may fill: a bracket's entry before its exits, of exits the larger."""
    exits = [leg for leg in entry.legs if not leg.is_final]
    if not entry.is_final:
        exits = [entry, *(leg for leg in exits if leg.side == entry.side)]
    return max(exits, key=_size) if exits else None


def _size(order: BrokerOrder) -> float:
    remaining = _remaining(order)
    return math.inf if math.isnan(remaining) else remaining


def _remaining(order: BrokerOrder) -> float:
    """Return the shares that may still fill; NaN, which makes the symbol unavailable, where that is unknown.

    An order that filled more than was ordered has none left: it is a break, which closes the symbol.
    """
    if order.qty is None:
        return math.nan
    return max(0, units_of(order.qty) - units_of(order.filled_qty)) / UNITS
