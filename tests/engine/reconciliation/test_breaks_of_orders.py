"""Orders of ours of which the broker tells otherwise than our record, or than its own executions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.model.breaks import Break, BrokerBook, OwnBook, OwnOrder, units_of
from engine.model.orders import BrokerFill, BrokerOrder
from engine.reconciliation.breaks_found import reconcile

AT = datetime(2026, 3, 16, 13, 29, tzinfo=UTC)
EARLIER = AT - timedelta(hours=1)


def told(filled_qty: float, **said: Any) -> BrokerOrder:
    known: dict[str, Any] = {"client_order_id": "intent-1", "symbol": "SPY", "side": "buy", "qty": 10.0}
    known |= {"order_status": "partially_filled", "filled_qty": filled_qty, "created_at": EARLIER}
    return BrokerOrder(broker_order_id="own-1", **(known | said))


def executed(cum_qty: float, **said: Any) -> BrokerFill:
    known: dict[str, Any] = {"symbol": "SPY", "side": "buy", "price": 650.0, "filled_at": EARLIER}
    known |= {"fill_id": "f1", "qty": cum_qty, "cum_qty": cum_qty}
    return BrokerFill(broker_order_id="own-1", **(known | said))


def compared(held: float, in_ledger: float, order: BrokerOrder, *fills: BrokerFill) -> list[Break]:
    own = OwnOrder(
        client_intent_id="intent-1",
        broker_order_id="own-1",
        symbol="SPY",
        side=order.side,
        qty=10.0,
        filled_qty=abs(in_ledger),
        is_open=not order.is_final,
    )
    theirs = BrokerBook(
        positions={"SPY": held}, open_orders=[order], fills=list(fills), asked_at=AT - timedelta(seconds=5)
    )
    ours = OwnBook(account="paper", positions={"SPY": units_of(in_ledger)}, orders=[own])
    return reconcile(theirs, ours, at=AT)


def found(breaks: list[Break]) -> list[tuple[str, float]]:
    return [(one.kind, one.difference_qty / 1e9) for one in breaks]


def test_an_execution_that_was_taken_back_is_a_quantity_that_differs() -> None:
    assert found(compared(2, 4, told(2))) == [("quantity_differs", -2.0)]


@pytest.mark.parametrize(("side", "sign"), [("buy", 1), ("sell", -1)])
def test_so_it_is_where_the_broker_still_lists_the_execution(side: str, sign: int) -> None:
    breaks = compared(sign * 2, sign * 4, told(2, side=side), executed(4, side=side))
    assert found(breaks) == [("quantity_differs", -2.0 * sign)]
    assert "with 2 filled at the broker, of 10 with 4 filled by our record" in breaks[0].said


def test_where_the_position_agrees_with_the_executions_a_list_of_orders_that_lags_is_no_break() -> None:
    assert compared(4, 4, told(2), executed(4)) == []


def test_what_came_while_the_book_was_read_is_no_break_though_order_and_position_lag() -> None:
    just_now = executed(4, fill_id="f2", qty=2.0, filled_at=AT - timedelta(seconds=2))
    assert compared(2, 4, told(2), executed(2), just_now) == []


def test_what_neither_order_nor_executions_explain_stays_unexplained() -> None:
    assert found(compared(1, 4, told(2), executed(4))) == [("position_unexplained", -3.0)]
