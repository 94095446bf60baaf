"""Activities: what a fill tells, and how they are paged."""

from __future__ import annotations

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
