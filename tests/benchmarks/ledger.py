"""What a sync and a live run take where an account's ledger has 500,000 documents, against one of 1,000.

Both are done in turns, so that whatever else the machine does meets both, and timed by this process's own
processor time. The ledgers hold 250 documents a session and sum to nothing, as the simulator's account does.

Firestore's emulator keeps no index: it goes through a whole collection to answer any query, even one that
finds nothing. What it takes says nothing of Firestore; how many documents it returns, and what reading them
takes here, does.
"""

from __future__ import annotations

import gc
import json
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from engine.errors import EngineError
from engine.ledger.sums import Summand
from engine.reconciliation.session import Session
from engine.reconciliation.sync import sync_all
from engine.stores.embedded.sums import EmbeddedSums
from engine.stores.firestore.store import FirestoreStore
from engine.stores.firestore.sums import FirestoreSums
from tests.benchmarks.timing import Figure
from tests.engine.routing.trading import TradingDesk
from tests.servers.firestore import FirestoreEmulator

_FEW, _MANY = 1_000, 500_000
_MANY_IN_EMULATOR = 10_000
_A_SESSION = 250
_AT_MOST = 1.3
_TIMES = 15
_TODAY = date(2026, 3, 2)


@dataclass(frozen=True)
class _Measured:
    """What is measured: where documents are read, and how many the larger ledger has."""

    sums: type[EmbeddedSums | FirestoreSums]
    documents: int


def figures() -> Iterator[Figure]:
    """Yield all figures of a ledger that grows."""
    embedded = _Measured(EmbeddedSums, _MANY)
    with tempfile.TemporaryDirectory() as name:
        desks = [_desk(Path(name) / str(number), number) for number in (_FEW, _MANY)]
        yield _compared("a sync", desks, _sync, embedded)
        yield _compared("a live run", desks, _run, embedded)
    in_emulator = _Measured(FirestoreSums, _MANY_IN_EMULATOR)
    with FirestoreEmulator.running() as emulator:
        os.environ["FIRESTORE_EMULATOR_HOST"] = emulator.address
        stores = [_in_emulator(number) for number in (_FEW, _MANY_IN_EMULATOR)]
        yield _compared("what a sync and a run ask Firestore's emulator", stores, _asked, in_emulator)


def _compared(name: str, few_and_many: Sequence[Any], work: Callable[[Any], object], of: _Measured) -> Figure:
    for one in few_and_many:
        work(one)
    with _documents_read(of.sums) as read:
        spans, counts = [], []
        for _ in range(_TIMES):
            pair = []
            for one in few_and_many:
                read.clear()
                pair.append(_took(partial(work, one)))
                counts.append(sum(read))
            spans.append(pair)
    small, large = (statistics.median(side) for side in zip(*spans, strict=True))
    return {
        "name": f"{name}, {of.documents:,} ledger documents", "n": of.documents, "seconds": round(large, 4),
        "rate": None, "ratio": round(large / small, 3), "asked": _AT_MOST, "met": large / small <= _AT_MOST,
        "against": f"the same with {_FEW:,}, in turns, medians", "documents_read": max(counts[1::2]),
        "documents_read_of_few": max(counts[::2]),
    }  # fmt: skip


def _took(work: Callable[[], object]) -> float:
    gc.collect()
    begin = time.process_time()
    work()
    return time.process_time() - begin


@contextmanager
def _documents_read(sums: Any) -> Iterator[list[int]]:
    """Note how many documents each question for a sum has read."""
    read: list[int] = []
    questions = {name: getattr(sums, name) for name in ("page", "newer")}

    def noting(ask: Callable[..., list[Summand]]) -> Callable[..., list[Summand]]:
        def asked(*arguments: Any) -> list[Summand]:
            found = ask(*arguments)
            read.append(len(found))
            return found

        return asked

    for name, ask in questions.items():
        setattr(sums, name, noting(ask))
    try:
        yield read
    finally:
        for name, ask in questions.items():
            setattr(sums, name, ask)


def _desk(data: Path, number: int) -> TradingDesk:
    """Return a desk whose ledger has so many documents, put there past the engine."""
    desk = TradingDesk(data)
    desk.one(client_intent_id="first", qty=1)
    desk.one(client_intent_id="back", qty=1, side="sell")
    rows = ((*_keys(one), json.dumps(one)) for one in _documents(number, desk.now.date()))
    with closing(sqlite3.connect(data / "engine.db")) as connection, connection:
        connection.executemany("INSERT INTO ledger_trades VALUES (?, ?, ?, ?)", rows)
    desk.store.net_positions("paper", today=desk.now.date())
    return desk


def _sync(desk: TradingDesk) -> None:
    with desk.connections() as connections:
        answer = sync_all(
            desk.context(connections=connections), connections, Session(desk.now.date(), "XNYS")
        )["paper"]
    assert not isinstance(answer, EngineError), answer
    assert not answer.open_breaks


def _run(desk: TradingDesk) -> None:
    desk.later(seconds=1)
    row = desk.one(client_intent_id=f"at-{desk.now:%H%M%S}", qty=1)
    assert row["status"] == "placed", row


def _in_emulator(number: int) -> FirestoreStore:
    from google.cloud.firestore import Client

    store = FirestoreStore("bench-ledger", tenant_id=f"of-{number}", timeout_s=120)
    ledger = Client(project="bench-ledger").collection("tenants", f"of-{number}", "ledger_trades")
    documents = list(_documents(number, _TODAY))
    for start in range(0, number, 500):
        batch = ledger._client.batch()
        for one in documents[start : start + 500]:
            batch.set(ledger.document(one["broker_order_id"]), one)
        batch.commit()
    return store


def _asked(store: FirestoreStore) -> None:
    assert store.net_positions("paper", today=_TODAY) == {}
    assert store.trade_counts(["paper"], _TODAY)["trades"].tolist() == [_A_SESSION]
    assert store.adjustments("paper", since=_TODAY - timedelta(days=90)) == []


def _keys(document: dict[str, Any]) -> tuple[str, str, str]:
    return document["broker_order_id"], document["broker_account_id"], document["trading_date"]


def _documents(number: int, today: date) -> Iterator[dict[str, Any]]:
    """Yield documents of ``_A_SESSION`` a session up to ``today``, which sum to nothing."""
    for nth in range(number):
        yield {
            "broker_order_id": f"{nth * 2_654_435_761 % 2**32:08x}-{nth}",
            "broker_account_id": "paper",
            "trading_date": (today - timedelta(days=nth // _A_SESSION)).isoformat(),
            "strategy_id": f"strategy-{nth % 5}",
            "symbol": "SPY",
            "side": "buy" if nth % 2 else "sell",
            "qty": 10.0,
            "filled_qty": 10.0,
            "filled_avg_price": 500.25,
            "raw_broker_order": {"id": f"order-{nth}", "qty": "10", "status": "filled", "legs": None},
            "raw_fill": {"price": "500.25", "qty": "10", "side": "buy", "type": "fill"},
        }
