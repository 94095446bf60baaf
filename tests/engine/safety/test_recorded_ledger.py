"""What the record calls for is what the ledger got, on simulated sessions with faults, cancels and exits."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from engine.errors import RecordError
from engine.record.objects import LocalObjects
from engine.safety.recorded_ledger import lacking, recorded_documents
from engine.stores.embedded.store import EmbeddedStore
from replay.simulated.days import Simulation, simulate
from tests.desk import order
from tests.engine.accounts_desk import accounts_desk
from tests.engine.routing.trading import TradingDesk

NOW = datetime(2026, 3, 9, 17, tzinfo=UTC)
COMPARED = (
    "broker_order_id", "client_intent_id", "broker_account_id", "strategy_id", "symbol", "side",
    "trading_date", "filled_qty", "filled_at", "counts_as_trade", "exit_of",
    "order_type", "limit_price", "metadata",
)  # fmt: skip
ACCOUNT = "simulated"
RESTING: dict[str, Any] = {"order_type": "limit", "limit_price": 50}
Document = dict[str, Any]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "data"
    simulate(Simulation(sessions=3, seed=7, faults=True), folder)
    return folder


@pytest.fixture
def desk(tmp_path: Path) -> TradingDesk:
    return TradingDesk(tmp_path / "data")


def ledger_of(folder: Path) -> dict[str, Document]:
    documents = EmbeddedStore(folder / "engine.db").account_documents(ACCOUNT, since=date(2026, 1, 1))
    return {document["broker_order_id"]: document for document in documents}


def recorded(folder: Path) -> dict[str, Document]:
    documents = recorded_documents(LocalObjects(folder), now=NOW)
    found = {document["broker_order_id"]: document for document in documents}
    assert len(found) == len(documents)
    return found


def compared(documents: dict[str, Document]) -> dict[str, Document]:
    """Return what is compared of documents; of an exit, its own kind and price aren't in the record."""
    unknown = {"order_type", "limit_price"}
    return {
        order_id: {
            name: document.get(name) for name in COMPARED if not ("exit_of" in document and name in unknown)
        }
        for order_id, document in documents.items()
    }


def test_the_record_calls_for_the_documents_that_the_ledger_has(simulated: Path) -> None:
    ledger, record = ledger_of(simulated), recorded(simulated)
    assert len(ledger) > 30
    assert compared(record) == compared(ledger)
    for order_id, document in record.items():
        assert document["filled_avg_price"] == pytest.approx(ledger[order_id]["filled_avg_price"], rel=1e-6)


def test_exits_are_distinguished_from_entries(simulated: Path) -> None:
    exits = [document for document in recorded(simulated).values() if "exit_of" in document]
    assert all(document["exit_of"] in ledger_of(simulated) for document in exits)


def test_a_ledger_made_again_from_the_record_sums_up_to_the_same_positions(
    simulated: Path, tmp_path: Path
) -> None:
    again = EmbeddedStore(tmp_path / "again.db")
    documents = list(recorded(simulated).values())
    assert lacking(documents, again) == documents
    again.write_ledger(documents)
    assert lacking(documents, again) == []
    before = EmbeddedStore(simulated / "engine.db")
    assert again.net_positions(ACCOUNT) == before.net_positions(ACCOUNT)
    for session in sorted({document["trading_date"] for document in documents}):
        counts = [
            store.trade_counts([ACCOUNT], date.fromisoformat(session)).to_dict("list")
            for store in (before, again)
        ]
        assert counts[0] == counts[1]


def test_booking_the_record_over_a_whole_ledger_changes_nothing(simulated: Path) -> None:
    assert lacking(recorded(simulated).values(), EmbeddedStore(simulated / "engine.db")) == []


def test_a_document_with_less_filled_than_the_record_is_lacking(simulated: Path, tmp_path: Path) -> None:
    documents = list(recorded(simulated).values())
    store = EmbeddedStore(tmp_path / "engine.db")
    store.write_ledger([*documents[1:], {**documents[0], "filled_qty": documents[0]["filled_qty"] / 2}])
    assert [one["broker_order_id"] for one in lacking(documents, store)] == [documents[0]["broker_order_id"]]


@pytest.mark.parametrize("filled", [None, "ten", True])
def test_a_document_without_a_quantity_is_lacking(simulated: Path, tmp_path: Path, filled: object) -> None:
    (first, *_) = recorded(simulated).values()
    store = EmbeddedStore(tmp_path / "engine.db")
    store.write_ledger([first])
    with closing(sqlite3.connect(store.path)) as connection, connection:
        text = json.dumps({**first, "filled_qty": filled})
        connection.execute("UPDATE ledger_trades SET document = ?", (text,))
    assert lacking([first], store) == [first]


def test_a_run_that_cant_be_read_is_an_error_and_not_nothing(simulated: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(simulated, copy)
    damaged = min(copy.glob("runs/*/*/results.parquet"))
    damaged.chmod(0o600)
    damaged.write_bytes(b"garbage")
    with pytest.raises(RecordError, match=r"results\.parquet is damaged"):
        recorded(copy)


@pytest.mark.parametrize(
    ("said", "fills"),
    [
        ({"order_class": "bracket", "take_profit_limit_price": 150, "stop_loss_stop_price": 40}, "limit"),
        ({"order_class": "bracket", "take_profit_limit_price": 150, "stop_loss_stop_price": 40}, "stop"),
        ({"order_class": "oto", "take_profit_limit_price": 150}, "limit"),
    ],
)
def test_groups_are_reported_as_the_ledger_has_them(
    desk: TradingDesk, said: dict[str, Any], fills: str
) -> None:
    desk.one(qty=30, time_in_force="gtc", **RESTING, **said)
    for part in (20, 10):
        desk.fill("one", part)
        desk.live()
    desk.tick(5 * 3600)
    (exit_order,) = [one for one in desk.orders() if (one["side"], one["type"]) == ("sell", fills)]
    for qty in ("10", "20"):
        desk.control("POST", "fill", {"order_id": exit_order["id"], "qty": qty})
        desk.live()
    kept = desk.store.account_documents("paper", since=date(2026, 1, 1))
    ledger = {document["broker_order_id"]: document for document in kept}
    assert [document["exit_of"] for document in kept if "exit_of" in document] != []
    assert compared(recorded(desk.data)) == compared(ledger)


def test_one_id_at_two_accounts_is_two_orders(tmp_path: Path) -> None:
    desk = accounts_desk(tmp_path / "data", "2026-03-02", "12:00", names=("alpha", "beta"))
    same = {"client_intent_id": "same"}
    desk.drop(
        "same.json",
        order(broker_account_id="alpha", symbol="SPY", qty=2, **same),
        order(broker_account_id="beta", symbol="QQQ", qty=3, side="sell", **same),
    )
    desk.settle_s = 5.0
    desk.live()
    found = [
        (one["broker_account_id"], one["symbol"], one["side"], one["filled_qty"])
        for one in recorded(desk.data).values()
    ]
    assert sorted(found) == [("alpha", "SPY", "buy", 2), ("beta", "QQQ", "sell", 3)]
    assert lacking(recorded(desk.data).values(), desk.store) == []
