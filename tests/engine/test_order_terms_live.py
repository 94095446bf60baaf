"""Live, against the simulator: what isn't read as a field of the order never leaves as a market order."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.risk.config import RiskConfig
from tests.desk import content_of, order
from tests.engine.routing.trading import at_a_rate_that_never_matters
from tests.live_desk import LiveDesk

TERMS: dict[str, Any] = {
    # limit prices
    "order.limit": 40, "limitPx": 40, "px_limit": 40, "LmtPrice": 40, "limt_price": 40,
    "final_limit_price": 40, "params__limit_price": 40, "('order', 'limit_price')": 40,
    "limitPriceStr": "40", "MaxBuyPrice": 40,
    # other terms
    "GoodTill": "2026-03-02T18:00:00Z", "tif_code": "IOC", "stopPrice1": 40, "isGTC": True, "quantitiy": 5,
    "LimitOrder": True, "endTime": "2026-03-02T18:00:00Z", "doNotTrade": True, "tp_pct": 2, "trail_pts": 3,
    # other languages and scripts
    "价格": 40, "限价": 40, "цена": 40, "количество": 5, "precio": 40, "Preis": 40, "prix": 40, "prezzo": 40,
    "Stückzahl": 5, "Gültig bis": "2026-03-02T18:00:00Z",
    "\uff4c\uff49\uff4d\uff49\uff54": 40, "\u0440rice": 40, "価格": 40, "가격": 40,
    "τιμή": 40, "מחיר": 40, "السعر": 40,
    # Interactive Brokers, Schwab, TradeStation
    "lmtPrice": 40, "auxPrice": 40, "outsideRth": True, "conid": 756733, "trailingType": "%", "session": "AM",
    "stopPriceLinkBasis": "BID", "specialInstruction": "ALL_OR_NONE", "orderLegCollection": [{"quantity": 1}],
    "TradeAction": "BUY", "AdvancedOptions": "NON", "Duration": "GTC", "OSOs": [{"Type": "BRK"}],
    # FIX, by name and by tag
    "44": 40, "54": "1", "40": "2", "59": "1", "99": 40, "126": "20260302-18:00:00", "Tag_44": 40,
    "FIX40": "2", "StopPx": 40, "TradingSessionID": "2", "SecurityID": "US78462F1030",
    "fix": "35=D|54=1|40=2|44=40",
    # Alpaca's own orders, as they come back
    "type": "limit", "legs": [{"limit_price": 40}], "take_profit": {"limit_price": 110}, "hwm": 101.5,
    "stop_loss": {"stop_price": 90}, "position_intent": "buy_to_open", "ratio_qty": 1,
    # what names another instrument, or other money
    "isin": "US78462F1030", "cusip": "78462F103", "figi": "BBG000BDTBL9", "currency": "EUR",
    # within objects
    "a": {"limit_price": 40}, "b": {"deep": [{"tif": "ioc"}]}, "c": json.dumps({"limitPrice": 40}),
    "d": "{'limit_price': 40.0, 'tif': 'ioc'}", "e": json.dumps(json.dumps({"px_limit": 40})),
    "f": "limit_price=40; tif=ioc", "g": [["limit_price", 40]], "h": [{"name": "limit_price", "value": 40}],
    "i": {"价格": 40}, "j": "{'limit_price': np.float64(40.0)}", "k": {"currency": "EUR"},
}  # fmt: skip
"""Columns that plausibly say something of the order, each in files of its own."""

INNOCENT: dict[str, Any] = {
    "signal": 0.4, "signal_value": 1.5, "note": "limit: 40 was meant for another day; p=0.05", "model": "m1",
    "model_version": "2.1", "score": 3, "rank": 1, "volume": 1000, "close": 101.0, "value": 4,
    "\u03c3_20d": 0.2, "currency": "USD", "exchange": "ARCX", "limit_price_source": "book",
    "target_weight": 0.1, "entry_reason": "x", "features": {"momentum": 0.5, "adv": 3},
    "metadata": {"limit_price": 40, "价格": 4, "params": {"type": "x"}},
    "tags": ["price", "volume"], "git_sha": "ab12", "url": "https://example.org/?type=limit&price=40",
}  # fmt: skip


def files(name: str, value: Any) -> Iterator[tuple[str, bytes]]:
    """Yield files of every format with one order that has a column of this name."""
    row = order(**{name: value})
    for ending in (".json", ".jsonl", ".csv"):
        yield ending, content_of(ending, [_as_text(row) if ending == ".csv" else row])
    if not isinstance(value, list) or not isinstance(value[0], list):  # of one type, as Arrow wants it
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_pylist([row]), sink)
        yield ".parquet", sink.getvalue()


def _as_text(row: dict[str, Any]) -> dict[str, Any]:
    return {name: json.dumps(held) if isinstance(held, dict | list) else held for name, held in row.items()}


@pytest.fixture
def live(tmp_path: Path) -> LiveDesk:
    return LiveDesk(tmp_path / "data", simulator=at_a_rate_that_never_matters(), settle_s=0.0)


def run(desk: LiveDesk, said: dict[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """Drop the columns' files, do a run, and return ``collected.json`` and the names of all files."""
    names = set()
    for number, (name, value) in enumerate(said.items()):
        for ending, content in files(name, value):
            names.add(f"{number}{ending}")
            desk.drop(f"{number}{ending}", content=content)
    config = RiskConfig(max_daily_trades=1_000, max_position_qty=1e6, accounts=frozenset({"paper"}))
    return desk.live(config).json("collected.json"), names


def test_no_order_leaves_where_a_term_of_it_was_plausibly_meant(live: LiveDesk) -> None:
    live.drop("good.json", order(client_intent_id="good"))
    collected, names = run(live, TERMS)
    taken = {file["name"] for file in collected["files"] if file["batched"]}
    assert {name: list(TERMS)[int(name.partition(".")[0])] for name in taken - {"good.json"}} == {}
    assert {file["name"] for file in collected["files"]} == names | {"good.json"}
    assert live.placed_ids() == ["good"]
    assert all(row["remedy"].strip() for row in collected["refused"])


def test_innocent_columns_are_taken_and_trade(live: LiveDesk) -> None:
    collected, names = run(live, INNOCENT)
    assert [row["message"] for row in collected["refused"]] == []
    assert {file["name"] for file in collected["files"] if file["batched"] + file["duplicate"]} == names
    assert len(live.orders()) == collected["rows"]["batched"] >= len(INNOCENT)
