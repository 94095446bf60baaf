"""A client of the simulator without a socket, with a clock that is told the time; keeps all it asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import requests

from replay.simulator.server import Simulator

HOST = "https://paper-api.alpaca.markets"
DATA_HOST = "https://data.alpaca.markets"
KEYS = {"APCA-API-KEY-ID": "test-key", "APCA-API-SECRET-KEY": "test-secret"}
ORDER = {"symbol": "AAPL", "qty": "2", "side": "buy", "type": "market", "time_in_force": "day"}
# Thursday, 8 October 2026, noon in New York: the day of the newest recordings.
NOON_NS = int(datetime(2026, 10, 8, 12, tzinfo=ZoneInfo("America/New_York")).timestamp()) * 10**9

Query = dict[str, str]


@dataclass(frozen=True)
class Exchange:
    """A request and its answer."""

    method: str
    path: str
    query: Query
    body: Any
    status: int
    answer: Any


class Desk:
    def __init__(self, simulator: Simulator, session: requests.Session) -> None:
        self.simulator = simulator
        self.session = session
        self.exchanges: list[Exchange] = []

    def ask(self, method: str, path: str, body: Any = None, **query: str) -> Exchange:
        host = DATA_HOST if path.startswith("/v2/stocks/") else HOST
        reply = self.session.request(method, host + path, params=query, json=body, timeout=5)
        answer = reply.json() if reply.content else None
        exchange = Exchange(method, urlsplit(reply.url).path, query, body, reply.status_code, answer)
        self.exchanges.append(exchange)
        return exchange

    def get(self, path: str, **query: str) -> Any:
        return self.ask("GET", path, **query).answer

    def place(self, **more: Any) -> Any:
        """Place an order; a field that is None is left out."""
        body = {name: value for name, value in (ORDER | more).items() if value is not None}
        return self.ask("POST", "/v2/orders", body).answer

    def price(self, share: str) -> str:
        """Return a part of AAPL's price, in dollars and cents."""
        now_ns = self.simulator.simulation.clock.now_ns()
        price = Decimal(self.simulator.venue.market.price("AAPL", now_ns))
        return str((price * Decimal(share)).quantize(Decimal("0.01")))

    def hold(self, **more: Any) -> None:
        """Come to own shares."""
        self.place(**more)
        self.wait()

    def wait(self, seconds: float = 5) -> None:
        self.simulator.simulation.clock.advance(seconds)
        self.simulator.venue.advance()


@contextmanager
def opened(**options: Any) -> Iterator[Desk]:
    options = {"start_ns": NOON_NS, **options}
    simulator = Simulator(seed=7, clock="manual", partial_fill_probability=0, **options)
    with requests.Session() as session:
        session.headers.update(KEYS)
        session.mount(HOST, simulator.adapter())
        session.mount(DATA_HOST, simulator.adapter())
        yield Desk(simulator, session)
    simulator.check()
