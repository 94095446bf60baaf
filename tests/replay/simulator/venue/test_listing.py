"""GET /v2/orders: filters, order, bounds and limit."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.replay.simulator.venue.desk import Body, Desk, refused


def names(desk: Desk, **query: str) -> list[str]:
    return [order["client_order_id"] for order in desk.venue.list_orders(query)]


@pytest.fixture
def desk() -> Desk:
    """Five orders, a second apart: filled, open, cancelled, open, open."""
    desk = Desk()
    asked: list[dict[str, Any]] = [
        {"type": "market", "qty": "5"},
        {"limit_price": "90"},
        {"limit_price": "91", "symbol": "TSLA"},
        {"limit_price": "110", "side": "sell", "qty": "2"},
        {"limit_price": "92", "symbol": "TSLA"},
    ]
    for place, more in enumerate(asked):
        desk.order(**{"client_order_id": f"order-{place}", "type": "limit", **more})
        desk.tick()
    desk.venue.cancel_order(desk.venue.get_order_by_client_order_id({"client_order_id": "order-2"})["id"])
    desk.tick()
    return desk


LISTS = [
    ({}, "4 3 1"),
    ({"status": "open"}, "4 3 1"),
    ({"status": "closed"}, "2 0"),
    ({"status": "all"}, "4 3 2 1 0"),
    ({"status": "all", "direction": "asc"}, "0 1 2 3 4"),
    ({"status": "all", "limit": "2"}, "4 3"),
    ({"status": "all", "limit": "2", "direction": "asc"}, "0 1"),
    ({"status": "all", "limit": "99999999999999"}, "4 3 2 1 0"),
    ({"status": "all", "symbols": "TSLA"}, "4 2"),
    ({"status": "all", "symbols": "TSLA,AAPL"}, "4 3 2 1 0"),
    ({"status": "all", "symbols": "TSLA,AAPL", "direction": "asc", "limit": "3"}, "0 1 2"),
    ({"status": "all", "symbols": "NONE"}, ""),
    ({"side": "sell"}, "3"),
    ({"status": "all", "side": "buy"}, "4 2 1 0"),
    ({"status": "all", "asset_class": "crypto"}, ""),
    ({"status": "all", "asset_class": "us_equity,crypto"}, "4 3 2 1 0"),
    ({"status": "all", "after": "2026-10-08T16:00:01.004Z"}, "4 3 2"),
    ({"status": "all", "after": "2026-10-08T16:00:01.003999999Z"}, "4 3 2 1"),
    ({"status": "all", "after": "2026-10-08T12:00:02-04:00"}, "4 3 2"),
    ({"status": "all", "until": "2026-10-08T16:00:02.004Z"}, "1 0"),
    ({"status": "all", "until": "2026-10-08T16:00:02.004000001Z"}, "2 1 0"),
    ({"status": "all", "after": "2026-10-08", "until": "2026-10-09"}, "4 3 2 1 0"),
    ({"status": "all", "after": "2026-10-09"}, ""),
    ({"after": "2026-10-08T16:00:02Z", "direction": "asc"}, "3 4"),
]


@pytest.mark.parametrize(("query", "expected"), LISTS)
def test_lists(desk: Desk, query: dict[str, str], expected: str) -> None:
    assert names(desk, **query) == [f"order-{place}" for place in expected.split()]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"before_order_id": "2"}, "1 0"), ({"after_order_id": "2"}, "4 3"),
        ({"after_order_id": "2", "direction": "asc", "limit": "1"}, "3"),
        ({"before_order_id": "2", "symbols": "AAPL"}, "1 0"), ({"before_order_id": "3", "status": "open"},
        "1"),
    ],
)  # fmt: skip
def test_bounds_by_order_id_are_exclusive(desk: Desk, query: dict[str, str], expected: str) -> None:
    ids = {order["client_order_id"][-1]: order["id"] for order in desk.venue.list_orders({"status": "all"})}
    query = {
        "status": "all",
        **{name: ids[text] if name.endswith("_id") else text for name, text in query.items()},
    }
    assert names(desk, **query) == [f"order-{place}" for place in expected.split()]


def test_paging_by_the_last_submission_time_misses_nothing(desk: Desk) -> None:
    found: list[str] = []
    query = {"status": "all", "limit": "2", "direction": "asc"}
    while page := desk.venue.list_orders(query):
        found += [order["client_order_id"] for order in page]
        query["after"] = page[-1]["submitted_at"]
    assert found == [f"order-{place}" for place in range(5)]


REFUSED: list[dict[str, str]] = [
    {"status": "done"}, {"limit": "0"}, {"limit": "-1"}, {"limit": "ten"}, {"limit": "²"},
    {"direction": "up"},
    {"nested": "perhaps"}, {"side": "long"}, {"asset_class": "shares"}, {"after": "yesterday"},
    {"until": "2026-13-01"}, {"until": "99999-01-01"}, {"after": "9999-12-31T23:59:59" * 9},
]  # fmt: skip


@pytest.mark.parametrize("query", REFUSED)
def test_values_that_cannot_be_read_are_refused(desk: Desk, query: dict[str, str]) -> None:
    status, body = refused(desk.venue.list_orders, query)
    assert (status, body["code"]) == (422, 40010001)


def test_bounds_that_exclude_each_other_are_refused(desk: Desk) -> None:
    order = desk.venue.list_orders({})[0]["id"]
    assert refused(desk.venue.list_orders, {"before_order_id": order, "after_order_id": order})[0] == 422
    assert refused(desk.venue.list_orders, {"before_order_id": order, "after": "2026-10-08"})[0] == 422
    unknown = "b0b6dd9d-8b9b-48a9-ba46-b9d54906e415"
    assert refused(desk.venue.list_orders, {"before_order_id": unknown})[0] == 404


def test_held_legs_are_listed_only_under_their_parent() -> None:
    desk = Desk()
    order: Body = desk.order(
        order_class="bracket", take_profit={"limit_price": 110}, stop_loss={"stop_price": 90}
    )
    profit, loss = (leg["id"] for leg in order["legs"])
    assert [row["id"] for row in desk.venue.list_orders({})] == [order["id"]]
    desk.tick()
    assert [(row["id"], row["legs"]) for row in desk.venue.list_orders({})] == [(profit, None)]
    everything = desk.venue.list_orders({"status": "all"})
    assert [row["id"] for row in everything] == [loss, profit, order["id"]]
    nested = desk.venue.list_orders({"nested": "true"})
    assert [(row["id"], [leg["id"] for leg in row["legs"]]) for row in nested] == [
        (order["id"], [profit, loss])
    ]


@pytest.mark.parametrize("filled", [False, True])
def test_a_live_leg_is_no_closed_order(filled: bool) -> None:
    desk = Desk()
    entry = {} if filled else {"type": "limit", "limit_price": "99"}
    order: Body = desk.order(
        order_class="bracket", take_profit={"limit_price": 110}, stop_loss={"stop_price": 90}, **entry
    )
    desk.tick()
    profit = order["legs"][0]["id"]
    assert [row["id"] for row in desk.venue.list_orders({"status": "closed"})] == [order["id"]] * filled
    assert [row["id"] for row in desk.venue.list_orders({})] == [profit if filled else order["id"]]


def rows(desk: Desk, status: str) -> list[tuple[str, list[str]]]:
    """The ids of a nested list, each with those of the legs under it."""
    nested = desk.venue.list_orders({"status": status, "nested": "true"})
    return [(row["id"], [leg["id"] for leg in row["legs"] or ()]) for row in nested]


def test_a_replaced_entry_is_a_closed_row_of_its_own_in_a_nested_list() -> None:
    desk = Desk()
    old: Body = desk.limit(
        "95", order_class="bracket", take_profit={"limit_price": 110}, stop_loss={"stop_price": 90}
    )
    desk.tick()
    legs = [leg["id"] for leg in old["legs"]]
    new = desk.venue.replace_order(old["id"], {"limit_price": "96"})
    assert rows(desk, "open") == [(new["id"], []), (old["id"], legs)]  # on its way
    desk.tick()
    assert rows(desk, "open") == [(new["id"], legs)]
    assert rows(desk, "closed") == [(old["id"], [])]
    assert rows(desk, "all") == [(new["id"], legs), (old["id"], [])]


def test_replaced_orders_of_an_oco_are_rows_of_their_own_in_a_nested_list() -> None:
    desk = Desk()
    desk.bought("10")
    parent: Body = desk.order(
        side="sell",
        type="limit",
        order_class="oco",
        take_profit={"limit_price": 110},
        stop_loss={"stop_price": 90},
    )
    desk.tick()
    leg = parent["legs"][0]["id"]
    new_leg = desk.venue.replace_order(leg, {"stop_price": "91"})["id"]
    desk.tick()
    new_parent = desk.venue.replace_order(parent["id"], {"limit_price": "111"})["id"]
    desk.tick()
    assert rows(desk, "open") == [(new_parent, [new_leg])]
    assert rows(desk, "closed")[:-1] == [(leg, []), (parent["id"], [])]
    assert rows(desk, "all")[:-1] == [(new_parent, [new_leg]), (leg, []), (parent["id"], [])]


def test_the_newest_fifty_of_many_are_as_quick_as_of_few() -> None:
    desk = Desk(cash="1e12")
    desk.limit("90")

    def seconds() -> float:
        begin = time.perf_counter()
        for _ in range(20):
            assert len(desk.venue.list_orders({"status": "all"})) == 50
        return time.perf_counter() - begin

    for _ in range(60):
        desk.order(qty="1")
        desk.tick()
    few = min(seconds() for _ in range(5))
    for _ in range(6000):
        desk.order(qty="1")
        desk.tick()
    many = min(seconds() for _ in range(5))
    assert many < 5 * few
