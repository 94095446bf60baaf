"""Our records of orders, as the comparison of both books takes them."""

from __future__ import annotations

from dataclasses import replace

from engine.model.breaks import Accepted, OwnOrder, units_of
from engine.model.orders import BrokerOrder
from engine.model.quantity import UNITS
from engine.reconciliation.open_order_recovery import Recovered
from engine.record.open_orders import OpenOrder


def as_accepted(order: OwnOrder, accepted: Accepted) -> OwnOrder:
    """Return our order with the filled quantity that was last accepted; its price is then unknown."""
    filled = accepted.filled.get(order.broker_order_id or order.client_intent_id)
    if filled is None or filled == units_of(order.filled_qty):
        return order
    return replace(order, filled_qty=filled / UNITS, filled_avg_price=None)


def own_order(one: OpenOrder, order: BrokerOrder | None, left: Recovered) -> OwnOrder:
    """Return our record of an order that an earlier run left."""
    filled = left.documents[order.broker_order_id] if order else {}
    return OwnOrder(
        client_intent_id=str(one.intent.client_intent_id),
        broker_order_id=order.broker_order_id if order else one.broker_order_id or "",
        symbol=one.intent.symbol,
        side=one.intent.side,
        qty=one.intent.qty,
        filled_qty=float(filled.get("filled_qty", 0.0)),
        filled_avg_price=filled.get("filled_avg_price"),
        is_open=one in left.missing or (order is not None and not order.is_final),
        looked_up="a request for its id finds no order" if one in left.missing else "",
    )
