"""Orders that are taken: the body of the reply, the way of the statuses, lookups."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.replay.simulator.conformance.documents import trading_api
from tests.replay.simulator.venue.desk import THURSDAY, Body, Desk, refused

NULL_WHEN_NEW = (
    "filled_at", "expired_at", "canceled_at", "failed_at", "replaced_at", "replaced_by", "replaces",
    "notional",
    "filled_avg_price", "limit_price", "stop_price", "legs", "trail_percent", "trail_price", "hwm",
    "ratio_qty",
    "subtag", "source",
)  # fmt: skip


def test_reply_to_a_market_order() -> None:
    desk = Desk()
    order = desk.order(qty=5, client_order_id="mine")
    asset = desk.venue.get_asset("AAPL")
    assert {name: value for name, value in order.items() if value is not None} == {
        "id": order["id"],
        "client_order_id": "mine",
        "created_at": "2026-10-08T16:00:00Z",
        "updated_at": "2026-10-08T16:00:00Z",
        "submitted_at": "2026-10-08T16:00:00Z",
        "expires_at": "2026-10-08T20:00:00Z",
        "asset_id": asset["id"],
        "symbol": "AAPL",
        "asset_class": "us_equity",
        "qty": "5",
        "filled_qty": "0",
        "order_class": "",
        "order_type": "market",
        "type": "market",
        "side": "buy",
        "position_intent": "buy_to_open",
        "time_in_force": "day",
        "status": "pending_new",
        "extended_hours": False,
    }
    assert sorted(name for name, value in order.items() if value is None) == sorted(NULL_WHEN_NEW)


def test_a_bracket_has_every_key_of_the_documented_example() -> None:
    examples = trading_api()["components"]["examples"]
    documented: Body = examples["BracketOrderResponse"]["value"]
    order = Desk().limit(
        "150", order_class="bracket", take_profit={"limit_price": 170}, stop_loss={"stop_price": 140}
    )
    assert documented.keys() <= order.keys()
    assert [leg["group_role"] for leg in order["legs"]] == [leg["group_role"] for leg in documented["legs"]]
    for leg, expected in zip(order["legs"], documented["legs"], strict=True):
        assert expected.keys() <= leg.keys()
        assert leg["status"] == expected["status"] == "held"
        assert leg["group_id"] == order["group_id"]


@pytest.mark.parametrize("qty", [1.8, "1.8", "1.80", "+1.8"])
def test_numbers_are_taken_as_numbers_or_strings(qty: object) -> None:
    assert Desk().order(qty=qty)["qty"] == "1.8"


@pytest.mark.parametrize(
    ("price", "written"), [(200, "200"), ("98.50", "98.5"), (1e2, "100"), ("1E+2", "100")]
)
def test_prices_are_written_without_zeros_to_spare(price: object, written: str) -> None:
    assert Desk().limit(price)["limit_price"] == written


def test_absent_client_order_id_becomes_a_uuid() -> None:
    order = Desk().order()
    assert len(order["client_order_id"]) == len(order["id"]) == 36
    assert order["client_order_id"] != order["id"]


def test_a_market_order_goes_from_pending_new_to_new_to_filled() -> None:
    desk = Desk()
    order = desk.order()
    assert order["status"] == "pending_new"
    desk.tick(0.0039)
    assert desk.status(order) == "pending_new"
    desk.tick(0.0001)
    routed = desk.get(order)
    assert (routed["status"], routed["submitted_at"]) == ("new", "2026-10-08T16:00:00.004Z")
    desk.tick(0.008)
    filled = desk.get(order)
    assert (filled["status"], filled["filled_at"]) == ("filled", "2026-10-08T16:00:00.012Z")


def test_a_fractional_order_goes_straight_to_filled() -> None:
    desk = Desk()
    order = desk.order(qty="0.123456789")
    desk.tick(0.0029)
    assert desk.status(order) == "pending_new"
    desk.tick(0.0001)
    filled = desk.get(order)
    assert (filled["status"], filled["filled_qty"]) == ("filled", "0.123456789")


def test_an_order_by_notional_keeps_qty_null_and_tells_the_shares_it_got() -> None:
    desk = Desk()
    order = desk.order(qty=None, notional=500)
    assert (order["notional"], order["qty"]) == ("500", None)
    desk.tick()
    filled = desk.get(order)
    assert (filled["status"], filled["qty"], filled["notional"]) == ("filled", None, "500")
    assert 499.9999 < float(filled["filled_qty"]) * float(filled["filled_avg_price"]) <= 500


def test_an_order_by_notional_that_fills_in_part_fills_with_what_is_left_of_its_notional() -> None:
    desk = Desk()
    order = desk.order(qty=None, notional=500, type="limit", limit_price="1")
    desk.tick(1)
    desk.venue.fill_now(order["id"], Decimal("0.5"))
    part = desk.get(order)
    assert (part["status"], part["filled_qty"], part["qty"]) == ("partially_filled", "0.5", None)
    assert float(part["filled_avg_price"]) <= 1
    desk.venue.fill_now(order["id"])
    filled = desk.get(order)
    assert filled["status"] == "filled"
    assert 499.9999 < float(filled["filled_qty"]) * float(filled["filled_avg_price"]) <= 500
    desk.venue.check_conservation()


@pytest.mark.parametrize("hour", ["21:00", "08:00", "16:00"])
def test_outside_the_session_an_order_is_accepted_and_waits_for_the_open(hour: str) -> None:
    desk = Desk(f"{THURSDAY} {hour}")
    order = desk.order()
    assert order["status"] == "accepted"
    opens = "2026-10-08" if hour == "08:00" else "2026-10-09"
    desk.until(f"{opens} 09:29:59")
    assert desk.status(order) == "accepted"
    desk.until(f"{opens} 09:30:01")
    assert desk.status(order) == "filled"
    assert desk.get(order)["filled_at"] == f"{opens}T13:30:00.008Z"


EXPIRIES = [
    ("12:00", {"time_in_force": "day"}, "2026-10-08T20:00:00Z"),
    ("17:00", {"time_in_force": "day"}, "2026-10-09T20:00:00Z"),
    ("17:00", {"time_in_force": "day", "extended_hours": True}, "2026-10-09T00:00:00Z"),
    ("21:00", {"time_in_force": "day", "extended_hours": True}, "2026-10-10T00:00:00Z"),
    ("12:00", {"time_in_force": "gtc"}, "2027-01-06T21:00:00Z"),
    ("08:00", {"time_in_force": "opg"}, "2026-10-08T13:30:00Z"),
    ("19:00", {"time_in_force": "opg"}, "2026-10-09T13:30:00Z"),
    ("12:00", {"time_in_force": "cls"}, "2026-10-08T20:00:00Z"),
]


@pytest.mark.parametrize(("hour", "more", "expires_at"), EXPIRIES)
def test_an_order_tells_when_it_expires(hour: str, more: dict[str, Any], expires_at: str) -> None:
    assert Desk(f"{THURSDAY} {hour}").limit("90", **more)["expires_at"] == expires_at


def test_an_order_is_found_by_either_id() -> None:
    desk = Desk()
    order = desk.order(client_order_id="héllo")
    assert desk.get(order) == desk.get(order["id"].upper()) == order
    assert desk.venue.get_order_by_client_order_id({"client_order_id": "héllo"}) == order
    assert refused(desk.venue.get_order_by_client_order_id, {})[0] == 422


def test_an_asset_is_named_by_symbol_or_id() -> None:
    desk = Desk()
    by_id = desk.order(symbol=desk.venue.get_asset("AAPL")["id"])
    assert by_id["symbol"] == "AAPL"


def test_ids_come_from_the_seed() -> None:
    def ids(seed: int) -> list[str]:
        return [Desk(seed=seed).order()["id"]]

    assert ids(1) == ids(1) != ids(2)


@pytest.mark.parametrize(
    ("bought", "side", "intent"),
    [
        (0, "buy", "buy_to_open"),
        (0, "sell", "sell_to_open"),
        (5, "buy", "buy_to_open"),
        (5, "sell", "sell_to_close"),
    ],
)
def test_the_intent_follows_from_the_position(bought: int, side: str, intent: str) -> None:
    desk = Desk()
    if bought:
        desk.bought(bought)
    assert desk.order(qty=1, side=side, position_intent=intent)["position_intent"] == intent
