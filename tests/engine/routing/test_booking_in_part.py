"""Booking into a ledger that refuses what is written down: what it gets, and what is kept beside the runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any, cast

import pytest

from engine.errors import DocumentRefused, EngineError
from engine.ledger.documents import NO_SESSION, essential
from engine.log import EventLog
from engine.record.objects import LocalObjects
from engine.routing.booking import Booked, FillBooking, unkept, what_is_unkept
from engine.stores.protocols import LedgerStore

SESSION, RUN = date(2026, 3, 2), "run-1"
Document = dict[str, Any]


def document(order_id: str, **said: Any) -> Document:
    plain = {
        "broker_order_id": order_id, "client_intent_id": f"i-{order_id}", "broker_account_id": "paper",
        "symbol": "SPY", "side": "buy", "filled_qty": 3.0, "trading_date": "2026-03-02", "metadata": {"a": 1},
    }  # fmt: skip
    return {**plain, **said}


@dataclass
class Refusing:
    """A ledger that refuses for good what ``refuses`` names a reason for; nothing of such a write is kept."""

    refuses: Callable[[Mapping[str, Any]], str] = lambda _: ""
    wrote: list[Document] = field(default_factory=list)

    def write_ledger(self, documents: Iterable[Mapping[str, Any]]) -> int:
        rows = [dict(one) for one in documents]
        for row in rows:
            if why := self.refuses(row):
                raise DocumentRefused(why)
        self.wrote += rows
        return len(rows)


@dataclass
class Desk:
    """A ledger and a data folder."""

    folder: Path
    ledger: Any = field(default_factory=Refusing)
    logged: StringIO = field(default_factory=StringIO)

    @property
    def objects(self) -> LocalObjects:
        return LocalObjects(self.folder)

    def book(self, *documents: Document) -> Booked:
        booking = FillBooking(cast(LedgerStore, self.ledger), self.objects, EventLog(self.logged))
        return booking.book(list(documents), trading_date=SESSION, run_id=RUN)

    def events(self) -> list[tuple[str, str, str]]:
        rows = [json.loads(line) for line in self.logged.getvalue().splitlines()]
        return [(row["event"], row["severity"], row.get("broker_order_id", "")) for row in rows]

    def kept(self) -> list[Document]:
        return [json.loads(self.objects.read(key)) for key in unkept_here(self)]


def unkept_here(desk: Desk) -> list[str]:
    return unkept(desk.objects, trading_date=SESSION, run_id=RUN)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_what_the_ledger_accepts_is_written_at_once_and_nothing_is_kept_beside(desk: Desk) -> None:
    documents = [document("a"), document("b")]
    assert desk.book(*documents) == Booked()
    assert desk.ledger.wrote == documents
    assert desk.events() == [("ledger_written", "INFO", "")]
    assert "2 of 2 trades changed in the ledger" in desk.logged.getvalue()
    assert unkept_here(desk) == []


def test_where_nothing_filled_nothing_is_written(desk: Desk) -> None:
    assert desk.book() == Booked()
    assert (desk.ledger.wrote, desk.events()) == ([], [])


def without_metadata(one: Mapping[str, Any]) -> str:
    return "the metadata is not for us." if "metadata" in one else ""


def test_a_document_that_is_refused_is_written_by_what_it_is_counted_by_and_the_others_whole(
    desk: Desk,
) -> None:
    whole = document("b")
    del whole["metadata"]
    desk.ledger.refuses = without_metadata
    booked = desk.book(document("a"), whole)
    assert desk.ledger.wrote == [essential(document("a")), whole]
    assert {"broker_order_id", "broker_account_id", "symbol", "side", "filled_qty"} <= {*desk.ledger.wrote[0]}
    assert (booked.unkept, booked.missing) == (unkept_here(desk), set())
    assert desk.events() == [("ledger_kept_in_part", "ERROR", "a")]
    (record,) = desk.kept()
    assert record["document"] == document("a")
    assert (record["is_counted"], record["why"]) == (True, "the metadata is not for us.")
    assert record["message"].startswith("order a of intent i-a is in the ledger in part: ")
    assert {"path": "metadata", "remedy": "the metadata is not for us."}.items() <= next(
        part for part in record["missing"] if part["path"] == "metadata"
    ).items()


def test_parts_that_no_store_keeps_are_left_out_and_each_is_named_once(desk: Desk) -> None:
    odd = document("a", metadata={"a": 1, "b": float("nan")})
    desk.ledger.refuses = lambda one: "NaN" if one.get("metadata", {}).get("b") is not None else ""
    booked = desk.book(odd)
    assert desk.ledger.wrote == [document("a", metadata={"a": 1})]
    assert len(booked.unkept) == 1
    (record,) = desk.kept()
    assert [part["path"] for part in record["missing"]] == ["metadata.b"]


def test_an_order_that_the_ledger_refuses_altogether_is_missing_and_loud(desk: Desk) -> None:
    desk.ledger.refuses = lambda one: "no room." if one["broker_order_id"] == "a" else ""
    booked = desk.book(document("a"), document("b"))
    assert [one["broker_order_id"] for one in desk.ledger.wrote] == ["b"]
    assert booked.missing == {"a"}
    assert desk.events() == [("ledger_kept_in_part", "CRITICAL", "a")]
    (record,) = desk.kept()
    assert record["message"].startswith("order a of intent i-a is not in the ledger: ")
    assert (record["is_counted"], record["why"]) == (False, "no room.")


def test_the_same_gap_found_again_is_one_file_and_another_one_another(desk: Desk) -> None:
    desk.ledger.refuses = without_metadata
    first, again = desk.book(document("a")), desk.book(document("a"))
    assert first.unkept == again.unkept
    desk.book(document("b"))
    assert len(unkept_here(desk)) == 2


def test_an_execution_at_a_time_without_a_session_is_booked_and_kept_beside_too(desk: Desk) -> None:
    odd = document("a", **{NO_SESSION: ["9999-01-01T00:00:00+00:00"]})
    booked = desk.book(odd, document("b"))
    assert desk.ledger.wrote == [odd, document("b")]
    assert (len(booked.unkept), booked.missing) == (1, set())
    (record,) = desk.kept()
    assert record["message"].startswith(
        "order a of intent i-a is in the ledger in session 2026-03-02, but the broker reports an execution "
        "of it at 9999-01-01T00:00:00+00:00; expected a time from "
    )
    assert record["is_counted"]
    assert desk.events()[-1] == ("ledger_kept_in_part", "ERROR", "a")


def test_a_sentence_for_each_file_says_what_is_missing_and_where_it_is(desk: Desk) -> None:
    desk.ledger.refuses = without_metadata
    (key,) = desk.book(document("a")).unkept
    (sentence,) = what_is_unkept(desk.objects, [key])
    assert sentence == f"{desk.kept()[0]['message']} What is missing is in {key}."
    assert key.startswith("unkept/2026-03-02/run-1/")


def test_a_ledger_that_is_down_is_an_error_and_nothing_is_kept_beside(desk: Desk) -> None:
    class Down:
        def write_ledger(self, documents: Iterable[Mapping[str, Any]]) -> int:
            raise EngineError("the ledger is down.")

    desk.ledger = Down()
    with pytest.raises(EngineError, match="the ledger is down"):
        desk.book(document("a"))
    assert desk.events() == [("ledger_write_failed", "ERROR", "")]
    assert unkept_here(desk) == []
