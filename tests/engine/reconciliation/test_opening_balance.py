"""What an opening balance had already of documents that were booked later is taken out of it, and no more."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from engine.model.breaks import Break
from engine.model.orders import BrokerPosition
from engine.reconciliation.opening_balance import (
    Booking,
    corrections,
    may_have_twice,
    opening_documents,
    units_by_symbol,
)

OPENED_AT = datetime(2026, 3, 2, 17, tzinfo=UTC)
SESSION = date(2026, 3, 2)
BOOKING = Booking("paper", OPENED_AT + timedelta(hours=1), SESSION)
BEFORE, LATER = OPENED_AT - timedelta(minutes=5), OPENED_AT + timedelta(minutes=5)
SHARE = 1_000_000_000


def opening(**held: float) -> list[dict[str, Any]]:
    positions = [BrokerPosition(symbol=symbol, qty=qty) for symbol, qty in held.items()]
    return opening_documents(positions, BOOKING, account_key="k", asked_at=OPENED_AT)


def fill(order_id: str, symbol: str, side: str, qty: float, at: datetime) -> dict[str, Any]:
    said = {"broker_order_id": order_id, "symbol": symbol, "side": side, "filled_qty": qty}
    return {**said, "filled_at": at.isoformat(), "broker_account_id": "paper"}


def gap(symbol: str, shares: int, kind: str = "position_unexplained", activity_id: str = "") -> Break:
    return Break(
        kind=kind,
        broker_account_id="paper",
        symbol=symbol,
        broker_qty=0,
        ledger_qty=0,
        difference_qty=shares * SHARE,
        said="",
        remedy="",
        found_at=LATER,
        activity_id=activity_id,
    )


def test_fills_of_before_the_opening_are_taken_out_of_it_once() -> None:
    documents = [
        *opening(IWM=3),
        fill("a", "IWM", "buy", 4, BEFORE),
        fill("b", "IWM", "sell", 1, OPENED_AT),
        fill("c", "IWM", "buy", 7, LATER),
        fill("d", "SPY", "buy", 2, BEFORE),
    ]
    found = corrections(documents, [gap("IWM", -3)], BOOKING)
    assert units_by_symbol(found) == {"IWM": -3 * SHARE}
    assert [one["evidence"] for one in found] == [{"had_already": "a"}, {"had_already": "b"}]
    assert corrections([*documents, *found], [gap("IWM", -3)], BOOKING) == []


def test_what_looks_like_a_split_is_corrected_and_what_the_broker_names_is_not() -> None:
    documents = [*opening(IWM=1), fill("a", "IWM", "buy", 1, BEFORE)]
    assert corrections(documents, [gap("IWM", -1, "corporate_action")], BOOKING)
    assert corrections(documents, [gap("IWM", -1, "corporate_action", "20260302::split")], BOOKING) == []
    assert corrections(documents, [gap("IWM", -1, "manual_trade", "f1")], BOOKING) == []


@pytest.mark.parametrize("difference", [-2, 1, -4])
def test_a_difference_that_this_does_not_explain_wholly_stays(difference: int) -> None:
    documents = [*opening(IWM=3), fill("a", "IWM", "buy", 3, BEFORE)]
    assert corrections(documents, [gap("IWM", difference)], BOOKING) == []


def test_a_ledger_without_an_opening_balance_is_never_corrected() -> None:
    assert corrections([fill("a", "IWM", "buy", 1, BEFORE)], [gap("IWM", -1)], BOOKING) == []


def test_an_opening_that_a_later_one_had_already_is_taken_out() -> None:
    first, second = opening(IWM=1)[0], opening(IWM=3)[0]
    first["opened_at"] = BEFORE.isoformat()
    found = corrections([first, second], [gap("IWM", -1)], BOOKING)
    assert [one["evidence"]["had_already"] for one in found] == [first["broker_order_id"]]


def test_a_fill_without_a_time_is_not_taken_for_an_earlier_one() -> None:
    untimed = fill("a", "IWM", "buy", 1, BEFORE) | {"filled_at": ""}
    assert corrections([*opening(IWM=1), untimed], [gap("IWM", -1)], BOOKING) == []


@pytest.mark.parametrize(
    ("breaks", "may"),
    [
        ([], False),
        ([gap("SPY", 1, "manual_trade"), gap("SPY", 1, "corporate_action", "activity-1")], False),
        ([gap("SPY", 1, "manual_trade"), gap("KO", 1)], True),
        ([gap("SPY", 1, "corporate_action")], True),
    ],
)
def test_documents_are_needed_only_for_a_difference_without_a_cause(breaks: list[Break], may: bool) -> None:
    assert may_have_twice(breaks) is may
