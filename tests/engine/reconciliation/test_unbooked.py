from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from engine.model.orders import BrokerFill, BrokerOrder
from engine.reconciliation.unbooked import may_be_ours, unbooked_among

SESSION = date(2026, 3, 2)


def listed(order_id: str, client_id: str, *legs: BrokerOrder) -> BrokerOrder:
    return BrokerOrder(broker_order_id=order_id, client_order_id=client_id, order_status="filled", legs=legs)


def fill(order_id: str, at: str = "2026-03-02T17:00") -> BrokerFill:
    return BrokerFill(
        fill_id=f"{order_id}-1",
        broker_order_id=order_id,
        symbol="SPY",
        side="buy",
        qty=1.0,
        price=100.0,
        filled_at=datetime.fromisoformat(at).replace(tzinfo=UTC),
        cum_qty=1.0,
        leaves_qty=0.0,
    )


@pytest.mark.parametrize(
    ("client_id", "ours"),
    [
        ("d41d8cd98f00b204e9800998ecf8427e", True),
        ("momentum-2026-03-02_1", True),
        ("6a5b0f5e-4f0b-4c52-9d5c-0a1f7c4b2f11", False),
        ("6A5B0F5E-4F0B-4C52-9D5C-0A1F7C4B2F11", False),
        ("", False),
        ("a b", False),
        ("x" * 48, True),
        ("x" * 49, False),
    ],
)
def test_any_id_that_an_intent_could_have_may_be_ours_but_one_that_the_broker_gave(
    client_id: str, ours: bool
) -> None:
    assert may_be_ours(listed("o-1", client_id)) is ours


def test_a_group_is_one_trade_and_its_legs_are_those_of_its_head() -> None:
    group = listed("head", "mine", listed("leg", "6a5b0f5e-4f0b-4c52-9d5c-0a1f7c4b2f11"))
    unbooked = unbooked_among({"head", "leg", "unknown"}, [group])
    assert unbooked.client_ids == {"head": "mine", "leg": "mine"}
    fills = [fill("head"), fill("leg"), fill("unknown")]
    assert unbooked.trades_of(SESSION, fills, "XNYS", besides=()) == 1
    assert unbooked.trades_of(SESSION, fills, "XNYS", besides={"head"}) == 0


@pytest.mark.parametrize(
    ("at", "trades"),
    [("2026-03-02T17:00", 1), ("2026-02-27T17:00", 0), ("2026-03-03T00:30", 1), ("2026-03-03T01:30", 0)],
)
def test_what_filled_in_another_session_is_no_trade_of_this_one(at: str, trades: int) -> None:
    unbooked = unbooked_among({"o-1"}, [listed("o-1", "mine")])
    assert unbooked.trades_of(SESSION, [fill("o-1", at)], "XNYS", besides=()) == trades


def test_an_execution_at_a_time_that_no_calendar_covers_counts() -> None:
    unbooked = unbooked_among({"o-1"}, [listed("o-1", "mine")])
    assert unbooked.trades_of(SESSION, [fill("o-1", "1900-01-01T00:00")], "XNYS", besides=()) == 1
