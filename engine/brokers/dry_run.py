"""A broker that sends nothing."""

from __future__ import annotations

from engine.errors import BrokerRejected
from engine.model.orders import BrokerOrder, OrderIntent

NOT_FOUND = 404


class DryRunBroker:
    """Accepts every order and sends none; nothing can be cancelled or looked up afterwards."""

    def place_order(self, *, intent: OrderIntent) -> BrokerOrder:
        """Return the order that would have been sent, with the status ``dry_run``."""
        client_order_id = intent.client_intent_id or ""
        return BrokerOrder(
            broker_order_id="",
            client_order_id=client_order_id,
            order_status="dry_run",
            symbol=intent.symbol,
            side=intent.side,
            qty=intent.qty,
            notional=intent.notional,
            order_type=intent.order_type,
            time_in_force=intent.time_in_force,
            order_class=intent.order_class,
            limit_price=intent.limit_price,
            stop_price=intent.stop_price,
            trail_price=intent.trail_price,
            trail_percent=intent.trail_percent,
        )

    def cancel_order(self, *, broker_order_id: str) -> BrokerOrder:
        """Raise ``BrokerRejected``: a dry run has no orders."""
        raise _no_such_order(broker_order_id)

    def get_order_status(self, *, broker_order_id: str) -> BrokerOrder:
        """Raise ``BrokerRejected``: a dry run has no orders."""
        raise _no_such_order(broker_order_id)


def _no_such_order(broker_order_id: str) -> BrokerRejected:
    return BrokerRejected(f"order {broker_order_id} does not exist: a dry run sends none", status=NOT_FOUND)
