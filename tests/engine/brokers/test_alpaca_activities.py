"""Activities that change positions: executions strictly, all others as far as they can be read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.breaks import BrokerBook, CorporateAction, OwnBook
from engine.brokers.alpaca_activities import (
    ACTIVITY_TYPES,
    UNCLEAR,
    Activities,
    Activity,
    all_activities,
    parse_activities,
)
from engine.brokers.alpaca_lists import Query
from engine.errors import BrokerError
from engine.orders import BrokerFill
from engine.quantity import UNITS
from engine.reconciling import reconcile
from tests.engine.brokers.simulated import Venue, simulated_venue
from tests.engine.brokers.test_alpaca_lists import FILL

SPLIT: dict[str, Any] = {
    "id": "20260227120000000::5f596936-6f23-4cef-bdf1-3806aae57dbf",
    "activity_type": "SPLIT",
    "activity_sub_type": "RSPLIT",
    "date": "2026-02-27",
    "created_at": "2026-02-27T14:00:08.514798Z",
    "net_amount": "0",
    "symbol": "XRPT",
    "qty": "-33",
    "group_id": "1",
    "status": "executed",
}
DIVIDEND: dict[str, Any] = {  # as recorded in 2020
    "activity_type": "DIV",
    "id": "20190801011955195::5f596936-6f23-4cef-bdf1-3806aae57dbf",
    "date": "2019-08-01",
    "net_amount": "1.02",
    "symbol": "T",
    "qty": "2",
    "per_share_amount": "0.51",
}


def read(*rows: object) -> Activities:
    """Read rows as the one page that there is."""
    body = json.dumps(rows).encode()
    return all_activities(lambda _: parse_activities(body), after=None)


def action(row: dict[str, Any]) -> CorporateAction:
    (found,) = read(row).corporate_actions
    return found


def test_executions_and_corporate_actions_come_apart_in_their_order() -> None:
    found = read(FILL, SPLIT, {**SPLIT, "id": "later", "qty": "1.65"})
    assert [fill.fill_id for fill in found.fills] == [FILL["id"]]
    assert [(one.activity_id, one.qty) for one in found.corporate_actions] == [
        (SPLIT["id"], -33.0),
        ("later", 1.65),
    ]


def test_a_split_says_what_it_changed_and_when() -> None:
    assert action(SPLIT) == CorporateAction(
        activity_id=SPLIT["id"], kind="SPLIT", symbol="XRPT", qty=-33.0, day=date(2026, 2, 27), raw=SPLIT
    )


@pytest.mark.parametrize("status", ["canceled", "correct", "", "pending", None, 7])
def test_what_was_not_simply_executed_has_no_known_size(status: object) -> None:
    assert action({**SPLIT, "status": status}).qty is None


def test_older_activities_have_no_status() -> None:
    assert action({name: said for name, said in SPLIT.items() if name != "status"}).qty == -33.0


def test_a_dividend_in_cash_changes_no_position_and_one_in_shares_has_no_known_size() -> None:
    assert read(DIVIDEND).corporate_actions == []
    in_shares = action({**DIVIDEND, "activity_sub_type": "SDIV", "net_amount": "0"})
    assert (in_shares.kind, in_shares.qty, in_shares.symbol) == ("DIV", None, "T")


@pytest.mark.parametrize(
    "wrong",
    [
        {"qty": "many"},
        {"qty": "NaN"},
        {"qty": []},
        {"activity_type": None},
        {"activity_type": 5},
        {"symbol": ["XRPT"]},
        {"id": ""},
        {"id": None},
    ],
)
def test_an_activity_that_cannot_be_read_is_kept_as_unclear(wrong: dict[str, Any]) -> None:
    row = {**SPLIT, **wrong}
    found = action(row)
    assert (found.kind, found.qty, found.raw) == (UNCLEAR, None, row)
    assert found.symbol == ("" if "symbol" in wrong else "XRPT")
    assert found.activity_id.startswith("unread-" if "id" in wrong else SPLIT["id"])


def test_several_without_an_id_are_all_kept() -> None:
    rows = [{**SPLIT, "id": None, "symbol": symbol} for symbol in ("SPY", "QQQ")]
    assert [found.symbol for found in read(*rows).corporate_actions] == ["SPY", "QQQ"]


@pytest.mark.parametrize("day", ["2026-02-27T05:00:00Z", "2026-02-27"])
def test_the_day_may_be_a_moment(day: str) -> None:
    assert action({**SPLIT, "date": day}).day == date(2026, 2, 27)


@pytest.mark.parametrize("day", [None, "", "yesterday", 20260227])
def test_a_day_that_nobody_can_read_is_none(day: object) -> None:
    found = action({**SPLIT, "date": day})
    assert (found.day, found.kind, found.qty) == (None, "SPLIT", -33.0)


def test_an_action_may_name_no_symbol_and_no_quantity() -> None:
    row = {"id": "a1", "activity_type": "MA", "date": "2026-02-27"}
    assert action(row) == CorporateAction(activity_id="a1", kind="MA", day=date(2026, 2, 27), raw=row)


@pytest.mark.parametrize("row", [{**FILL, "qty": None}, {**FILL, "side": "long"}, "text", None])
def test_an_execution_that_cannot_be_read_is_an_error(row: object) -> None:
    with pytest.raises(ValueError, match="its row 1"):
        read(row)


words = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.just([]), st.just({}))


@given(st.dictionaries(st.sampled_from(sorted({*SPLIT, "odd"})), words))
def test_no_shape_of_an_activity_stops_the_reading(row: dict[str, Any]) -> None:
    found = read(row)
    is_cash = row.get("activity_type") == "DIV"
    assert len(found.corporate_actions) == 1 or is_cash


# --- pages


def test_all_types_are_asked_for_at_once_and_paged_by_the_last_id() -> None:
    asked: list[Query] = []
    rows = [{**SPLIT, "id": f"a{number}"} for number in range(150)]

    def page(query: Query) -> list[Activity]:
        asked.append(query)
        start = int(query["page_token"][1:]) + 1 if "page_token" in query else 0
        return parse_activities(json.dumps(rows[start : start + 100]).encode())

    found = all_activities(page, after=datetime(2026, 2, 27, 14, 0, 0, 500_000, tzinfo=UTC))
    assert len(found.corporate_actions) == 150
    first = {
        "activity_types": ",".join(ACTIVITY_TYPES),
        "direction": "asc",
        "page_size": "100",
        "after": "2026-02-27T13:59:59Z",
    }
    assert asked == [first, {**first, "page_token": "a99"}]


def test_pages_that_say_nothing_new_end_in_an_error() -> None:
    body = json.dumps([{**SPLIT, "id": f"a{number}"} for number in range(100)]).encode()
    with pytest.raises(BrokerError, match="does not come to an end"):
        all_activities(lambda _: parse_activities(body), after=None)


# --- the simulator


@pytest.fixture
def venue() -> Iterator[Venue]:
    with simulated_venue() as simulated:
        yield simulated


def pages(venue: Venue, query: Query) -> list[Activity]:
    return parse_activities(json.dumps(venue.simulator.venue.activities(None, query)).encode())


def test_a_split_in_the_simulator_explains_what_became_of_the_position(venue: Venue) -> None:
    venue.place(symbol="AAPL", qty=10)
    venue.wait()
    venue.simulator.venue.split("AAPL", Decimal(4))
    found = all_activities(lambda query: pages(venue, query), after=None)
    assert [type(row) for row in found.fills] == [BrokerFill]
    positions = {position.symbol: position.qty for position in venue.broker.positions()}
    assert positions == {"AAPL": 40.0}
    theirs = BrokerBook(positions=positions, fills=found.fills, corporate_actions=found.corporate_actions)
    known = frozenset({found.fills[0].broker_order_id})
    ours = OwnBook(account="paper", positions={"AAPL": 10 * UNITS}, known_orders=known)
    (split,) = reconcile(theirs, ours, at=datetime.now(UTC) + timedelta(days=1))
    assert (split.kind, split.difference_qty) == ("corporate_action", 30 * UNITS)
