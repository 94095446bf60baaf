"""The executions of a run's orders: from when they are asked for, and whose they are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from engine.brokers.trading import TradingBroker
from engine.model.orders import BrokerFill, BrokerOrder
from engine.routing.fills import executions

AT = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
LATER = AT + timedelta(minutes=5)
SECOND = timedelta(seconds=1)


def placed(order_id: str, filled_qty: float = 3.0, **said: Any) -> BrokerOrder:
    known = {"client_order_id": f"intent-{order_id}", "order_status": "filled"}
    return BrokerOrder(broker_order_id=order_id, filled_qty=filled_qty, **{**known, **said})


def executed(order_id: str, qty: float = 3.0) -> BrokerFill:
    return BrokerFill(
        fill_id=f"f-{order_id}", broker_order_id=order_id, symbol="SPY", side="buy", qty=qty, price=10.0,
        filled_at=LATER,
    )  # fmt: skip


def asked(
    orders: list[BrokerOrder], *listed: BrokerFill
) -> tuple[dict[str, list[str]], list[datetime | None]]:
    """Return the ids of the executions that were found, by order, and from when on they were asked for."""
    since: list[datetime | None] = []

    def fills(*, after: datetime | None) -> list[BrokerFill]:
        since.append(after)
        return list(listed)

    found = executions(orders, cast(TradingBroker, SimpleNamespace(fills=fills)))
    return {order_id: [fill.fill_id for fill in own] for order_id, own in found.items()}, since


@pytest.mark.parametrize(
    ("orders", "since"),
    [
        ([placed("a", submitted_at=LATER), placed("b", submitted_at=AT)], AT - SECOND),
        ([placed("a", submitted_at=LATER, created_at=AT), placed("b", submitted_at=LATER)], LATER - SECOND),
        ([placed("a", created_at=AT), placed("b", submitted_at=LATER)], AT - SECOND),
        ([placed("a"), placed("b", submitted_at=LATER)], LATER - SECOND),
        ([placed("a"), placed("b")], None),
    ],
)
def test_executions_are_asked_for_since_the_first_order_was_submitted(
    orders: list[BrokerOrder], since: datetime | None
) -> None:
    found, asked_since = asked(orders, executed("a"), executed("b"))
    assert (found, asked_since) == ({"a": ["f-a"], "b": ["f-b"]}, [since])


def test_where_nothing_filled_no_execution_is_asked_for() -> None:
    assert asked([placed("a", 0.0), placed("b", 0.0)], executed("a")) == ({}, [])


def test_executions_of_legs_are_found_and_those_of_others_are_not() -> None:
    group = placed("a", legs=(placed("exit", 1.0), placed("stop", 0.0)))
    found, _ = asked([group], executed("a"), executed("exit", 1.0), executed("stop", 1.0), executed("hand"))
    assert found == {"a": ["f-a"], "exit": ["f-exit"]}


def test_executions_beyond_what_the_order_says_are_all_found() -> None:
    found, since = asked([placed("a", 2.0)], executed("a", 3.0))
    assert (found, len(since)) == ({"a": ["f-a"]}, 1)


def test_executions_are_asked_for_four_times_while_those_of_any_order_are_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("engine.routing.fills.waited", waits.append)
    found, since = asked([placed("a"), placed("b")], executed("a"))
    assert (found, len(since), waits) == ({"a": ["f-a"]}, 4, [0.25, 0.5, 1.0])
