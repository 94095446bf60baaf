"""Orders looked up by the broker's own ids, where its lookups lag behind its orders."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import cast

import pytest

from engine.brokers.trading import TradingBroker
from engine.errors import BrokerRejected, RunStopped
from engine.model.orders import BrokerOrder
from engine.routing.order_lookup import known_order, known_orders
from engine.waiting.retry_policy import RetryPolicy

THRICE = RetryPolicy(lookups_s=(0.0, 0.0))


@dataclass
class Lagging:
    """A broker that finds an order from its so-manieth lookup on; one that isn't named never."""

    found_from: dict[str, int]
    status: int = 404
    asked: list[str] = field(default_factory=list)

    def get_order_status(self, *, broker_order_id: str) -> BrokerOrder:
        self.asked.append(broker_order_id)
        if Counter(self.asked)[broker_order_id] < self.found_from.get(broker_order_id, 99):
            raise BrokerRejected("order not found", status=self.status)
        return BrokerOrder(broker_order_id=broker_order_id, client_order_id="one", order_status="new")


def found(broker: Lagging, *ids: str) -> list[str]:
    orders = known_orders(ids, cast(TradingBroker, broker), retry_policy=THRICE, stopping=lambda: False)
    assert all(order.broker_order_id == order_id for order_id, order in orders.items())
    return sorted(orders)


def test_only_orders_that_are_not_found_are_looked_up_again() -> None:
    broker = Lagging({"a": 1, "b": 2, "c": 3})
    assert found(broker, "a", "b", "c") == ["a", "b", "c"]
    assert broker.asked == ["a", "b", "c", "b", "c", "c"]


def test_an_order_that_no_lookup_finds_is_left_out() -> None:
    broker = Lagging({"a": 1})
    assert found(broker, "a", "b") == ["a"]
    assert broker.asked == ["a", "b", "b", "b"]


def test_where_no_order_is_asked_for_the_broker_is_not() -> None:
    broker = Lagging({})
    assert (found(broker), broker.asked) == ([], [])


def test_a_refusal_that_is_no_not_found_ends_the_lookups() -> None:
    broker = Lagging({}, status=403)
    with pytest.raises(BrokerRejected):
        found(broker, "a", "b")
    assert broker.asked == ["a"]


def test_a_job_that_is_to_end_looks_up_no_further() -> None:
    broker = Lagging({"a": 2})
    with pytest.raises(RunStopped, match="Stopped while orders were looked up"):
        known_orders(
            ["a"], cast(TradingBroker, broker), retry_policy=THRICE, stopping=lambda: bool(broker.asked)
        )
    assert broker.asked == ["a"]


@pytest.mark.parametrize(("order_id", "is_found"), [("a", True), ("b", False)])
def test_a_single_order_is_looked_up_alike(order_id: str, is_found: bool) -> None:
    broker = Lagging({"a": 3})
    order = known_order(order_id, cast(TradingBroker, broker), retry_policy=THRICE, stopping=lambda: False)
    assert (order is not None, len(broker.asked)) == (is_found, 3)


def test_orders_are_looked_up_at_once_and_then_after_each_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(
        "engine.routing.order_lookup.pause", lambda seconds, *_, during: waits.append(seconds)
    )
    policy = RetryPolicy(lookups_s=(0.5, 2.0))
    known_orders(["a"], cast(TradingBroker, Lagging({})), retry_policy=policy, stopping=lambda: False)
    assert waits == [0.0, 0.5, 2.0]
