"""``positions accept``: what balances the ledger is taken in once, with who and why, or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.errors import RunInProgress, UnreadableFile, UsageError
from engine.model.breaks import Break, BrokerBook, OwnBook
from engine.model.orders import BrokerFill, BrokerOrder
from engine.model.quantity import UNITS
from engine.reconciliation.adjustments import accepted_in, proposal
from engine.reconciliation.breaks_found import reconcile
from engine.safety.lock import exclusive
from engine.stores.embedded.store import EmbeddedStore
from jobs import positions

AT = datetime(2026, 3, 16, 13, 29, tzinfo=UTC)
LEDGER = {
    "broker_order_id": "own-1",
    "broker_account_id": "paper",
    "trading_date": "2026-03-13",
    "symbol": "SPY",
    "side": "buy",
    "filled_qty": 10.0,
}
Accept = Callable[..., int]


@pytest.fixture
def store(data: Path) -> EmbeddedStore:
    data.mkdir()
    store = EmbeddedStore(data / "engine.db")
    store.write_ledger([LEDGER])
    return store


@pytest.fixture
def accept(tmp_path: Path) -> Accept:
    """Return a function that writes a proposal and accepts it, some lines left out."""

    def run(breaks: list[Break], *, leaving_out: int = 0, **said: Any) -> int:
        file = tmp_path / "breaks.csv"
        lines = proposal(breaks).splitlines()
        file.write_text("\n".join(lines[: len(lines) - leaving_out]), encoding="utf-8")
        told: dict[str, Any] = {"by": "Ada", "why": "bought by hand", "as_json": False, "clock": lambda: AT}
        return positions.accept(str(file), **(told | said))

    return run


def found(store: EmbeddedStore, *, at: datetime = AT) -> list[Break]:
    """Compare the ledger with a broker who holds 13.5 SPY, 3 of them by hand, and an order of somebody's."""
    theirs = BrokerBook(
        positions={"SPY": 13.5},
        open_orders=[
            BrokerOrder(broker_order_id="hand-2", client_order_id="", order_status="new", symbol="SPY")
        ],
        fills=[
            BrokerFill(
                fill_id="f1",
                broker_order_id="hand-1",
                symbol="SPY",
                side="buy",
                qty=3.0,
                price=650.0,
                filled_at=AT - timedelta(minutes=1),
            )
        ],
    )
    documents = store.account_documents("paper", since=AT.date() - timedelta(days=30))
    ours = OwnBook(
        account="paper",
        positions=store.net_positions("paper"),
        known_orders=frozenset({"own-1"}),
        accepted=accepted_in(documents),
    )
    return reconcile(theirs, ours, at=at)


def test_what_was_accepted_balances_the_ledger_and_is_no_break_any_more(
    store: EmbeddedStore, accept: Accept, capsys: pytest.CaptureFixture[str]
) -> None:
    breaks = found(store)
    assert [one.kind for one in breaks] == ["manual_trade", "unknown_order", "position_unexplained"]
    assert accept(breaks) == 0
    assert store.net_positions("paper") == {"SPY": round(13.5 * UNITS)}
    assert found(store) == []
    told = " ".join(capsys.readouterr().out.split())
    assert "Accepted: +3 SPY of paper (manual_trade, order hand-1) (adjustment-" in told
    assert "Accepted: 0 SPY of paper (unknown_order, order hand-2)" in told
    assert "Accepted: +0.5 SPY of paper (position_unexplained)" in told
    assert "3 adjustments are now in the ledger in " in told
    assert "The next `execution-engine sync` compares it with the broker again." in told


def test_each_line_is_logged_with_who_and_why(
    store: EmbeddedStore, accept: Accept, capsys: pytest.CaptureFixture[str]
) -> None:
    accept(found(store))
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [event["event"] for event in events] == ["adjustment_accepted"] * 3
    (first, *_) = events
    assert {name: first[name] for name in ("severity", "account", "symbol", "kind", "by", "why")} == {
        "severity": "NOTICE",
        "account": "paper",
        "symbol": "SPY",
        "kind": "manual_trade",
        "by": "Ada",
        "why": "bought by hand",
    }
    assert first["adjustment_qty"] == 3.0
    document = store.ledger_document(first["ledger_document"])
    assert document is not None
    assert (document["by"], document["why"]) == ("Ada", "bought by hand")
    assert first["evidence"] == document["evidence"]


def test_a_line_that_was_left_out_stays_a_break(store: EmbeddedStore, accept: Accept) -> None:
    accept(found(store), leaving_out=1)
    assert [one.kind for one in found(store)] == ["position_unexplained"]


def test_the_same_file_accepted_again_changes_nothing(
    store: EmbeddedStore, accept: Accept, capsys: pytest.CaptureFixture[str]
) -> None:
    breaks = found(store)
    accept(breaks)
    capsys.readouterr()
    later = AT + timedelta(days=1)
    assert accept(breaks, by="Bob", why="again", as_json=True, clock=lambda: later) == 0
    printed = capsys.readouterr()
    said = json.loads(printed.out)
    assert (said["exit_code"], said["accepted"], len(said["accepted_before"])) == (0, [], 3)
    assert printed.err == ""
    assert store.net_positions("paper") == {"SPY": round(13.5 * UNITS)}
    document = store.ledger_document(said["accepted_before"][0]["ledger_document"])
    assert document is not None
    assert document["by"] == "Ada"


def test_an_acceptance_that_was_cut_off_can_be_repeated(
    store: EmbeddedStore, accept: Accept, capsys: pytest.CaptureFixture[str]
) -> None:
    breaks = found(store)
    accept(breaks, leaving_out=1)  # as if the last line had not been written any more
    capsys.readouterr()
    assert accept(breaks, as_json=True) == 0
    said = json.loads(capsys.readouterr().out)
    assert [row["kind"] for row in said["accepted"]] == ["position_unexplained"]
    assert said["accepted"][0]["adjustment_qty"] == 0.5
    assert found(store) == []


def test_a_ledger_that_has_moved_since_takes_nothing_in(store: EmbeddedStore, accept: Accept) -> None:
    breaks = found(store)
    store.write_ledger([{**LEDGER, "filled_qty": 11.0}])
    with pytest.raises(
        UnreadableFile, match=r"breaks\.csv:2: ledger_qty is 10; expected 11, .* has changed since"
    ):
        accept(breaks)
    assert store.net_positions("paper") == {"SPY": 11 * UNITS}


@pytest.mark.parametrize("said", [{"by": " "}, {"why": ""}])
def test_nobody_accepts_and_no_reason_is_no_reason(
    said: dict[str, str], store: EmbeddedStore, accept: Accept
) -> None:
    with pytest.raises(UsageError):
        accept(found(store), **said)
    assert store.net_positions("paper") == {"SPY": 10 * UNITS}


def test_a_file_of_something_else_takes_nothing_in(store: EmbeddedStore, tmp_path: Path) -> None:
    file = tmp_path / "book.csv"
    for content in (b"broker_account_id,symbol,qty\npaper,SPY,1\n", b"\xff\xfe\x00"):
        file.write_bytes(content)
        with pytest.raises(UnreadableFile, match=r"book\.csv.*Nothing was accepted"):
            positions.accept(str(file), by="Ada", why="x", as_json=False)
    assert store.net_positions("paper") == {"SPY": 10 * UNITS}


def test_nothing_is_taken_in_while_another_job_is_at_work(
    store: EmbeddedStore, accept: Accept, data: Path
) -> None:
    with exclusive(data, since="just now"), pytest.raises(RunInProgress):
        accept(found(store))
    assert store.net_positions("paper") == {"SPY": 10 * UNITS}


def test_what_was_accepted_is_no_trade(store: EmbeddedStore, accept: Accept) -> None:
    accept(found(store))
    counts = store.trade_counts(["paper"], AT.date())
    assert counts["trades"].sum() == 0
