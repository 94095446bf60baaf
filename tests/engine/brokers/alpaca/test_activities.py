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

from engine.brokers.alpaca.activities import (
    CHANGES,
    MONEY,
    UNCLEAR,
    Activity,
    all_activities,
    parse_activities,
)
from engine.brokers.alpaca.lists import Query, every_fill, parse_fills
from engine.brokers.trading import Activities
from engine.errors import BrokerError
from engine.model.breaks import BrokerBook, CorporateAction, OwnBook
from engine.model.orders import BrokerFill
from engine.model.quantity import UNITS
from engine.reconciliation.breaks_found import reconcile
from replay.simulator.venue.activities import TYPES
from tests.engine.brokers.alpaca.test_lists import FILL
from tests.engine.brokers.simulated import Venue, simulated_venue

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
        activity_id=SPLIT["id"],
        kind="SPLIT",
        symbol="XRPT",
        qty=-33.0,
        day=date(2026, 2, 27),
        raw=SPLIT,
        group_id="1",
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
def test_the_day_may_be_a_timestamp(day: str) -> None:
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
    is_cash = row.get("activity_type") in ["DIV", *MONEY]
    assert len(found.corporate_actions) == 1 or is_cash


# --- types


def test_every_type_of_the_official_document_is_known() -> None:
    assert TYPES - {"FILL", "MISC", "JNL"} <= CHANGES | MONEY
    assert not CHANGES & MONEY


@pytest.mark.parametrize("kind", ["SC", "VOF", "EXTRD", "ALLOC", "MISC", "JNL"])
def test_a_type_that_is_not_known_is_kept_and_of_no_known_size(kind: str) -> None:
    found = action({**SPLIT, "activity_type": kind})
    assert (found.kind, found.is_known, found.qty, found.symbol) == (kind, False, None, "XRPT")


@pytest.mark.parametrize("kind", ["FEE", "INT", "CSD", "JNLC", "DIVNRA"])
def test_what_moves_money_alone_is_left_out(kind: str) -> None:
    assert read({**SPLIT, "activity_type": kind}).corporate_actions == []


# --- executions that were taken back


def taken_back(kind: str, **said: Any) -> dict[str, Any]:
    return {**FILL, "id": "20260303120000000::other", "type": kind, **said}


@pytest.mark.parametrize("previous", [FILL["id"], FILL["id"].rpartition("::")[2], None])
def test_a_bust_takes_its_execution_away(previous: str | None) -> None:
    found = read(FILL, taken_back("trade_bust", previous_id=previous))
    assert (found.fills, found.corrected) == ([], frozenset({FILL["order_id"]}))


@pytest.mark.parametrize("field", ["type", "execution_type"])
def test_a_correction_stands_in_the_place_of_its_execution(field: str) -> None:
    row = {**FILL, "id": "new", "price": "1.25", "previous_id": FILL["id"], field: "trade_correct"}
    found = read(FILL, row)
    assert [(fill.fill_id, fill.price) for fill in found.fills] == [("new", 1.25)]
    assert found.corrected == {FILL["order_id"]}


def test_a_bust_of_an_execution_from_before_is_no_execution() -> None:
    found = read(taken_back("trade_bust", previous_id="long ago"))
    assert (found.fills, found.corrected) == ([], frozenset({FILL["order_id"]}))


def test_a_bust_takes_nothing_away_from_another_order() -> None:
    found = read(FILL, taken_back("trade_bust", order_id="another", previous_id=None))
    assert [fill.fill_id for fill in found.fills] == [FILL["id"]]


def test_lists_of_executions_leave_out_what_was_taken_back() -> None:
    body = json.dumps([FILL, taken_back("trade_bust", previous_id=FILL["id"])]).encode()
    assert every_fill(lambda _: parse_fills(body), after=None) == []


# --- pages


def test_every_type_is_asked_for_without_a_list_and_paged_by_the_last_id() -> None:
    asked: list[Query] = []
    rows = [{**SPLIT, "id": f"a{number}"} for number in range(150)]

    def page(query: Query) -> list[Activity]:
        asked.append(query)
        start = int(query["page_token"][1:]) + 1 if "page_token" in query else 0
        return parse_activities(json.dumps(rows[start : start + 100]).encode())

    found = all_activities(page, after=datetime(2026, 2, 27, 14, 0, 0, 500_000, tzinfo=UTC))
    assert len(found.corporate_actions) == 150
    first = {
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
