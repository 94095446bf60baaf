"""What a sync and a cancel ask for, however long ago the orders were sent and however much was since."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from engine.errors import RecordError
from engine.stores.protocols import LedgerStore
from tests.desk import Desk, Row, order
from tests.engine.routing.trading import TradingDesk, results
from tests.engine.stores.trades import bought

RESTING: Row = {"order_type": "limit", "limit_price": 50, "time_in_force": "gtc"}
_NAMES = [f"order-{number}" for number in range(12)]


@pytest.fixture
def desk(tmp_path: Path) -> TradingDesk:
    return TradingDesk(tmp_path / "data")


@dataclass
class Counted:
    """A ledger that counts how often it is asked for what, and how many documents it has handed out."""

    ledger: LedgerStore
    asked: Counter[str] = field(default_factory=Counter)
    documents: int = 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.ledger, name)
        return self._counted(name, method) if callable(method) else method

    def _counted(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            self.asked[name] += 1
            answer = method(*arguments, **named)
            if name in {"ledger_documents", "adjustments", "account_documents"}:
                self.documents += len(answer)
            return answer

        return counted


def synced(desk: TradingDesk) -> Counted:
    """Do a live run of nothing, which syncs; give what its ledger was asked."""
    ledger = Counted(desk.store)
    desk.live(changes={"ledger": ledger})
    return ledger


def test_a_sync_reads_the_documents_of_all_resting_orders_at_once(desk: TradingDesk) -> None:
    for name in _NAMES:
        desk.one(client_intent_id=name, qty=10, **RESTING)
    for name in _NAMES:
        desk.fill(name, 4)
    desk.live()
    ledger = synced(desk)
    assert (ledger.asked["ledger_document"], ledger.asked["account_documents"]) == (0, 0)
    assert ledger.asked["ledger_documents"] <= 3
    assert len(desk.left_open()) == len(_NAMES)


def test_a_sync_with_a_break_reads_no_documents_of_other_accounts_and_none_of_other_orders(
    desk: TradingDesk,
) -> None:
    desk.one(qty=10, **RESTING)
    for account in ("another", "paper"):
        desk.store.write_ledger(bought(f"{account}-{n}", "QQQ", 1, account=account) for n in range(300))
    ledger = synced(desk)  # the broker has none of these
    (run,) = desk.runs()[-1:]
    assert run.table("reconciliation.parquet").num_rows == 1
    assert ledger.asked["account_documents"] == 0
    assert ledger.documents <= 1


def test_a_cancel_of_an_old_order_lists_only_the_orders_of_its_own_run(desk: TradingDesk) -> None:
    desk.one(client_intent_id="target", qty=10, **RESTING)
    desk.tick(3 * 86_400)
    begin = desk.now
    desk.drop(
        "b.json",
        order(
            action="cancel", target_intent_id="target", symbol=None, side=None, qty=None,
            client_intent_id="cancel",
        ),
        *[order(client_intent_id=name) for name in _NAMES],
    )  # fmt: skip
    run = desk.live()
    by_id = {row["client_intent_id"]: row["status"] for row in results(run)}
    assert by_id == {"cancel": "canceled", **dict.fromkeys(_NAMES, "placed")}
    asked = [parse_qs(row["query"]) for row in desk.requests("GET", "/v2/orders")]
    begins = sorted(datetime.fromisoformat(query["after"][0]) for query in asked if "after" in query)
    of_the_session, *others = begins  # a session's first sync lists the orders of the last seven days, once
    assert of_the_session > begin - timedelta(days=7, minutes=5)
    assert others
    assert min(others) > begin - timedelta(minutes=5)


def test_a_run_of_an_empty_inbox_reads_nothing_of_the_sessions_earlier_runs(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "data")
    desk.drop("a.json", order())
    earlier = desk.data / desk.run().key
    for name in ("results.parquet", "intents.parquet"):
        (earlier / name).chmod(0o600)
        (earlier / name).write_bytes(b"damaged")
    assert desk.run().json("manifest.json")["exit_code"] == 0
    desk.drop("b.json", order(symbol="QQQ"))
    with pytest.raises(RecordError, match="is damaged"):
        desk.run()
