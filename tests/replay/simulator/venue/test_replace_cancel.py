"""PATCH and DELETE of orders, and the races around them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.replay.simulator.venue.desk import THURSDAY, Body, Desk, refused


def waiting(desk: Desk, price: str = "90", **more: object) -> Body:
    order = desk.limit(price, **more)
    desk.tick()
    return order


def test_a_replacement_is_a_new_order_and_the_old_one_points_to_it() -> None:
    desk = Desk()
    old = waiting(desk, client_order_id="mine")
    new = desk.venue.replace_order(old["id"], {"qty": 7, "limit_price": "91.5", "client_order_id": "yours"})
    assert new["id"] != old["id"]
    assert (new["replaces"], new["client_order_id"], new["qty"], new["limit_price"]) == (
        old["id"], "yours", "7", "91.5",
    )  # fmt: skip
    assert (new["status"], desk.status(old)) == ("pending_new", "pending_replace")
    desk.tick()
    after = desk.get(old)
    assert (after["status"], after["replaced_by"], after["replaced_at"]) == (
        "replaced", new["id"], "2026-10-08T16:00:01.004Z",
    )  # fmt: skip
    assert desk.status(new) == "new"
    assert [order["id"] for order in desk.venue.list_orders({})] == [new["id"]]
    assert desk.venue.account()["buying_power"] == "399359.5"


def test_what_is_not_named_stays_and_the_client_order_id_is_fresh() -> None:
    desk = Desk()
    old = waiting(desk, time_in_force="gtc", client_order_id="mine")
    new = desk.venue.replace_order(old["id"], {"limit_price": 91})
    same = (
        "symbol",
        "qty",
        "side",
        "type",
        "time_in_force",
        "extended_hours",
        "order_class",
        "position_intent",
    )
    assert [new[name] for name in same] == [old[name] for name in same]
    assert new["client_order_id"] not in {"mine", new["id"]}


CHANGES: list[tuple[Body, int, int, str]] = [
    ({}, 422, 42210000, "order parameters are not changed"),
    ({"limit_price": "90.00", "qty": "10"}, 422, 42210000, "order parameters are not changed"),
    ({"qty": "0"}, 422, 40010001, "qty must be > 0"),
    ({"qty": "1.5"}, 422, 40010001, "qty must be a whole number of shares"),
    ({"limit_price": -1}, 422, 40010001, "limit price must be > 0"),
    ({"stop_price": 95}, 422, 40010001, "limit orders require only limit price"),
    ({"trail": 1}, 422, 40010001, "trail is only accepted for trailing stop orders"),
    ({"time_in_force": "never"}, 422, 40010001, "invalid time_in_force"),
    ({"notional": 5}, 422, 42210000, "notional cannot be replaced for us_equity"),
    ({"client_order_id": "mine", "qty": 3}, 422, 40010001, "client_order_id must be unique"),
    (
        {"limit_price": "90.001"},
        422,
        42210000,
        "invalid limit_price 90.001. sub-penny increment does not fulfill minimum pricing criteria",
    ),
    ({"qty": 100000}, 403, 40310000, "insufficient buying power"),
    ({"qty": "many"}, 400, 40010000, "request body format is invalid"),
]


@pytest.mark.parametrize(("change", "status", "code", "message"), CHANGES)
def test_replacements_that_are_refused_leave_the_order_alone(
    change: Body, status: int, code: int, message: str
) -> None:
    desk = Desk()
    old = waiting(desk, client_order_id="mine")
    before = desk.venue.state()
    got, body = refused(desk.venue.replace_order, old["id"], change)
    assert (got, body["code"], body["message"]) == (status, code, message)
    assert desk.venue.state() == before


def test_an_order_that_is_not_open_cannot_be_replaced() -> None:
    desk = Desk()
    message = {"code": 40010001, "message": "only open orders can be replaced"}
    assert refused(desk.venue.replace_order, desk.bought()["id"], {"qty": 200}) == (422, message)


def test_an_order_that_waits_for_the_session_cannot_be_replaced() -> None:
    desk = Desk(f"{THURSDAY} 21:00")
    assert refused(desk.venue.replace_order, desk.order()["id"], {"qty": 3}) == (
        422, {"code": 40010001, "message": "unable to replace order, order isn't sent to exchange yet"},
    )  # fmt: skip


@pytest.mark.parametrize("status", ["pending_new", "pending_cancel", "pending_replace", "replaced"])
def test_an_order_on_its_way_cannot_be_replaced(status: str) -> None:
    desk = Desk()
    order = desk.limit("90") if status == "pending_new" else waiting(desk)
    if status == "pending_cancel":
        desk.venue.cancel_order(order["id"])
    if status in {"pending_replace", "replaced"}:
        desk.venue.replace_order(order["id"], {"limit_price": 91})
    if status == "replaced":
        desk.tick()
    message = "order already replaced" if status == "replaced" else f"cannot replace order in {status} status"
    assert refused(desk.venue.replace_order, order["id"], {"limit_price": 92}) == (
        422, {"code": 42210000, "message": message},
    )  # fmt: skip


def test_a_notional_order_cannot_be_replaced() -> None:
    desk = Desk()
    order = desk.limit("90", qty=None, notional="50")
    desk.tick()
    assert refused(desk.venue.replace_order, order["id"], {"limit_price": 91})[1]["message"] == (
        "notional orders cannot be replaced"
    )


def test_a_fill_that_comes_before_the_replacement_rejects_it() -> None:
    desk = Desk()
    old = waiting(desk)
    new = desk.venue.replace_order(old["id"], {"limit_price": 91})
    desk.venue.fill_now(old["id"])
    desk.tick()
    assert (desk.status(old), desk.status(new)) == ("filled", "rejected")
    assert desk.get(old)["replaced_by"] is None


def test_a_replacement_after_a_partial_fill_counts_its_whole_qty_again() -> None:
    desk = Desk()
    old = waiting(desk)
    desk.venue.fill_now(old["id"], Decimal(4))
    assert refused(desk.venue.replace_order, old["id"], {"qty": 4}) == (
        422, {"code": 42210000, "message": "qty must be > filled_qty"},
    )  # fmt: skip
    new = desk.venue.replace_order(old["id"], {"limit_price": 101})
    desk.tick()
    assert (desk.get(new)["qty"], desk.get(new)["filled_qty"]) == ("10", "10")
    assert desk.venue.get_position("AAPL")["qty"] == "14"


def test_a_closing_replacement_after_a_partial_fill_asks_for_shares_that_are_gone() -> None:
    desk = Desk()
    desk.bought("10")
    old = waiting(desk, "110", side="sell")
    desk.venue.fill_now(old["id"], Decimal(4))
    status, body = refused(desk.venue.replace_order, old["id"], {"limit_price": 111})
    assert (status, body["message"]) == (
        403, "insufficient qty available for order (requested: 10, available: 6)",
    )  # fmt: skip


def test_a_closing_replacement_that_no_longer_fits_is_rejected_and_the_old_order_stays() -> None:
    desk = Desk()
    desk.bought("10")
    old = waiting(desk, "110", side="sell")
    new = desk.venue.replace_order(old["id"], {"limit_price": 111})
    desk.venue.fill_now(old["id"], Decimal(4))
    desk.tick(0.01)
    assert (desk.status(old), desk.status(new)) == ("partially_filled", "rejected")


def test_a_trail_can_be_replaced_and_keeps_the_best_price() -> None:
    desk = Desk()
    desk.bought("10")
    old = desk.order(side="sell", type="trailing_stop", trail_price="2")
    desk.price("AAPL", "103", after=1)
    desk.tick(2)
    new = desk.venue.replace_order(old["id"], {"trail": "1"})
    desk.tick()
    assert [desk.get(new)[name] for name in ("hwm", "trail_price", "stop_price")] == ["103", "1", "102"]


def test_a_cancel_is_pending_and_then_done() -> None:
    desk = Desk()
    order = waiting(desk)
    desk.venue.cancel_order(order["id"])
    assert desk.status(order) == "pending_cancel"
    desk.tick()
    after = desk.get(order)
    assert (after["status"], after["canceled_at"]) == ("canceled", "2026-10-08T16:00:01.004Z")


def test_cancelling_again_is_silent() -> None:
    desk = Desk()
    order = waiting(desk)
    for _ in range(3):
        desk.venue.cancel_order(order["id"])
        desk.tick()
    assert desk.get(order)["canceled_at"] == "2026-10-08T16:00:01.004Z"


def test_an_order_not_yet_at_the_exchange_can_be_cancelled() -> None:
    desk = Desk()
    order = desk.order()
    desk.venue.cancel_order(order["id"])
    desk.tick()
    assert desk.status(order) == "canceled"


@pytest.mark.parametrize("end", ["filled", "expired", "rejected", "replaced"])
def test_an_order_that_has_come_to_another_end_cannot_be_cancelled(end: str) -> None:
    desk = Desk()
    order = desk.limit("101") if end == "filled" else waiting(desk)
    match end:
        case "rejected":
            desk.venue.reject_after_acceptance(order["id"])
        case "replaced":
            desk.venue.replace_order(order["id"], {"limit_price": 91})
        case "expired":
            desk.until(f"{THURSDAY} 16:01")
        case _:
            pass
    desk.tick()
    assert refused(desk.venue.cancel_order, order["id"]) == (
        422, {"code": 42210000, "message": f'order is already in "{end}" state'},
    )  # fmt: skip


def test_a_replacement_cancelled_on_its_way_takes_the_old_order_with_it() -> None:
    desk = Desk()
    old = waiting(desk)
    new = desk.venue.replace_order(old["id"], {"limit_price": 91})
    desk.venue.cancel_order(new["id"])
    desk.tick()
    assert (desk.status(old), desk.status(new)) == ("replaced", "canceled")


def test_a_replacement_rejected_on_its_way_leaves_the_old_order_as_it_was() -> None:
    desk = Desk()
    old = waiting(desk)
    new = desk.venue.replace_order(old["id"], {"limit_price": 91})
    desk.venue.reject_after_acceptance(new["id"])
    desk.tick()
    assert (desk.status(old), desk.status(new)) == ("new", "rejected")


def test_cancel_all_gives_a_row_for_every_open_order() -> None:
    desk = Desk()
    assert desk.venue.cancel_all_orders() == []
    orders = [desk.limit("90"), desk.limit("80", symbol="TSLA")]
    rows = desk.venue.cancel_all_orders()
    assert [(row["id"], row["status"], row["body"]["status"]) for row in rows] == [
        (order["id"], 200, "pending_cancel") for order in orders
    ]
    desk.tick()
    assert desk.venue.list_orders({}) == []


# faults on demand


def test_held_cancels_stay_pending_until_they_are_let_go() -> None:
    desk = Desk()
    order, other = waiting(desk), waiting(desk)
    desk.venue.hold_cancels(order["id"])
    assert desk.venue.state()["cancels_held"] == [order["id"]]
    for one in (order, other):
        desk.venue.cancel_order(one["id"])
    desk.tick(3600)
    assert (desk.status(order), desk.status(other)) == ("pending_cancel", "canceled")
    desk.venue.release_cancels()
    desk.venue.advance()
    assert desk.status(order) == "canceled"
    assert desk.venue.state()["cancels_held"] == []


def test_the_cancel_of_a_group_is_held_as_a_whole() -> None:
    desk = Desk()
    legs = {"take_profit": {"limit_price": "105"}, "stop_loss": {"stop_price": "85"}}
    order = desk.limit("90", order_class="bracket", **legs)
    desk.tick()
    desk.venue.hold_cancels(order["id"])
    desk.venue.cancel_order(order["legs"][0]["id"])
    desk.tick()
    assert {row["status"] for row in desk.venue.list_orders({})} == {"pending_cancel"}


def test_held_cancels_stay_pending_when_positions_are_closed_and_orders_cancelled() -> None:
    desk = Desk()
    order, other = waiting(desk), waiting(desk)
    desk.venue.hold_cancels(order["id"])
    desk.venue.close_all_positions({"cancel_orders": "true"})
    assert (desk.status(order), desk.status(other)) == ("pending_cancel", "canceled")


def test_only_the_cancel_of_an_order_that_can_be_cancelled_is_held() -> None:
    desk = Desk()
    order, done = waiting(desk), desk.bought("1", symbol="TSLA")
    desk.venue.replace_order(order["id"], {"limit_price": "89"})
    for name in (order["id"], done["id"], "nothing"):
        desk.venue.hold_cancels(name)
    assert desk.venue.state()["cancels_held"] == []


def test_a_fill_can_race_a_cancel() -> None:
    desk = Desk()
    order = waiting(desk)
    desk.venue.cancel_order(order["id"])
    desk.venue.fill_now(order["id"], Decimal(3))
    assert (desk.status(order), desk.get(order)["filled_qty"]) == ("pending_cancel", "3")
    desk.tick()
    assert (desk.status(order), desk.get(order)["filled_qty"]) == ("canceled", "3")
    other = waiting(desk)
    desk.venue.cancel_order(other["id"])
    desk.venue.fill_now(other["id"])
    desk.tick()
    assert (desk.status(other), desk.get(other)["filled_avg_price"]) == ("filled", "90")


def test_the_rest_of_less_than_two_shares_is_never_filled_in_parts() -> None:
    desk = Desk(partial=1.0)
    order = desk.limit("101", qty="3")
    desk.tick(0.004)
    desk.venue.fill_now(order["id"], Decimal("1.5"))
    desk.tick()
    assert desk.status(order) == "filled"


def test_an_order_can_be_rejected_after_it_was_accepted() -> None:
    desk = Desk()
    order = desk.order()
    desk.venue.reject_after_acceptance(order["id"])
    assert desk.status(order) == "pending_new"
    desk.tick(60)
    after = desk.get(order)
    assert (after["status"], after["failed_at"], after["filled_qty"]) == (
        "rejected",
        "2026-10-08T16:00:00Z",
        "0",
    )


def test_a_split_moves_shares_and_prices_but_no_money() -> None:
    desk = Desk()
    order = desk.bought("10")
    rest = waiting(desk, "110", side="sell")
    before = desk.venue.account()
    desk.venue.split("AAPL", Decimal(4))
    position, after = desk.venue.get_position("AAPL"), desk.venue.account()
    assert (position["qty"], position["current_price"], position["lastday_price"]) == ("40", "25", "25")
    assert Decimal(position["cost_basis"]) == Decimal(order["filled_avg_price"]) * 10
    assert (after["cash"], after["equity"]) == (before["cash"], before["equity"])
    assert desk.status(rest) == "canceled"
    assert len(desk.venue.activities("FILL", {})) == 1
    desk.venue.close_position("AAPL", {})
    desk.tick()
    assert desk.venue.list_positions() == []
    desk.venue.check_conservation()
