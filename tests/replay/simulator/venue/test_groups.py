"""Brackets, OCO and OTO: who is held, who works, who is cancelled with whom."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.replay.simulator.venue.desk import THURSDAY, Body, Desk, refused


def bracket(desk: Desk, **more: Any) -> Body:
    legs = {"take_profit": {"limit_price": "105"}, "stop_loss": {"stop_price": "95"}}
    return desk.order(order_class="bracket", **{**legs, **more})


def oco(desk: Desk, **more: Any) -> Body:
    legs = {"take_profit": {"limit_price": "105"}, "stop_loss": {"stop_price": "95"}}
    return desk.order(side="sell", type="limit", order_class="oco", **{**legs, **more})


def statuses(desk: Desk, order: Body) -> list[str]:
    """The status of the parent, of the take-profit and of the stop-loss, as far as there are any."""
    parent = desk.get(order, nested=True)
    return [parent["status"], *(leg["status"] for leg in parent["legs"])]


def filled(desk: Desk, order: Body) -> list[str]:
    parent = desk.get(order, nested=True)
    return [parent["filled_qty"], *(leg["filled_qty"] for leg in parent["legs"])]


def test_legs_are_held_until_the_entry_is_filled_then_the_profit_is_new() -> None:
    desk = Desk()
    order = bracket(desk)
    assert statuses(desk, order) == ["pending_new", "held", "held"]
    desk.tick()
    assert statuses(desk, order) == ["filled", "new", "held"]


def test_legs_wait_for_the_whole_entry() -> None:
    desk = Desk(partial=1.0)
    order = bracket(desk)
    desk.tick(0.02)
    assert statuses(desk, order) == ["partially_filled", "held", "held"]
    desk.price("AAPL", "106")
    desk.tick(0.01)
    assert filled(desk, order)[1:] == ["0", "0"]


@pytest.mark.parametrize(
    ("price", "expected"),
    [("106", ["filled", "filled", "canceled"]), ("94", ["filled", "canceled", "filled"])],
)
def test_the_fill_of_one_leg_cancels_the_other(price: str, expected: list[str]) -> None:
    desk = Desk()
    order = bracket(desk)
    desk.tick()
    desk.price("AAPL", price, after=1)
    desk.tick(2)
    assert statuses(desk, order) == expected
    assert desk.venue.list_positions() == []


def test_a_short_bracket_is_the_mirror_image() -> None:
    desk = Desk()
    order = bracket(desk, side="sell", take_profit={"limit_price": "95"}, stop_loss={"stop_price": "105"})
    desk.tick()
    assert [leg["side"] for leg in order["legs"]] == ["buy", "buy"]
    assert desk.venue.get_position("AAPL")["qty"] == "-10"
    desk.price("AAPL", "105.5", after=1)
    desk.tick(2)
    assert statuses(desk, order) == ["filled", "canceled", "filled"]


def test_a_stop_limit_leg_rests_at_its_limit_once_it_is_set_off() -> None:
    desk = Desk()
    order = bracket(desk, stop_loss={"stop_price": "95", "limit_price": "94.5"})
    desk.tick()
    desk.price("AAPL", "90", after=1)
    desk.tick(2)
    assert statuses(desk, order) == ["filled", "canceled", "new"]
    desk.price("AAPL", "94.7", after=1)
    desk.tick(2)
    assert statuses(desk, order) == ["filled", "canceled", "filled"]
    assert desk.get(order, nested=True)["legs"][1]["filled_avg_price"] == "94.7"


def test_parts_filled_of_one_leg_come_off_the_other() -> None:
    desk = Desk()
    order = bracket(desk)
    desk.tick()
    profit, loss = order["legs"]
    desk.venue.fill_now(profit["id"], Decimal(3))
    assert (desk.get(profit)["filled_qty"], desk.get(loss)["qty"]) == ("3", "7")
    desk.price("AAPL", "94", after=1)
    desk.tick(2)
    assert filled(desk, order) == ["10", "3", "7"]
    assert statuses(desk, order) == ["filled", "canceled", "filled"]
    assert desk.venue.list_positions() == []


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("entered", [False, True])
def test_cancelling_one_cancels_the_group(which: int, entered: bool) -> None:
    desk = Desk()
    order = bracket(desk) if entered else bracket(desk, type="limit", limit_price="99")
    desk.tick()
    member = [order, *order["legs"]][which]
    if entered and which == 0:
        assert refused(desk.venue.cancel_order, member["id"]) == (
            422, {"code": 42210000, "message": 'order is already in "filled" state'},
        )  # fmt: skip
        return
    desk.venue.cancel_order(member["id"])
    desk.tick()
    assert statuses(desk, order) == ["filled" if entered else "canceled", "canceled", "canceled"]


def test_legs_of_a_day_bracket_expire_with_it() -> None:
    desk = Desk()
    entered, waiting = (
        bracket(desk),
        bracket(desk, type="limit", limit_price="90", symbol="TSLA", stop_loss={"stop_price": "80"}),
    )
    desk.until(f"{THURSDAY} 16:01")
    assert statuses(desk, entered) == ["filled", "expired", "expired"]
    assert statuses(desk, waiting) == ["expired", "expired", "expired"]


@pytest.mark.parametrize(
    ("leg", "status", "price"),
    [("take_profit", "new", "106"), ("stop_loss", "new", "94")],
)
def test_the_one_leg_of_an_oto_is_new_once_the_entry_is_filled(leg: str, status: str, price: str) -> None:
    desk = Desk()
    legs: Body = {"take_profit": {"limit_price": "105"}, "stop_loss": {"stop_price": "95"}}
    order = desk.order(order_class="oto", **{leg: legs[leg]})
    assert statuses(desk, order) == ["pending_new", "held"]
    assert order["legs"][0]["group_role"] == leg
    desk.tick()
    assert statuses(desk, order) == ["filled", status]
    desk.price("AAPL", price, after=1)
    desk.tick(2)
    assert statuses(desk, order) == ["filled", "filled"]


@pytest.mark.parametrize(
    ("price", "expected"), [("106", ["filled", "canceled"]), ("94", ["canceled", "filled"])]
)
def test_an_oco_closes_at_whichever_price_comes_first(price: str, expected: list[str]) -> None:
    desk = Desk()
    desk.bought("10")
    order = oco(desk)
    assert (order["limit_price"], order["group_role"], order["legs"][0]["group_role"]) == (
        "105", "take_profit", "stop_loss",
    )  # fmt: skip
    desk.tick()
    assert statuses(desk, order) == ["new", "held"]
    desk.price("AAPL", price, after=1)
    desk.tick(2)
    assert statuses(desk, order) == expected
    assert desk.venue.list_positions() == []


def test_the_two_of_an_oco_hold_the_shares_once() -> None:
    desk = Desk()
    desk.bought("10")
    order = oco(desk)
    desk.tick()
    assert desk.venue.get_position("AAPL")["qty_available"] == "0"
    desk.venue.cancel_order(order["legs"][0]["id"])
    desk.tick()
    assert statuses(desk, order) == ["canceled", "canceled"]
    assert desk.venue.get_position("AAPL")["qty_available"] == "10"


def test_legs_not_yet_called_hold_no_shares() -> None:
    desk = Desk()
    desk.bought("10")
    bracket(desk, type="limit", limit_price="99")
    desk.tick()
    assert desk.venue.get_position("AAPL")["qty_available"] == "10"


@pytest.mark.parametrize("called", [False, True])
def test_a_replaced_leg_takes_its_place_in_the_group(called: bool) -> None:
    desk = Desk()
    order = bracket(desk) if called else bracket(desk, type="limit", limit_price="99.5")
    desk.tick()
    loss = order["legs"][1]
    new = desk.venue.replace_order(loss["id"], {"stop_price": "97"})
    assert (new["replaces"], new["group_id"], new["group_role"]) == (
        loss["id"],
        order["group_id"],
        "stop_loss",
    )
    desk.tick()
    assert [leg["id"] for leg in desk.get(order, nested=True)["legs"]] == [order["legs"][0]["id"], new["id"]]
    desk.price("AAPL", "99", after=1)
    desk.price("AAPL", "96", after=3)
    desk.tick(5)
    assert statuses(desk, order) == ["filled", "canceled", "filled"]
    assert desk.get(loss)["status"] == "replaced"


def test_a_called_stop_leg_is_held_again_once_it_is_replaced() -> None:
    desk = Desk()
    order = bracket(desk)
    desk.tick()
    new = desk.venue.replace_order(order["legs"][1]["id"], {"stop_price": "96"})
    assert new["status"] == "pending_new"
    desk.tick()
    assert statuses(desk, order) == ["filled", "new", "held"]
    desk.price("AAPL", "95.5", after=1)
    desk.tick(2)
    assert statuses(desk, order) == ["filled", "canceled", "filled"]


def test_the_stop_of_an_oco_is_held_again_once_it_is_replaced() -> None:
    desk = Desk()
    desk.bought("10")
    order = oco(desk)
    desk.tick()
    desk.venue.replace_order(order["legs"][0]["id"], {"stop_price": "96"})
    desk.tick()
    assert statuses(desk, order) == ["new", "held"]


def test_a_called_stop_leg_is_held_again_when_its_replacement_is_rejected() -> None:
    desk = Desk()
    order = bracket(desk)
    desk.tick()
    new = desk.venue.replace_order(order["legs"][1]["id"], {"stop_price": "96"})
    desk.venue.fill_now(order["legs"][0]["id"], Decimal(3))  # so that ten shares are more than there are
    desk.tick(0.01)
    assert desk.status(new) == "rejected"
    assert statuses(desk, order) == ["filled", "partially_filled", "held"]


def test_a_replaced_entry_is_answered_with_its_legs() -> None:
    desk = Desk()
    order = bracket(desk, type="limit", limit_price="99")
    desk.tick()
    new = desk.venue.replace_order(order["id"], {"limit_price": "99.5"})
    assert [leg["id"] for leg in new["legs"]] == [leg["id"] for leg in order["legs"]]
    desk.tick()
    leg = desk.venue.replace_order(order["legs"][0]["id"], {"limit_price": "106"})
    assert leg["legs"] is None


def test_the_qty_of_a_leg_cannot_be_replaced() -> None:
    desk = Desk()
    order = bracket(desk)
    desk.tick()
    assert refused(desk.venue.replace_order, order["legs"][0]["id"], {"qty": "5"})[0] == 422


def test_orders_of_a_group_are_no_wash_trade() -> None:
    desk = Desk()
    bracket(desk)
    desk.tick()
    assert desk.limit("106", qty="1")["status"] == "pending_new"


@pytest.mark.parametrize("given", [{}, {"order_class": ""}, {"order_class": "simple"}])
@pytest.mark.parametrize(
    "exits",
    [
        {"take_profit": {"limit_price": "105"}},
        {"stop_loss": {"stop_price": "95", "limit_price": "94.999"}},
        {"take_profit": {"limit_price": "-1"}, "stop_loss": {"stop_price": "95"}},
    ],
)
def test_exits_without_a_class_are_accepted_and_never_sent(given: Body, exits: Body) -> None:
    desk = Desk()
    order = desk.order(**given, **exits)
    assert (order["order_class"], order["legs"]) == ("", None)
    desk.tick()
    desk.price("AAPL", "106")
    desk.tick()
    assert [each["symbol"] for each in desk.venue.list_orders({"status": "all"})] == ["AAPL"]
    assert desk.venue.get_position("AAPL")["qty"] == "10"


@pytest.mark.parametrize("own", [None, "104", "107"])
def test_the_limit_of_an_oco_is_that_of_its_take_profit(own: str | None) -> None:
    desk = Desk()
    desk.bought()
    assert oco(desk, limit_price=own)["limit_price"] == "105"
