"""Cancelling all open orders at a broker whose lists are written down, one for each poll."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from engine.brokers.trading import TradingBroker
from engine.errors import BrokerError, BrokerRejected, RunStopped
from engine.model.orders import BrokerOrder
from engine.routing.cancel_all import Withdrawal, Withdrawals, Withdrawing
from engine.waiting.retry_policy import RetryPolicy


def resting(order_id: str, **said: Any) -> BrokerOrder:
    return BrokerOrder(broker_order_id=order_id, client_order_id=order_id, order_status="new", **said)


def canceled(order: BrokerOrder, **said: Any) -> BrokerOrder:
    return replace(order, order_status="canceled", **said)


A, B, C = resting("a"), resting("b"), resting("c")


@dataclass
class Scripted:
    """A broker with written lists of open orders; a cancel is answered with the order as it is then."""

    lists: list[list[BrokerOrder]]
    after: dict[str, BrokerOrder | Exception] = field(default_factory=dict)
    later: dict[str, BrokerOrder] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def open_orders(self) -> list[BrokerOrder]:
        self.asked.append("list")
        return self.lists.pop(0)

    def cancel_order(self, *, broker_order_id: str) -> BrokerOrder:
        self.asked.append(f"cancel {broker_order_id}")
        after = self.after.get(broker_order_id, canceled(resting(broker_order_id)))
        if isinstance(after, Exception):
            raise after
        return after

    def get_order_status(self, *, broker_order_id: str) -> BrokerOrder:
        self.asked.append(f"look at {broker_order_id}")
        if broker_order_id not in self.later:
            raise BrokerRejected("order not found", status=404)
        return self.later[broker_order_id]

    def withdrawn(self, *, wait_s: float = 60.0, **said: Any) -> Withdrawals:
        plain: dict[str, Any] = {"choose": lambda listed: listed, "stopping": lambda: False}
        plain |= {"retry_policy": RetryPolicy(lookups_s=())}
        broker = cast(TradingBroker, self)
        return Withdrawing(broker=broker, **(plain | said)).withdraw(wait_s=wait_s)


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the seconds that are waited, and wait for none; whether to stop is still asked."""
    found: list[float] = []

    def pause(seconds: float, stopping: Callable[[], bool], *, during: str) -> None:
        if stopping():
            raise RunStopped(f"Stopped while {during}")
        found.append(seconds)

    monkeypatch.setattr("engine.routing.cancel_all.pause", pause)
    return found


def test_open_orders_are_cancelled_and_listed_until_two_polls_find_nothing_new() -> None:
    broker = Scripted([[A], [B], [], []])
    done = broker.withdrawn()
    assert done == Withdrawals((Withdrawal(A, canceled(A)), Withdrawal(B, canceled(B))))
    assert broker.asked == ["list", "cancel a", "list", "cancel b", "list", "list"]


def test_where_nothing_is_open_it_is_listed_twice() -> None:
    broker = Scripted([[], []])
    assert broker.withdrawn() == Withdrawals(())
    assert broker.asked == ["list"] * 2


def test_an_order_whose_cancel_is_pending_is_polled_until_it_is_terminal_and_requested_once() -> None:
    before = replace(A, filled_qty=0.5)
    pending, after = replace(before, order_status="pending_cancel"), canceled(A, filled_qty=2.0)
    broker = Scripted([[before], [pending], [pending], [], []], {"a": pending}, {"a": after})
    (one,) = broker.withdrawn().orders
    assert one == Withdrawal(before, after)
    assert (one.is_over, one.filled_meanwhile_qty) == (True, 1.5)
    assert broker.asked == ["list", "cancel a", "list", "list", "list", "look at a"]


def test_an_order_that_is_listed_no_more_and_not_found_is_not_called_terminal() -> None:
    pending = replace(A, order_status="pending_cancel")
    (one,) = Scripted([[A], [], []], {"a": pending}).withdrawn().orders
    assert one == Withdrawal(A, pending, "the broker no longer knows it")
    assert not one.is_over


def test_a_cancel_that_is_refused_says_why_and_is_not_waited_for() -> None:
    refused = BrokerRejected("not your order", status=403)
    broker = Scripted([[A, B], [A], [A]], {"a": refused})
    done = broker.withdrawn()
    assert done.orders == (Withdrawal(A, A, str(refused)), Withdrawal(B, canceled(B)))
    assert broker.asked.count("list") == 3


def test_a_leg_that_was_chosen_is_followed_in_its_group() -> None:
    leg = resting("leg")
    group = resting("group", legs=(leg,))
    pending = replace(leg, order_status="pending_cancel")
    listed = [group, replace(group, legs=(pending,)), replace(group, legs=(canceled(leg),))]
    broker = Scripted([[one] for one in listed], {"leg": pending})
    done = broker.withdrawn(choose=lambda heads: [one for head in heads for one in head.legs])
    assert done.orders == (Withdrawal(leg, canceled(leg)),)
    assert broker.asked == ["list", "cancel leg", "list", "list"]


def test_only_chosen_orders_are_cancelled_each_announced_before() -> None:
    broker = Scripted([[A, B, C]] * 3)
    done = broker.withdrawn(
        choose=lambda listed: [order for order in listed if order != B],
        asking=lambda order: broker.asked.append(f"ask {order.broker_order_id}"),
    )
    assert [one.before for one in done.orders] == [A, C]
    for order_id in ("a", "c"):
        assert broker.asked.index(f"ask {order_id}") < broker.asked.index(f"cancel {order_id}")
    assert "cancel b" not in broker.asked


def test_polls_are_further_and_further_apart_up_to_two_seconds(waits: list[float]) -> None:
    pending = replace(A, order_status="pending_cancel")
    Scripted([[pending]] * 6 + [[canceled(A)]], {"a": pending}).withdrawn()
    assert waits == [0.25, 0.5, 1.0, 2.0, 2.0, 2.0]


def test_without_time_to_wait_it_is_listed_once_and_more_may_be_open(waits: list[float]) -> None:
    broker = Scripted([[A]])
    assert broker.withdrawn(wait_s=0.0).unsure == "the last poll found new orders"
    assert (broker.asked, waits) == (["list", "cancel a"], [])
    assert Scripted([[]]).withdrawn(wait_s=0.0).unsure == ""


def test_the_last_wait_ends_with_the_time_that_there_is(waits: list[float]) -> None:
    pending = replace(A, order_status="pending_cancel")
    Scripted([[pending]] * 2 + [[]] * 2, {"a": pending}, {"a": canceled(A)}).withdrawn(wait_s=0.1)
    assert 0 < waits[0] <= 0.1


def test_a_job_that_is_to_end_returns_what_is_known_and_that_it_was_not_listed_again() -> None:
    broker = Scripted([[A]])
    done = broker.withdrawn(stopping=lambda: "cancel a" in broker.asked)
    assert done == Withdrawals(
        (Withdrawal(A, canceled(A)),), "it was stopped before open orders were listed again"
    )


def test_a_job_that_is_to_end_requests_no_further_cancel_and_says_so_of_each() -> None:
    broker = Scripted([[A, B]])
    done = broker.withdrawn(stopping=lambda: True)
    why = "it was stopped before this cancel was requested"
    assert done.orders == (Withdrawal(A, A, why), Withdrawal(B, B, why))
    assert broker.asked == ["list"]


def test_where_open_orders_can_not_be_listed_there_is_no_outcome() -> None:
    class Down(Scripted):
        def open_orders(self) -> list[BrokerOrder]:
            raise BrokerError("the broker is down")

    with pytest.raises(BrokerError, match="the broker is down"):
        Down([]).withdrawn()


def test_a_cancel_that_the_broker_does_not_find_is_requested_as_often_as_the_policy_says() -> None:
    gone = BrokerRejected("order not found", status=404)
    broker = Scripted([[A]], {"a": gone}, {"a": A})
    policy = RetryPolicy(lookups_s=(0.0,))
    assert broker.withdrawn(wait_s=0.0, retry_policy=policy).orders == (Withdrawal(A, A),)
    assert broker.asked.count("cancel a") == 2


def test_a_job_that_is_to_end_does_not_wait_to_request_a_cancel_again() -> None:
    broker = Scripted([[A]], {"a": BrokerRejected("order not found", status=404)}, {"a": A})
    policy = RetryPolicy(lookups_s=(5.0,))
    (one,) = broker.withdrawn(retry_policy=policy, stopping=lambda: "look at a" in broker.asked).orders
    assert one.why.startswith("Stopped while an order was cancelled")
    assert broker.asked.count("cancel a") == 1
