"""A simulator and a client of it, over a socket or through the adapter, mostly with the stand-in venue."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import requests

from replay.simulator.server import Simulator
from replay.simulator.wire.faults import from_json
from tests.replay.simulator.wire.stand_in import simulator

KEYS = {"APCA-API-KEY-ID": "test-key", "APCA-API-SECRET-KEY": "test-secret"}
ORDER = {"symbol": "AAPL", "qty": "3", "side": "buy", "type": "market", "time_in_force": "day"}


class Reach:
    """A client with the right keys."""

    def __init__(self, address: str, simulator: Simulator, session: requests.Session) -> None:
        self.address = address
        self.simulator = simulator
        self.session = session
        self.session.headers.update(KEYS)

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        more.setdefault("timeout", 5)
        return self.session.request(method, self.address + path, **more)

    def place(self, **more: Any) -> requests.Response:
        return self.ask("POST", "/v2/orders", json=ORDER | more)

    def place_within(self, read_timeout_s: float) -> requests.Response:
        return self.ask("POST", "/v2/orders", json=ORDER, timeout=(5, read_timeout_s))

    def arm(self, fault: str, **more: Any) -> None:
        self.simulator.faults.add(from_json({"fault": fault, **more}))

    def pass_by(self, seconds: float) -> None:
        """Let simulated time go by."""
        self.ask("POST", "/simulator/clock", json={"advance_s": seconds}).raise_for_status()

    @property
    def orders(self) -> list[dict[str, Any]]:
        orders: list[dict[str, Any]] = self.simulator.venue.state()["orders"]
        return orders


def real(**options: Any) -> AbstractContextManager[Reach]:
    """A simulator with the real venue and a clock that stands still, without a socket."""
    return _reached("adapter", Simulator(clock="manual", partial_fill_probability=0.0, **options))


def reach(way: str, **options: Any) -> AbstractContextManager[Reach]:
    return _reached(way, simulator(**options))


@contextmanager
def _reached(way: str, made: Simulator) -> Iterator[Reach]:
    with requests.Session() as session:
        # What is set for the proxies of whoever runs the tests is not for a socket on this machine.
        session.trust_env = False
        if way == "adapter":
            session.mount("https://paper-api.alpaca.markets", made.adapter())
            yield Reach("https://paper-api.alpaca.markets", made, session)
        else:
            with made.serving() as address:
                yield Reach(address, made, session)
