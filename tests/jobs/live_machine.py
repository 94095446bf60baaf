"""A machine on which everything lets live orders through, beside an Alpaca that can be put in trouble."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import requests

from replay.simulator import Simulator
from tests.jobs.command_line import Command, Done
from tests.servers.http import LoopbackServer, RequestHandler

API_KEY, SECRET_KEY = "PKTEST0123456789ABCD", "s3cr3t/NeverShown+Anywhere=="
Env = dict[str, str]
Storm = Callable[[str], tuple[int, dict[str, str]] | None]
"""Of a request, as ``GET /path``: the status and headers with which it is turned away; None: it isn't."""


class Alpaca(LoopbackServer):
    """A simulated Alpaca with faults of its own: blocks, a wrong clock, refusals, silence; and a memory."""

    def __init__(self) -> None:
        super().__init__(AlpacaHandler)
        self.simulator = Simulator(key=API_KEY, secret=SECRET_KEY, partial_fill_probability=0.0)
        self.session = requests.Session()
        self.session.mount("http://", self.simulator.adapter())
        self.account: dict[str, Any] = {"account_number": "PA3ABCDEFGHI"}
        self.behind_s = 0.0
        self.status = 200
        self.hanging = threading.Event()
        self.let_go = threading.Event()
        self.storm: Storm = lambda request: None
        self.before_answer: Callable[[str], None] = lambda request: None

    def fault(self, fault: dict[str, Any]) -> None:
        """Let something go wrong, as the simulator's control endpoint does."""
        self.session.post(f"{self.url}/simulator/faults", json=fault).raise_for_status()


class AlpacaHandler(RequestHandler):
    server: Alpaca

    def reply(self, body: bytes) -> None:
        alpaca = self.server
        if alpaca.hanging.is_set():
            alpaca.let_go.wait(60)
        if (turned_away := alpaca.storm(f"{self.command} {self.path}")) is not None:
            status, headers = turned_away
            self.send(status, b'{"code": 42910000, "message": "rate limit exceeded"}', **headers)
            return
        status, raw = alpaca.status, json.dumps({"message": "not now"}).encode()
        if status == 200:
            said = alpaca.session.request(
                self.command, alpaca.url + self.path, headers=dict(self.headers), data=body
            )
            status, raw = said.status_code, said.content
        alpaca.before_answer(f"{self.command} {self.path}")
        if status == 200 and self.path == "/v2/account":
            raw = json.dumps(said.json() | alpaca.account).encode()
        now = datetime.now(UTC) - timedelta(seconds=alpaca.behind_s)
        self.send(status, raw, Date=format_datetime(now, usegmt=True))


@dataclass
class Live:
    """A machine on which everything lets live orders through: called, it runs a command with ``env``.

    It takes what ``Command`` does.
    """

    cli: Command
    data: Path
    alpaca: Alpaca
    env: Env

    def __call__(self, *args: object, **env: Any) -> Done:
        return self.cli(*args, **self.env | env)

    def orders(self) -> list[dict[str, Any]]:
        """Return the orders at the broker, oldest first."""
        found: list[dict[str, Any]] = self.alpaca.simulator.simulation.state()["orders"]
        return found
