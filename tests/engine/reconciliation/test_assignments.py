"""Assignments: what an operator may give to which book, and the two documents that say so."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from engine.errors import UsageError
from engine.ledger.documents import signed_units
from engine.ledger.strategies import NO_STRATEGY, StrategyBook
from engine.reconciliation.adjustments import accepted_in
from engine.reconciliation.assignments import Assignment, Decision, assignment_documents, check_assignable

UNIT = 1_000_000_000
NOON = datetime(2026, 3, 2, 17, tzinfo=UTC)
BOOK = StrategyBook(
    {(NO_STRATEGY, "SPY"): 10 * UNIT, (NO_STRATEGY, "QQQ"): -5 * UNIT, ("momentum", "SPY"): 3 * UNIT},
    {"SPY": 13 * UNIT, "QQQ": -5 * UNIT},
)
DECIDED = Decision(by="ann", why="traded by phone", at=NOON, trading_date=date(2026, 3, 2))


def given(**said: Any) -> Assignment:
    plain: dict[str, Any] = {"account": "paper", "symbol": "SPY", "source": NO_STRATEGY, "target": "momentum"}
    return Assignment(**(plain | {"units": 4 * UNIT} | said))


@pytest.mark.parametrize(
    "said",
    [
        {"units": 1},
        {"units": 10 * UNIT},
        {"symbol": "QQQ", "units": -5 * UNIT},
        {"symbol": "QQQ", "units": -1},
        {"source": "momentum", "target": NO_STRATEGY, "units": 3 * UNIT},
        {"source": "momentum", "target": "carry", "units": 3 * UNIT},
        {"target": "new"},
    ],
)
def test_any_part_of_what_a_book_holds_may_go_to_another(said: dict[str, Any]) -> None:
    check_assignable(given(**said), BOOK)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (
            {"units": 10 * UNIT + 1},
            "--qty is 10.000000001; expected a part of the 10 SPY that the",
        ),
        ({"units": 0}, "--qty is 0; expected a part of the 10 SPY"),
        ({"units": -1 * UNIT}, "--qty is -1; expected a part of the 10 SPY"),
        ({"symbol": "QQQ", "units": 5 * UNIT}, "--qty is 5; expected a part of the -5 QQQ"),
        ({"symbol": "QQQ", "units": -5 * UNIT - 1}, "--qty is -5.000000001; expected a part of the -5 QQQ"),
        ({"symbol": "IWM"}, "--qty is 4; expected a part of the 0 IWM"),
        ({"symbol": "IWM", "units": 0}, "--qty is 0; expected a part of the 0 IWM"),
        (
            {"source": "momentum", "target": "carry"},
            "the 3 SPY that momentum holds in account paper",
        ),
        ({"target": NO_STRATEGY}, "--from and --to are both the account's rest; expected two books"),
        ({"source": "momentum"}, "--from and --to are both momentum; expected two books"),
        (
            {"target": "Momentum"},
            "--to is 'Momentum', and account paper has a strategy whose name only looks",
        ),
        ({"source": "momentum ", "target": NO_STRATEGY}, "--from is 'momentum ', and account paper has"),
    ],
)
def test_what_is_no_part_of_a_book_is_refused(said: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_assignable(given(**said), BOOK)
    assert why in str(caught.value)
    assert "Nothing was assigned; `execution-engine positions show --by-strategy`" in str(caught.value)


def test_its_two_documents_are_opposites_and_of_its_books() -> None:
    out, into = assignment_documents(given(), BOOK, DECIDED)
    assert [(one["strategy_id"], one["side"], one["filled_qty"]) for one in (out, into)] == [
        ("", "sell", 4.0),
        ("momentum", "buy", 4.0),
    ]
    fields = ("broker_order_id", "symbol", "side", "filled_qty")
    keys: list[Any] = [tuple(one[name] for name in fields) for one in (out, into)]
    assert sum(units for _, units in signed_units(keys)) == 0
    for one in (out, into):
        assert (one["adjustment"], one["by"], one["why"], one["counts_as_trade"]) == (
            "assignment", "ann", "traded by phone", False
        )  # fmt: skip
        assert one["evidence"] == {
            "from": "", "to": "momentum", "from_qty": 10.0, "to_qty": 3.0, "number": 0
        }  # fmt: skip


def test_the_same_assignment_of_the_same_books_has_the_same_ids_and_any_other_has_others() -> None:
    def ids(wanted: Assignment, book: StrategyBook = BOOK, number: int = 0) -> set[str]:
        documents = assignment_documents(wanted, book, DECIDED, number=number)
        return {one["broker_order_id"] for one in documents}

    one = ids(given())
    assert len(one) == 2
    assert ids(given()) == one
    others = [
        ids(given(), number=1),
        ids(given(target="carry")),
        ids(given(units=UNIT)),
        ids(given(), StrategyBook({(NO_STRATEGY, "SPY"): 6 * UNIT}, {"SPY": 6 * UNIT})),
    ]
    assert not one & set().union(*others)
    assert len(set().union(*others)) == 8


def test_an_assignment_accepts_no_break() -> None:
    accepted = accepted_in(assignment_documents(given(), BOOK, DECIDED))
    assert (accepted.orders, accepted.activities, accepted.filled) == (frozenset(), frozenset(), {})
