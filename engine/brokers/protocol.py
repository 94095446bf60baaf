"""What the engine asks of a broker."""

from __future__ import annotations

from typing import Protocol

from engine.model.orders import BrokerOrder, OrderIntent


class Broker(Protocol):
    """A venue that takes orders, one at a time.

    Errors: ``BrokerRejected`` where the broker answered no, ``OutcomeUnknown`` where nobody can tell.
    """

    def place_order(self, *, intent: OrderIntent) -> BrokerOrder:
        """Place one order under ``intent.client_intent_id`` and give the broker's description of it."""
        ...

    def cancel_order(self, *, broker_order_id: str) -> BrokerOrder:
        """Ask for an order to be cancelled; the reply is the order's state after asking."""
        ...

    def get_order_status(self, *, broker_order_id: str) -> BrokerOrder:
        """Give the broker's present description of an order."""
        ...
