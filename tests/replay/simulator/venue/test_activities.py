"""Activities: what a fill tells, and how they are paged."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.replay.simulator.venue.desk import Desk, refused


@pytest.fixture(scope="module")
def desk() -> Desk:
    """Five fills on Thursday, two on Friday."""
    desk = Desk()
    for qty in range(1, 6):
        desk.bought(str(qty))
    desk.until("2026-10-09 12:00")
    for qty in (6, 7):
        desk.bought(str(qty), symbol="TSLA")
    return desk


def qtys(desk: Desk, **query: str) -> str:
    return " ".join(row["qty"] for row in desk.venue.activities("FILL", query))


def test_a_fill_tells_its_order_and_its_execution(desk: Desk) -> None:
    order = desk.venue.list_orders({"status": "all", "direction": "asc", "limit": "1"})[0]
    (fill,) = desk.venue.activities("FILL", {"order_id": order["id"]})
    prefix, _, execution = fill["id"].partition("::")
    assert prefix == "20261008120000012"
    assert len(execution) == 36
    assert fill == {
        "id": fill["id"], "activity_type": "FILL", "transaction_time": "2026-10-08T16:00:00.012Z",
        "type": "fill",
        "price": order["filled_avg_price"], "qty": "1", "side": "buy", "symbol": "AAPL", "leaves_qty": "0",
        "order_id": order["id"], "cum_qty": "1", "order_status": "filled",
    }  # fmt: skip


PAGES = [
    ({}, "7 6 5 4 3 2 1"),
    ({"direction": "asc"}, "1 2 3 4 5 6 7"),
    ({"page_size": "2"}, "7 6"),
    ({"page_size": "1000"}, "7 6 5 4 3 2 1"),
    ({"date": "2026-10-08"}, "5 4 3 2 1"),
    ({"date": "2026-10-09T00:00:00Z", "direction": "asc"}, "6 7"),
    ({"date": "2026-10-10"}, ""),
    ({"date": "0001-01-01"}, ""),
    ({"after": "2026-10-08T16:00:03.012Z", "direction": "asc"}, "5 6 7"),
    ({"until": "2026-10-08T16:00:03.012Z"}, "3 2 1"),
    ({"after": "2026-10-09"}, "7 6"),
    ({"until": "2026-10-09"}, "5 4 3 2 1"),
    ({"order_id": "b0b6dd9d-8b9b-48a9-ba46-b9d54906e415"}, ""),
]


@pytest.mark.parametrize(("query", "expected"), PAGES)
def test_pages(desk: Desk, query: dict[str, str], expected: str) -> None:
    assert qtys(desk, **query) == expected


@pytest.mark.parametrize(("direction", "expected"), [("desc", "7 6 5 4 3 2 1"), ("asc", "1 2 3 4 5 6 7")])
@pytest.mark.parametrize("page_size", ["1", "2", "3", "7"])
def test_paging_by_the_last_id_gives_everything_once(
    desk: Desk, direction: str, expected: str, page_size: str
) -> None:
    found: list[str] = []
    query = {"direction": direction, "page_size": page_size}
    while page := desk.venue.activities("FILL", query):
        found += [row["qty"] for row in page]
        query["page_token"] = page[-1]["id"]
    assert " ".join(found) == expected


def test_other_types_are_known_and_have_none(desk: Desk) -> None:
    assert desk.venue.activities("DIV", {}) == []
    assert desk.venue.activities(None, {"activity_types": "DIV,TRANS"}) == []
    assert desk.venue.activities(None, {"category": "non_trade_activity"}) == []
    for query in ({}, {"activity_types": "FILL,TRANS"}, {"category": "trade_activity"}):
        assert len(desk.venue.activities(None, query)) == 7


@pytest.fixture(scope="module")
def split_desk() -> Desk:
    """Ten shares, split four for one on Thursday, two more bought on Friday, all split one for two."""
    desk = Desk()
    desk.bought("10")
    desk.venue.split("AAPL", Decimal(4))
    desk.until("2026-10-09 12:00")
    desk.bought("2")
    desk.venue.split("AAPL", Decimal("0.5"))
    desk.venue.split("TSLA", Decimal(2))
    return desk


def told(desk: Desk, kind: str | None = None, **query: str) -> str:
    rows = desk.venue.activities(kind, {"direction": "asc", **query})
    return " ".join(f"{row['activity_type']}:{row['qty']}" for row in rows)


def test_a_split_takes_the_old_shares_away_and_gives_the_new_ones(split_desk: Desk) -> None:
    taken, given = split_desk.venue.activities("SPLIT", {"direction": "asc", "date": "2026-10-08"})
    assert given == {
        "id": given["id"], "activity_type": "SPLIT", "activity_sub_type": "FSPLIT", "date": "2026-10-08",
        "created_at": given["created_at"], "net_amount": "0", "symbol": "AAPL", "qty": "40",
        "group_id": taken["group_id"], "currency": "USD", "status": "executed",
    }  # fmt: skip
    assert taken["qty"] == "-10"
    assert taken["id"] != given["id"]
    assert split_desk.venue.state()["split_activities"][:2] == [taken, given]


def test_a_split_of_what_nobody_holds_leaves_no_activity(split_desk: Desk) -> None:
    assert {row["symbol"] for row in split_desk.venue.activities("SPLIT", {})} == {"AAPL"}


EVERYTHING = "FILL:10 SPLIT:-10 SPLIT:40 FILL:2 SPLIT:-42 SPLIT:21"
ASKED: list[tuple[str | None, dict[str, str], str]] = [
    (None, {}, EVERYTHING),
    (None, {"activity_types": "FILL,SPLIT,DIV"}, EVERYTHING),
    (None, {"activity_types": "FILL"}, "FILL:10 FILL:2"),
    ("FILL", {}, "FILL:10 FILL:2"),
    ("SPLIT", {}, "SPLIT:-10 SPLIT:40 SPLIT:-42 SPLIT:21"),
    (None, {"category": "non_trade_activity"}, "SPLIT:-10 SPLIT:40 SPLIT:-42 SPLIT:21"),
    (None, {"category": "trade_activity"}, "FILL:10 FILL:2"),
    (None, {"after": "2026-10-09"}, "FILL:2 SPLIT:-42 SPLIT:21"),
]


@pytest.mark.parametrize(("kind", "query", "expected"), ASKED)
def test_splits_stand_among_the_fills_where_they_are_asked_for(
    split_desk: Desk, kind: str | None, query: dict[str, str], expected: str
) -> None:
    assert told(split_desk, kind, **query) == expected


@pytest.mark.parametrize("page_size", ["1", "2", "4"])
def test_fills_and_splits_are_paged_together(split_desk: Desk, page_size: str) -> None:
    found: list[str] = []
    query = {"direction": "asc", "page_size": page_size}
    while page := split_desk.venue.activities(None, query):
        found += [f"{row['activity_type']}:{row['qty']}" for row in page]
        query["page_token"] = page[-1]["id"]
    assert " ".join(found) == EVERYTHING


def test_the_fills_of_an_order_have_no_split_among_them(split_desk: Desk) -> None:
    (fill,) = split_desk.venue.activities("FILL", {"date": "2026-10-08"})
    assert told(split_desk, order_id=fill["order_id"]) == "FILL:10"


REFUSED: list[tuple[str | None, dict[str, str]]] = [
    ("fill", {}), (None, {"activity_types": "FILL,BILL"}), ("FILL", {"page_size": "0"}),
    ("FILL", {"direction": "down"}), ("FILL", {"date": "today"}), ("FILL", {"page_token": "abc"}),
    ("FILL", {"order_id": "abc"}), (None, {"category": "any"}),
    (None, {"category": "trade_activity", "activity_types": "FILL"}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "query"), REFUSED)
def test_what_cannot_be_read_is_refused(desk: Desk, kind: str | None, query: dict[str, str]) -> None:
    status, body = refused(desk.venue.activities, kind, query)
    assert (status, body["code"]) == (422, 40010001)
