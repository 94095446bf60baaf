"""A broker whose requests go to a simulator in this process, at noon of a trading day, without a socket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import requests

from engine.brokers.alpaca.broker import AlpacaBroker
from engine.model.orders import OrderIntent
from engine.waiting.retry_policy import RetryPolicy
from replay.simulator.server import Simulator

HOST = "https://paper-api.alpaca.markets"
NOON = datetime(2026, 10, 8, 12, tzinfo=ZoneInfo("America/New_York"))
KEY, SECRET = "test-key", "test-secret"


@dataclass(frozen=True)
class Venue:
    """The broker, and the simulator behind it."""

    broker: AlpacaBroker
    simulator: Simulator

    def place(self, **body: Any) -> Any:
        """Place an order without engine and wire."""
        plain = {"symbol": "AAPL", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}
        return self.simulator.venue.place_order(plain | body)

    def wait(self, seconds: float = 5) -> None:
        self.simulator.simulation.clock.advance(seconds)
        self.simulator.venue.advance()


@contextmanager
def simulated_venue(**settings: Any) -> Iterator[Venue]:
    """Open a simulator; ``settings`` are its own."""
    start_ns = int(NOON.timestamp()) * 10**9
    usual: dict[str, Any] = {"clock": "manual", "start_ns": start_ns, "partial_fill_probability": 0.0}
    simulator = Simulator(seed=7, key=KEY, secret=SECRET, **{**usual, **settings})
    with requests.Session() as session:
        session.mount(HOST, simulator.adapter())
        broker = AlpacaBroker(
            api_key=KEY,
            secret_key=SECRET,
            trading_host=HOST,
            session=session,
            retry_policy=RetryPolicy(read_s=0),
        )
        yield Venue(broker, simulator)
    simulator.check()


def intent(**changes: Any) -> OrderIntent:
    """Return an intent to buy a share of AAPL at the market."""
    plain: dict[str, Any] = {
        "strategy_id": "delta",
        "broker_account_id": "paper",
        "symbol": "AAPL",
        "side": "buy",
        "qty": 1.0,
        "client_intent_id": "intent-1",
    }
    return OrderIntent(**{**plain, **changes})
