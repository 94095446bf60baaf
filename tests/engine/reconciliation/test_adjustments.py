"""Proposals: what is proposed can be read again, what was changed or is out of date is refused."""

from __future__ import annotations

import csv
from datetime import UTC, date, datetime
from typing import Any

import pytest

from engine.errors import UnreadableFile, UsageError
from engine.ledger.documents import net_units
from engine.model.breaks import Break
from engine.model.quantity import UNITS
from engine.reconciliation.adjustments import (
    PROPOSAL_COLUMNS,
    Proposed,
    accepted_in,
    adjustments,
    check_against_ledger,
    proposal,
    read_proposal,
)

AT = datetime(2026, 3, 16, 13, 29, tzinfo=UTC)
SESSION = date(2026, 3, 16)


def units(qty: float) -> int:
    return round(qty * UNITS)


def found(kind: str = "manual_trade", qty: float = 3.0, **said: Any) -> Break:
    told: dict[str, Any] = {"symbol": "SPY", "broker_qty": units(13), "ledger_qty": units(10)}
    told |= {
        "broker_order_id": "hand-1",
        "activity_id": "f1 f2",
        "said": 'SPY: "13", not 10.',
        "remedy": "Look.",
    }
    told |= {"found_at": AT, "difference_qty": units(qty)}
    return Break(kind=kind, **({"broker_account_id": "paper"} | told | said))


def unexplained(qty: float = 0.5, **said: Any) -> Break:
    return found("position_unexplained", qty, **({"broker_order_id": "", "activity_id": ""} | said))


def read(*breaks: Break) -> list[Proposed]:
    return read_proposal(proposal(breaks), "breaks.csv")


def documents(*rows: Proposed, **said: Any) -> list[dict[str, Any]]:
    told: dict[str, Any] = {"by": "Ada", "why": "bought by hand", "at": AT, "trading_date": SESSION}
    return adjustments(rows, **(told | said))


def refused(text: str) -> str:
    with pytest.raises(UnreadableFile) as error:
        read_proposal(text, "breaks.csv")
    return str(error.value)


def test_a_proposal_has_a_line_for_each_open_break() -> None:
    late = found("late_fill", is_repaired=True)
    header, *lines = proposal([late, found(), unexplained(-0.000000001)]).splitlines()
    assert header.split(",") == list(PROPOSAL_COLUMNS)
    rest = '2026-03-16T13:29:00+00:00,"SPY: ""13"", not 10."'
    assert lines == [
        f"paper,SPY,manual_trade,10,13,3,hand-1,,f1 f2,{rest}",
        f"paper,SPY,position_unexplained,10,13,-0.000000001,,,,{rest}",
    ]


def test_what_was_proposed_is_read_again() -> None:
    rows = read(found(), unexplained(-0.5))
    assert [(row.line, row.kind, row.adjustment_qty) for row in rows] == [
        (2, "manual_trade", units(3)),
        (3, "position_unexplained", units(-0.5)),
    ]
    assert (rows[0].ledger_qty, rows[0].broker_qty, rows[0].found_at) == (units(10), units(13), AT)
    assert rows[0].said == 'SPY: "13", not 10.'


def test_no_cell_of_a_proposal_is_a_formula_and_all_are_read_back_as_they_were() -> None:
    texts = {
        "broker_order_id": "=cmd|'x'!A0",
        "activity_id": "+1+1",
        "client_intent_id": "'-2",
        "said": "@SUM\n\x1b",
    }
    break_ = found(qty=-3, broker_account_id="=paper", **texts)
    (cells,) = list(csv.reader(proposal([break_]).splitlines()))[1:]
    assert cells[0] == "'=paper"
    assert cells[5] == "-3"
    assert cells[6:9] == ["'=cmd|'x'!A0", "''-2", "'+1+1"]
    assert cells[10] == "'@SUM\\n\\x1b"
    (row,) = read(break_)
    assert row.broker_account_id == "=paper"
    assert {name: getattr(row, name) for name in texts} == texts


def test_lines_may_be_dropped_and_a_spreadsheet_may_have_saved_the_file() -> None:
    text = proposal([found(), unexplained()]).splitlines()
    kept = "\ufeff" + "\r\n".join([text[0], text[2], ""])
    assert [row.kind for row in read_proposal(kept, "breaks.csv")] == ["position_unexplained"]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("broker_account_id", " paper", "broker_account_id is ' paper'; expected the account's name"),
        ("broker_account_id", "", "broker_account_id is ''"),
        ("symbol", "spy", "symbol is 'spy'; expected 1 to 32 characters of A-Z"),
        ("symbol", "", "symbol is ''"),
        ("kind", "late_fill", "kind is 'late_fill'; expected one of manual_trade, corporate_action"),
        ("kind", "trade", "kind is 'trade'"),
        ("ledger_qty", "ten", "ledger_qty is 'ten'; expected shares below 1e9 with at most 9 decimals"),
        ("broker_qty", "1e3", "broker_qty is '1e3'"),
        ("adjustment_qty", "", "adjustment_qty is ''"),
        ("adjustment_qty", "1.0000000001", "adjustment_qty is '1.0000000001'"),
        ("adjustment_qty", "nan", "adjustment_qty is 'nan'"),
        ("adjustment_qty", "1,5", "adjustment_qty is '1,5'"),
        ("adjustment_qty", "\u0661", "adjustment_qty is '\u0661'"),
        ("adjustment_qty", "0", "adjustment_qty is '0'; expected what balances a manual_trade"),
        ("broker_order_id", "", "broker_order_id is ''; expected the order of a manual_trade"),
        ("found_at", "2026-03-16", "found_at is '2026-03-16'; expected a timestamp with a zone"),
        ("found_at", "today", "found_at is 'today'"),
    ],
)
def test_a_line_that_says_what_cannot_be_is_refused_with_its_place(
    column: str, value: str, message: str
) -> None:
    cells = ["paper", "SPY", "manual_trade", "10", "13", "3", "hand-1", "", "f1", AT.isoformat(), "said"]
    cells[PROPOSAL_COLUMNS.index(column)] = f'"{value}"'
    said = refused("\n".join([",".join(PROPOSAL_COLUMNS), ",".join(cells)]))
    assert f"breaks.csv:2: {message}" in said
    assert said.endswith("Nothing was accepted; sync again, and accept the file that it proposes.")


@pytest.mark.parametrize("kind", ["unknown_order", "missing_order", "overfilled", "price_differs"])
def test_an_order_that_is_only_acknowledged_adjusts_nothing(kind: str) -> None:
    assert read(found(kind, 0.0))[0].adjustment_qty == 0
    assert "adjustment_qty is '3'; expected 0 where an order alone is accepted" in refused(
        proposal([found(kind)])
    )


def test_a_missing_order_may_be_named_by_its_intent() -> None:
    (row,) = read(found("missing_order", 0.0, broker_order_id="", client_intent_id="i-1"))
    assert accepted_in(documents(row)).orders == {("missing_order", "i-1")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "breaks.csv:1: the columns are ''; expected broker_account_id, symbol, kind"),
        ("account,symbol\npaper,SPY", "the columns are 'account, symbol'"),
        (proposal([]), "breaks.csv: it proposes nothing"),
        (proposal([found()]) + "paper,SPY\n", "breaks.csv:3: it has 2 cells; expected 11"),
        (proposal([found()]) + 'paper,"SPY\n', "breaks.csv: can't be read as csv"),
        (proposal([found(), found()]), "breaks.csv:3: it repeats line 2; drop one of the two"),
        (
            proposal([found(), unexplained(ledger_qty=units(11))]),
            "breaks.csv:3: ledger_qty and broker_qty of SPY aren't those of line 2; expected the lines of",
        ),
    ],
)
def test_a_file_that_is_no_proposal_is_refused(text: str, message: str) -> None:
    assert message in refused(text)


def test_every_problem_is_reported_at_once() -> None:
    said = refused(proposal([found(symbol="spy"), found(kind="late_fill")]))
    assert "2 problems:" in said
    assert "breaks.csv:2: symbol is 'spy'" in said
    assert "breaks.csv:3: kind is 'late_fill'" in said


# --- against the ledger


def test_lines_of_the_ledger_as_it_is_pass() -> None:
    check_against_ledger(read(found(), unexplained()), {("paper", "SPY"): units(10)}, [], "breaks.csv")


@pytest.mark.parametrize("now", [units(9), 0])
def test_lines_of_a_ledger_that_has_moved_since_are_refused(now: int) -> None:
    with pytest.raises(UnreadableFile) as error:
        check_against_ledger(read(found()), {("paper", "SPY"): now}, [], "breaks.csv")
    assert str(error.value) == (
        f"breaks.csv: 1 problem:\n  breaks.csv:2: ledger_qty is 10; expected {now // UNITS}, what account "
        f"paper has in SPY: the ledger has changed since. Nothing was accepted; sync again, and accept the "
        f"file that it proposes."
    )


def test_the_ledger_of_another_account_is_not_looked_at() -> None:
    with pytest.raises(UnreadableFile):
        check_against_ledger(read(found()), {("second", "SPY"): units(10)}, [], "breaks.csv")


def test_what_an_earlier_try_took_in_is_allowed_for() -> None:
    first, second = read(found(), unexplained())
    check_against_ledger([second], {("paper", "SPY"): units(13)}, [first], "breaks.csv")


# --- the documents


def test_an_accepted_line_becomes_a_document_that_balances_and_says_who_and_why() -> None:
    row = read(found(qty=-3.0))[0]
    (document,) = documents(row, by="  Ada ", why=" bought by hand")
    assert (document["by"], document["why"], document["adjustment"]) == (
        "Ada",
        "bought by hand",
        "manual_trade",
    )
    assert (document["side"], document["filled_qty"], document["trading_date"]) == ("sell", 3.0, "2026-03-16")
    assert document["counts_as_trade"] is False
    assert document["evidence"] == {
        "ledger_qty": 10.0,
        "broker_qty": 13.0,
        "broker_order_id": "hand-1",
        "activity_id": "f1 f2",
        "found_at": "2026-03-16T13:29:00+00:00",
        "said": 'SPY: "13", not 10.',
    }
    said = [(document["broker_order_id"], document["symbol"], document["side"], document["filled_qty"])]
    assert net_units(said) == {"SPY": units(-3)}


def test_the_same_line_accepted_again_is_the_same_document() -> None:
    row = read(found())[0]
    later = datetime(2026, 3, 17, tzinfo=UTC)
    first, again = documents(row)[0], documents(row, by="Bob", why="again", at=later)[0]
    assert first["broker_order_id"] == again["broker_order_id"]


def test_the_same_difference_found_another_day_is_another_document() -> None:
    another = found(found_at=datetime(2026, 3, 17, tzinfo=UTC))
    assert documents(*read(found()))[0]["broker_order_id"] != documents(*read(another))[0]["broker_order_id"]


@pytest.mark.parametrize(("by", "why"), [("", "x"), (" ", "x"), ("x", ""), ("x", "\n")])
def test_nobody_accepts_anything_and_nothing_without_a_reason(by: str, why: str) -> None:
    with pytest.raises(UsageError, match="expected text, which is kept for ever"):
        documents(*read(found()), by=by, why=why)


def test_what_was_accepted_is_known_by_its_orders_and_activities() -> None:
    stranger = found("unknown_order", 0.0, broker_order_id="hand-2", activity_id="")
    accepted = accepted_in(
        [*documents(*read(found(), stranger, unexplained())), {"broker_order_id": "own-1"}]
    )
    assert accepted.orders == {("manual_trade", "hand-1"), ("unknown_order", "hand-2")}
    assert accepted.activities == {"f1", "f2"}
