"""The public broker protocol."""

from __future__ import annotations

from typing import Protocol

from engine.model.orders import BrokerOrder, OrderIntent


class Broker(Protocol):
    """A venue that takes orders, one at a time.

    Raises ``BrokerRejected`` where the broker refuses, ``OutcomeUnknown`` where the outcome is unknown.
    """

    def place_order(self, *, intent: OrderIntent) -> BrokerOrder:
        """Place one order under ``intent.client_intent_id`` and return it as the broker reports it."""
        ...

    def cancel_order(self, *, broker_order_id: str) -> BrokerOrder:
        """Request the cancellation of an order and return its state afterwards."""
        ...

    def get_order_status(self, *, broker_order_id: str) -> BrokerOrder:
        """Return an order's current state."""
        ...
