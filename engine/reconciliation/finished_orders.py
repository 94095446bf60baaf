"""Terminal orders of the last sessions: find what a broker changed since they were booked.

A broker cancels executions (a bust) or corrects their price days after an order has become terminal, when no
run polls that order any more. The order as it is now is compared with its ledger document.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

from engine.accounts.connection import Connection
from engine.errors import BrokerRejected
from engine.model.breaks import OwnOrder, units_of
from engine.model.orders import BrokerOrder
from engine.reconciliation.order_breaks import PRICE_TOLERANCE
from engine.stores.protocols import LedgerStore

Changed = list[tuple[OwnOrder, BrokerOrder]]


@dataclass(frozen=True)
class RecentOrders:
    """The broker's orders of the last sessions, heads of groups, and those that it changed."""

    heads: list[BrokerOrder]
    changed: Changed


def recent_orders(
    ledger: LedgerStore,
    connection: Connection,
    *,
    since: datetime,
    named: Collection[str],
    besides: Collection[str],
) -> RecentOrders:
    """Return the recent orders, and the terminal ones among them that differ from the ledger.

    Recent are those submitted since ``since``, and those ``named`` by the broker's ids. ``besides``: ids, the
    broker's and ours, of orders that are polled anyway. Raises ``BrokerError`` and ``DataUnavailable``.
    """
    heads = list(connection.broker.orders_since(since))
    listed = {order.broker_order_id: order for head in heads for order in (head, *head.legs)}
    older = [order for id_ in named if id_ not in listed and (order := _order(connection, id_))]
    listed |= {order.broker_order_id: order for order in older}
    return RecentOrders([*heads, *older], _changed(listed, ledger, connection, besides))


def _changed(
    listed: Mapping[str, BrokerOrder], ledger: LedgerStore, connection: Connection, besides: Collection[str]
) -> Changed:
    terminal = {
        id_: order
        for id_, order in listed.items()
        if order.is_final and id_ not in besides and order.client_order_id not in besides
    }
    documents = ledger.ledger_documents(terminal) if terminal else {}
    return [
        (_own_order(document), terminal[id_])
        for id_, document in documents.items()
        if document.get("broker_account_id") == connection.account and _is_changed(terminal[id_], document)
    ]


def _order(connection: Connection, broker_order_id: str) -> BrokerOrder | None:
    """Return an order by the broker's id, None where the broker no longer knows it."""
    try:
        return connection.broker.get_order_status(broker_order_id=broker_order_id)
    except BrokerRejected as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
    return None


def _is_changed(order: BrokerOrder, document: Mapping[str, Any]) -> bool:
    """Return whether an order's filled quantity or price differs from its document."""
    if units_of(order.filled_qty) != units_of(float(document.get("filled_qty", 0.0))):
        return True
    ours, theirs = document.get("filled_avg_price"), order.filled_avg_price
    if ours is None or theirs is None:
        return False
    return not abs(ours - theirs) <= PRICE_TOLERANCE * abs(theirs)


def _own_order(document: Mapping[str, Any]) -> OwnOrder:
    qty = document.get("qty")
    return OwnOrder(
        client_intent_id=str(document.get("client_intent_id") or ""),
        broker_order_id=str(document["broker_order_id"]),
        symbol=str(document["symbol"]),
        side=str(document["side"]),
        qty=None if qty is None else float(qty),
        filled_qty=float(document.get("filled_qty", 0.0)),
        filled_avg_price=document.get("filled_avg_price"),
    )
