"""Working orders with their terms: what may still fill of the broker's open orders and of unknown ones."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import NamedTuple

import pandas as pd

from engine.model.breaks import units_of
from engine.model.money import MONEY_UNITS
from engine.model.orders import BrokerOrder, OrderIntent
from engine.model.quantity import UNITS


class WorkingOrder(NamedTuple):
    """One working order, or group of orders, as ``RiskInputs.working_order_terms`` has it.

    ``remaining_qty``: the shares that may still fill, NaN where that is unknown. ``strategy_id`` is None for
    an order of no strategy, so far as any record goes. Prices are in USD per share, ``trail_percent`` in
    percent. ``remaining_notional``: the USD that an order by notional may still cost, NaN where that is
    unknown; None for an order by quantity.
    """

    broker_account_id: str
    symbol: str
    side: str
    remaining_qty: float
    strategy_id: str | None = None
    order_type: str | None = None
    limit_price: float | None = None
    stop_price: float | None = None
    trail_price: float | None = None
    trail_percent: float | None = None
    remaining_notional: float | None = None


_NUMBERS = (
    *("remaining_qty", "limit_price", "stop_price"),
    *("trail_price", "trail_percent", "remaining_notional"),
)


def frame_of(orders: Iterable[WorkingOrder]) -> pd.DataFrame:
    """Return working orders as a frame, one row each, numbers as float64."""
    frame = pd.DataFrame(list(orders), columns=list(WorkingOrder._fields))
    return frame.astype(dict.fromkeys(_NUMBERS, "float64"))


def attempted(account: str, intent: OrderIntent) -> WorkingOrder:
    """Return an order whose outcome is unknown as a working order of its full quantity."""
    return WorkingOrder(
        account,
        intent.symbol,
        intent.side,
        math.nan if intent.qty is None else intent.qty,
        intent.strategy_id,
        intent.order_type,
        intent.limit_price,
        intent.stop_price,
        intent.trail_price,
        intent.trail_percent,
        intent.notional,
    )


def working(account: str, orders: Iterable[BrokerOrder], strategies: Mapping[str, str]) -> list[WorkingOrder]:
    """Return what may still fill, one row per group: the entry, or once that has filled the larger exit.

    ``strategies``: by the broker's id of an order of the group, or by the client id of its head.
    """
    pairs = [(head, order) for head in orders if (order := active(head)) is not None]
    return [
        WorkingOrder(
            account,
            order.symbol,
            order.side,
            remaining(order),
            strategy_of_group(head, strategies),
            order.order_type or None,
            order.limit_price,
            order.stop_price,
            order.trail_price,
            order.trail_percent,
            remaining_notional(order),
        )
        for head, order in pairs
    ]


def strategy_of_group(head: BrokerOrder, strategies: Mapping[str, str]) -> str | None:
    """Return the strategy of a group of orders, None where none of its ids is known."""
    ids = (head.broker_order_id, *(leg.broker_order_id for leg in head.legs), head.client_order_id)
    return next((strategies[one] for one in ids if strategies.get(one)), None)


def active(entry: BrokerOrder) -> BrokerOrder | None:
    """Return the order of a group that may fill: a bracket's entry before its exits, of exits the larger."""
    exits = [leg for leg in entry.legs if not leg.is_final]
    if not entry.is_final:
        exits = [entry, *(leg for leg in exits if leg.side == entry.side)]
    return max(exits, key=_size) if exits else None


def _size(order: BrokerOrder) -> float:
    shares = remaining(order)
    return math.inf if math.isnan(shares) else shares


def remaining(order: BrokerOrder) -> float:
    """Return the shares that may still fill; NaN, which makes the symbol unavailable, where that is unknown.

    They are unknown for an order by notional, even where the broker reports a quantity beside it: that may be
    what has filled so far. An order that filled more than was ordered has none left: it is a break, which
    closes the symbol.
    """
    if order.qty is None or order.notional is not None:
        return math.nan
    return max(0, units_of(order.qty) - units_of(order.filled_qty)) / UNITS


def remaining_notional(order: BrokerOrder) -> float | None:
    """Return the USD that an order by notional may still cost, rounded up to 1e-6; None for one by quantity.

    NaN where the price of what has filled is unknown.
    """
    if order.notional is None:
        return None
    if order.filled_qty == 0:
        return order.notional
    if order.filled_avg_price is None:
        return math.nan
    spent = _exact(order.filled_qty) * _exact(order.filled_avg_price)
    return math.ceil(max(_exact(order.notional) - spent, Fraction(0)) * MONEY_UNITS) / MONEY_UNITS


def _exact(number: float) -> Fraction:
    """Return the decimal that a float stands for."""
    return Fraction(repr(float(number)))
