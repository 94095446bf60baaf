"""Alpaca's own SDK reads the simulator's market data, over a socket."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from alpaca.common.exceptions import APIError
from alpaca.data import requests as asks
from alpaca.data.enums import Adjustment, DataFeed
from alpaca.data.historical.stock import StockHistoricalDataClient
from alpaca.data.timeframe import TimeFrame

from replay.simulator.server import Simulator
from tests.replay.simulator.conformance.desk import NOON_NS

NOON = datetime.fromtimestamp(NOON_NS // 10**9, UTC)
BOTH = ["AAPL", "BRK.B"]


@pytest.fixture(scope="module")
def client() -> Iterator[StockHistoricalDataClient]:
    simulator = Simulator(seed=7, clock="manual", start_ns=NOON_NS)
    with simulator.serving() as address:
        client = StockHistoricalDataClient("test-key", "test-secret", url_override=address)
        client._session.trust_env = False
        yield client
        client._session.close()


def test_the_latest_quotes_trades_and_bars_are_read(client: StockHistoricalDataClient) -> None:
    quotes: Any = client.get_stock_latest_quote(asks.StockLatestQuoteRequest(symbol_or_symbols=BOTH))
    trades: Any = client.get_stock_latest_trade(asks.StockLatestTradeRequest(symbol_or_symbols=BOTH))
    bars: Any = client.get_stock_latest_bar(
        asks.StockLatestBarRequest(symbol_or_symbols="AAPL", feed=DataFeed.IEX)
    )
    for symbol in BOTH:
        assert quotes[symbol].bid_price <= trades[symbol].price <= quotes[symbol].ask_price
        assert quotes[symbol].timestamp == trades[symbol].timestamp == NOON
    assert bars["AAPL"].low <= bars["AAPL"].vwap <= bars["AAPL"].high


def test_snapshots_are_read_and_those_without_data_are_left_out(client: StockHistoricalDataClient) -> None:
    asked = asks.StockSnapshotRequest(symbol_or_symbols=["AAPL", "TCEHY", "ZZZZ"])
    found: Any = client.get_stock_snapshot(asked)
    assert {symbol for symbol, snapshot in found.items() if snapshot is not None} == {"AAPL"}
    parts = found["AAPL"]
    assert parts.latest_trade.price == parts.daily_bar.close
    assert parts.previous_daily_bar.timestamp < parts.daily_bar.timestamp < parts.minute_bar.timestamp


def test_bars_of_many_pages_are_read_as_one(client: StockHistoricalDataClient) -> None:
    asked = asks.StockBarsRequest(
        symbol_or_symbols=BOTH, timeframe=TimeFrame.Minute, start=datetime(2026, 10, 7, tzinfo=UTC),
        end=datetime(2026, 10, 8, tzinfo=UTC), feed=DataFeed.SIP, adjustment=Adjustment.ALL, limit=None,
    )  # fmt: skip
    found: Any = client.get_stock_bars(asked)
    assert {symbol: len(bars) for symbol, bars in found.data.items()} == dict.fromkeys(BOTH, 960)


def test_refusals_are_the_sdks_own_errors(client: StockHistoricalDataClient) -> None:
    for symbol, feed, status, words in (
        ("BRK-B", None, 400, "invalid symbol: BRK-B"),
        ("AAPL", DataFeed.SIP, 403, "subscription does not permit querying recent SIP data"),
    ):
        asked = asks.StockLatestQuoteRequest(symbol_or_symbols=symbol, feed=feed)
        with pytest.raises(APIError, match=words) as refused:
            client.get_stock_latest_quote(asked)
        assert refused.value.status_code == status
