"""The client of market data against the simulator: what it makes of every fault of the data."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import requests

from engine.brokers.alpaca.market_data import AlpacaMarketData
from engine.brokers.quotes import OK, Snapshots
from engine.errors import DataUnavailable
from engine.waiting.deadline import Deadline
from engine.waiting.retry_policy import RetryPolicy
from replay.simulator.server import Simulator
from replay.simulator.wire.distortions import STUB_PRICE
from replay.simulator.wire.faults import from_json

HOST = "https://data.alpaca.markets"
SYMBOLS = ("AAPL", "BRK.B")


class Desk:
    def __init__(self, session: requests.Session) -> None:
        self.simulator = Simulator(seed=7, clock="manual")
        session.mount(HOST, self.simulator.adapter())
        self.session = session

    def arm(self, fault: str, **more: Any) -> None:
        self.simulator.faults.add(from_json({"fault": fault, "symbols": "AAPL", **more}))

    def ask(self, *symbols: str, feed: str = "iex") -> Snapshots:
        data = AlpacaMarketData(
            feed=feed, api_key="test-key", secret_key="test-secret", data_host=HOST, session=self.session,
            retry_policy=RetryPolicy(read_s=0),
        )  # fmt: skip
        return data.snapshots(symbols or SYMBOLS, deadline=Deadline.after(10))


@pytest.fixture
def desk() -> Iterator[Desk]:
    with requests.Session() as session:
        yield Desk(session)


def test_quotes_are_read_and_an_unknown_symbol_or_one_without_data_has_none(desk: Desk) -> None:
    quotes = desk.ask(*SYMBOLS, "ZZZZ", "TCEHY").quotes
    for symbol in SYMBOLS:
        assert quotes[symbol].verdict == OK
        assert quotes[symbol].bid <= quotes[symbol].last <= quotes[symbol].ask
    assert "ZZZZ" not in quotes
    assert quotes["TCEHY"].verdict != OK


def test_a_malformed_symbol_costs_only_itself(desk: Desk) -> None:
    found = desk.ask(*SYMBOLS, "GME1")
    assert (set(found.quotes), set(found.failed)) == (set(SYMBOLS), {"GME1"})


def test_a_feed_beyond_the_plan_is_reported(desk: Desk) -> None:
    with pytest.raises(DataUnavailable, match="The plan of these keys has no feed sip"):
        desk.ask(feed="sip")


@pytest.mark.parametrize(
    ("fault", "more", "bid_and_ask"),
    [
        ("crossed_quote", {}, lambda bid, ask: (ask, bid)),
        ("one_sided_quote", {"lacks": "bid"}, lambda _, ask: (0, ask)),
        ("stub_quote", {}, lambda bid, _: (bid, STUB_PRICE)),
        ("halted_symbol", {}, lambda *_: (0, 0)),
        ("missing_symbol", {}, None),
        ("null_parts", {}, None),
    ],
)
def test_what_is_wrong_with_one_quote_stays_with_its_symbol(
    desk: Desk, fault: str, more: Any, bid_and_ask: Any
) -> None:
    before = desk.ask().quotes
    desk.arm(fault, **more)
    after = desk.ask().quotes
    assert after["BRK.B"] == before["BRK.B"]
    if bid_and_ask is None:
        assert "AAPL" not in after or after["AAPL"].verdict != OK
    else:
        assert (after["AAPL"].bid, after["AAPL"].ask) == bid_and_ask(before["AAPL"].bid, before["AAPL"].ask)


def test_a_stale_quote_is_as_old_as_it_says(desk: Desk) -> None:
    before = desk.ask().quotes["AAPL"].quote_at
    desk.arm("stale_quote", seconds=600)
    after = desk.ask().quotes["AAPL"].quote_at
    assert before is not None
    assert after == before - timedelta(seconds=600)
