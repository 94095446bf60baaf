"""Today's fills of older orders: their cost counts today, once, whatever session the ledger has them in."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from engine.model.schema import fills_schema
from engine.record.late_fills import keep
from engine.record.objects import LocalObjects
from engine.run import input_sources
from engine.run.risk_inputs import inputs_of
from tests.desk import NOON, Desk, order

TODAY = NOON.date()


@pytest.fixture(autouse=True)
def needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_sources, "frames_needed", lambda _: frozenset({"traded_notional"}))


def booked(desk: Desk, order_id: str, session: str, qty: float, price: float = 400.0) -> None:
    document = {
        "broker_order_id": order_id,
        "broker_account_id": "paper",
        "trading_date": session,
        "strategy_id": "momentum",
        "symbol": "SPY",
        "side": "buy",
        "filled_qty": qty,
        "filled_avg_price": price,
    }
    desk.store.write_ledger([document])


def kept(desk: Desk, run_id: str, *fills: tuple[str, str, float, float | None]) -> None:
    """Keep executions of today: fill id, order id, quantity and price."""
    rows: list[dict[str, Any]] = [
        {
            "fill_id": fill_id,
            "broker_order_id": order_id,
            "broker_account_id": "paper",
            "strategy_id": "momentum",
            "symbol": "SPY",
            "qty": qty,
            "price": price,
        }
        for fill_id, order_id, qty, price in fills
    ]
    keep(LocalObjects(desk.data), TODAY, run_id, pa.Table.from_pylist(rows, schema=fills_schema()))


def cost(desk: Desk) -> list[float]:
    desk.drop("a.jsonl", order(client_intent_id=f"{desk.now:%H%M}"))
    frame = inputs_of(desk.run()).traded_notional
    assert frame is not None
    assert set(frame["symbol"]) <= {"SPY"}
    found: list[float] = frame["notional"].tolist()
    return found


def test_a_fill_of_an_order_of_an_earlier_session_counts_today(desk: Desk) -> None:
    booked(desk, "old", "2026-02-27", 100)
    booked(desk, "today", "2026-03-02", 1)
    assert cost(desk) == [400.0]
    kept(desk, "run-1", ("f-1", "old", 2, 401.5), ("f-2", "today", 1, 400.0))
    kept(desk, "run-1", ("f-1", "old", 2, 401.5), ("f-3", "unbooked", 0.5, 10.0))
    assert cost(desk) == [400.0 + 803.0 + 5.0]


def test_a_fill_without_a_price_makes_the_cost_unknown(desk: Desk) -> None:
    booked(desk, "old", "2026-02-27", 100)
    kept(desk, "run-1", ("f-1", "old", 2, None))
    assert pd.isna(cost(desk)).all()
