"""What breaks say of orders and actions of which little is known."""

from __future__ import annotations

from typing import Any

import pytest

from engine.model.breaks import BrokerBook
from tests.engine.reconciliation.test_breaks_found import compared, ledger, listed, only, own, split
from tests.engine.reconciliation.test_breaks_of_actions import in_lieu


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ({"qty": 5.0}, "buy 5, market"),
        ({"qty": 5.0, "order_type": ""}, "buy 5, order"),
        ({"qty": 5.0, "order_type": "stop", "stop_price": 12.3}, "buy 5, stop 12.3"),
        ({"qty": 5.0, "limit_price": 12.0, "stop_price": 12.3}, "buy 5, limit 12, stop 12.3"),
        ({"qty": None, "notional": 500.0}, "buy 500 USD, market"),
        ({"qty": 5.0, "notional": 500.0}, "buy 5, market"),
        ({"qty": None}, "buy an unknown quantity, market"),
        ({"qty": 5.0, "filled_qty": 2.0}, "buy 5, market, 2 filled"),
    ],
)
def test_an_unknown_order_is_described_as_far_as_it_is_known(order: dict[str, Any], words: str) -> None:
    stranger = listed("hand-1", order_status="new", created_at=None, **order)
    found = only(compared(BrokerBook(positions={}, open_orders=[stranger]), {}))
    assert f"none of ours: {words} (client id" in found.said


def test_an_order_to_which_the_broker_gave_no_id_is_named_by_its_intent() -> None:
    found = only(compared(BrokerBook(positions={}), {}, orders=[own("", is_open=True)]))
    assert found.said.startswith("SPY: order of intent intent-of-nobody (buy 10, 0 filled) is open")


def test_an_action_without_a_day_names_none() -> None:
    theirs = BrokerBook(positions={"SPY": 13.0}, corporate_actions=[split("a1", 3.0, day=None)])
    found = only(compared(theirs, ledger(SPY=10)))
    assert found.said.startswith("SPY: split (a1) changed the position by +3;")


def test_an_action_of_unclear_size_came_with_the_change_whatever_else_is_listed() -> None:
    actions = [split("a1", None, kind="DIV"), in_lieu()]
    theirs = BrokerBook(positions={"SPY": 13.0}, corporate_actions=actions)
    found = only(compared(theirs, ledger(SPY=10)))
    assert "(a1 cil) came with a change of +3;" in found.said
