from __future__ import annotations

from dataclasses import replace

import pytest

from engine.brokers.dry_run import DryRunBroker
from engine.brokers.protocol import Broker
from engine.errors import BrokerRejected
from engine.model.orders import OrderIntent

INTENT = OrderIntent(
    strategy_id="delta_momentum_v1",
    broker_account_id="paper",
    symbol="SPY",
    side="sell",
    qty=1.0,
    client_intent_id="intent-1",
)


def test_a_dry_run_describes_the_order_and_opens_no_connection(socket_disabled: None) -> None:
    broker: Broker = DryRunBroker()
    order = broker.place_order(intent=INTENT)
    assert (order.order_status, order.broker_order_id) == ("dry_run", "")
    assert (order.client_order_id, order.symbol, order.side) == ("intent-1", "SPY", "sell")
    assert (order.qty, order.notional, order.order_type, order.time_in_force) == (1.0, None, "market", "day")
    assert (order.filled_qty, order.filled_avg_price) == (0.0, None)


def test_a_dry_run_takes_an_intent_that_has_no_id_yet() -> None:
    assert DryRunBroker().place_order(intent=replace(INTENT, client_intent_id="")).client_order_id == ""


def test_a_dry_run_has_no_orders_to_cancel_or_to_look_up() -> None:
    broker = DryRunBroker()
    with pytest.raises(BrokerRejected, match="order 1 does not exist: a dry run sends none") as cancelled:
        broker.cancel_order(broker_order_id="1")
    with pytest.raises(BrokerRejected, match="order 2 does not exist: a dry run sends none") as looked_up:
        broker.get_order_status(broker_order_id="2")
    assert cancelled.value.status == looked_up.value.status == 404
