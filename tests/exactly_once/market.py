"""The simulator in a process of its own, which outlives the jobs, and how it is told what to do."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from replay.simulator import Simulator
from tests.desk import NOON

KEY, SECRET = "test-key", "test-secret"
SPEED = 20.0


class Refused(AssertionError):
    """The simulator refused what a test asked of it."""


@dataclass(frozen=True)
class Market:
    """A simulator that serves at ``host``."""

    host: str

    def control(self, method: str, what: str, body: dict[str, Any] | None = None) -> Any:
        """Ask one of the simulator's own endpoints."""
        return self._asked(method, f"/simulator/{what}", body)

    def by_hand(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Ask Alpaca, beside all jobs."""
        return self._asked(method, path, body)

    def state(self) -> dict[str, Any]:
        """Return everything that happened; the market catches up with its clock first."""
        self.by_hand("GET", "/v2/clock")
        found: dict[str, Any] = self.control("GET", "state")
        return found

    def arm(self, *faults: dict[str, Any]) -> None:
        for fault in faults:
            self.control("POST", "faults", fault)

    def perhaps(self, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        """Ask for what may be refused."""
        with suppress(Refused):
            self._asked(method, path, body)

    def _asked(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        keys = {"APCA-API-KEY-ID": KEY, "APCA-API-SECRET-KEY": SECRET}
        address = urlsplit(self.host)
        connection = HTTPConnection(address.hostname or "", address.port, timeout=30)
        try:
            connection.request(method, path, json.dumps(body or {}), keys)
            answer = connection.getresponse()
            said = answer.read()
        finally:
            connection.close()
        if answer.status >= 400:
            raise Refused(f"{method} {path}: {answer.status} {said.decode()}")
        return json.loads(said) if said else None


@contextmanager
def market(*, partial_fills: float = 0.2, seed: int = 0) -> Iterator[Market]:
    """Serve a simulator from a fork, which ends with this process whatever ends that."""
    address_out, address_in = os.pipe()
    alive_out, alive_in = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(alive_in)
        os.close(address_out)
        _serve(address_in, alive_out, partial_fills, seed)
    os.close(alive_out)
    os.close(address_in)
    with os.fdopen(address_out) as told:
        host = told.read()
    try:
        yield Market(host)
    finally:
        os.close(alive_in)
        _, status = os.waitpid(process, 0)
        if status:
            raise AssertionError(f"the simulator failed: {status}")


def _serve(address: int, alive: int, partial_fills: float, seed: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        simulator = Simulator(
            key=KEY,
            secret=SECRET,
            seed=seed,
            rate_limit=1_000_000,
            speed=SPEED,
            start_ns=int(NOON.timestamp()) * 1_000_000_000,
            partial_fill_probability=partial_fills,
        )
        with simulator.serving() as host:
            os.write(address, host.encode())
            os.close(address)
            os.read(alive, 1)
    except BaseException as error:
        print(f"the simulator: {error!r}", file=sys.stderr)
        os._exit(1)
    os._exit(0)
