"""A desk that trades, with somebody in the middle: what tests of live runs drive them with and look at.

Between the broker's client and the simulator stands ``between``, which sees every request and may change it,
drop its reply, or answer itself. ``effects`` has what was written and what was asked, in one order.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from urllib.parse import urlsplit

import requests
from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection
from urllib3.exceptions import MaxRetryError, NewConnectionError

from engine.brokers.access import Access
from engine.brokers.alpaca.broker import AlpacaBroker
from engine.record.objects import Content, LocalObjects
from engine.record.run_folder import RunFolder, RunFolders
from engine.risk.config import RiskConfig
from engine.waiting.retry_policy import RetryPolicy
from replay.simulator.server import Simulator
from tests.desk import Row, order
from tests.live_desk import HOST, LiveDesk, simulated

GENEROUS = RiskConfig(max_position_qty=1e6, max_daily_trades=10_000, accounts=frozenset({"paper"}))
BY_CLIENT_ID = "/v2/orders:by_client_order_id"
FILLS = "/v2/account/activities/FILL"

Send = Callable[[], Response]
Between = Callable[[PreparedRequest, Send], Response]


class Killed(BaseException):
    """The job dies here, as far as one process can play that: nothing that it still does has an effect."""


def at_a_rate_that_never_matters(**said: Any) -> Simulator:
    return simulated(**{"rate_limit": 1_000_000, **said})


def standing_still(**said: Any) -> Simulator:
    """Return a simulator whose clock moves only when it is told to."""
    return at_a_rate_that_never_matters(clock="manual", **said)


def obliging(_: PreparedRequest, send: Send) -> Response:
    return send()


@dataclass
class TradingDesk(LiveDesk):
    """A live desk with somebody in the middle."""

    simulator: Simulator = field(default_factory=at_a_rate_that_never_matters)
    host: str = HOST
    account: str | None = "paper"
    keys: tuple[str, str] = ("test-key", "test-secret")
    between: Between = obliging
    broker_read_s: float = 0.05
    settle_s: float = 0.2
    effects: list[str] = field(default_factory=list)
    dead: threading.Event = field(default_factory=threading.Event)

    def broker(self) -> AlpacaBroker:
        session = requests.Session()
        session.mount(self.host, _Middle(self, self.simulator.adapter()))
        return AlpacaBroker(
            api_key=self.keys[0],
            secret_key=self.keys[1],
            trading_host=self.host,
            session=session,
            retry_policy=RetryPolicy(read_s=self.broker_read_s),
            stopping=self.stopping,
        )

    def accesses(self) -> list[Access]:
        return [Access(account=self.account or "", broker=self.broker())]

    def live(
        self, config: RiskConfig | None = None, *, changes: dict[str, Any] | None = None, **env: Any
    ) -> RunFolder:
        self.dead.clear()
        self.data.mkdir(parents=True, exist_ok=True)
        (self.data / ".lock").touch()  # by which the next job knows that this one is gone
        changes = {"objects": Watched(self), **(changes or {})}
        return super().live(config or GENEROUS, changes=changes, **env)

    def one(self, *, config: RiskConfig | None = None, **said: Any) -> Row:
        """Drop one intent, run, and give its row of the results."""
        intent = {"client_intent_id": "one", **said}
        self.drop(f"{intent['client_intent_id']}.json", order(**intent))
        return results(self.live(config))[0]

    # what goes wrong

    def arm(self, fault: str, **said: Any) -> None:
        """Arm a fault of the simulator's."""
        self.control("POST", "faults", {"fault": fault, **said})

    def disarm(self) -> None:
        self.control("DELETE", "faults")
        self.between = obliging

    def die(self) -> Killed:
        self.dead.set()
        return Killed()

    # what happens at the broker

    def control(self, method: str, what: str, body: Mapping[str, Any] | None = None) -> Any:
        with requests.Session() as session:
            session.mount("http://simulator", self.simulator.adapter())
            answer = session.request(method, f"http://simulator/simulator/{what}", json=body or {})
        assert answer.ok, answer.text
        return answer.json()

    def tick(self, seconds: float) -> None:
        """Let time go by, at the desk and at the simulator."""
        self.later(seconds=seconds)
        self.control("POST", "clock", {"advance_s": seconds})

    def at_broker(self, client_order_id: str) -> Row:
        """Return an order, or an exit leg, as the simulator has it now."""
        self.by_hand("GET", "/v2/clock")  # whatever is asked, the market catches up first
        orders = [leg for entry in self.orders() for leg in (entry, *(entry["legs"] or []))]
        named: dict[str, Row] = {row["id"]: row for row in orders}
        (found,) = [row for row in named.values() if row["client_order_id"] == client_order_id]
        return found

    def fill(self, client_order_id: str, qty: float | None = None) -> None:
        """Fill an open order, whole or by some shares."""
        said = {"order_id": self.at_broker(client_order_id)["id"]}
        self.control("POST", "fill", said if qty is None else {**said, "qty": str(qty)})

    def place_by_hand(self, **said: Any) -> Row:
        """Place an order that no run knows of."""
        plain = {"symbol": "SPY", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}
        found: Row = self.by_hand("POST", "/v2/orders", plain | said)
        return found

    def by_hand(self, method: str, path: str, body: Row | None = None) -> Any:
        """Ask the simulator beside all runs."""
        with requests.Session() as session:
            session.mount(HOST, self.simulator.adapter())
            keys = {"APCA-API-KEY-ID": self.keys[0], "APCA-API-SECRET-KEY": self.keys[1]}
            answer = session.request(method, f"{HOST}{path}", json=body, headers=keys, timeout=5)
        assert answer.ok, answer.text
        return answer.json()

    # what was seen there

    def requests(self, method: str = "", path: str = "") -> list[Row]:
        seen: list[Row] = self.simulator.simulation.state()["requests"]
        return [row for row in seen if row["method"].startswith(method) and row["path"].startswith(path)]

    def posts(self) -> list[str]:
        """Return the client ids of the orders that were sent, in their order."""
        return [row["body"]["client_order_id"] for row in self.requests("POST", "/v2/orders")]

    def lookups(self) -> int:
        return len(self.requests("GET", BY_CLIENT_ID))

    def runs(self) -> list[RunFolder]:
        """Return all runs, oldest first, finished or not."""
        return RunFolders(LocalObjects(self.data)).all()

    def leases(self) -> list[str]:
        """Return the names of the documents that say who may send."""
        with closing(sqlite3.connect(self.data / "engine.db")) as connection:
            rows = connection.execute("select name from agent_documents where name like 'lease-%'").fetchall()
        return [str(name) for (name,) in rows]

    def left_open(self) -> list[str]:
        return LocalObjects(self.data).list("open/")

    def trades(self, session: str = "2026-03-02") -> float:
        """Return what the ledger counts for account ``paper``."""
        counts = self.store.trade_counts(["paper"], date.fromisoformat(session))
        return float(counts["trades"].sum())


def doing(act: Callable[[PreparedRequest], object]) -> Between:
    """Return a hook that acts before each request goes on."""

    def middle(request: PreparedRequest, send: Send) -> Response:
        act(request)
        return send()

    return middle


class Watched(LocalObjects):
    """Notes what is put; puts and deletes nothing once the job is dead."""

    def __init__(self, desk: TradingDesk) -> None:
        super().__init__(desk.data)
        self._desk = desk

    def put(self, key: str, content: Content) -> None:
        if self._desk.dead.is_set():
            raise Killed
        super().put(key, content)
        self._desk.effects.append(f"put {key}")

    def delete(self, key: str) -> None:
        if self._desk.dead.is_set():
            raise Killed
        super().delete(key)


class _Middle(BaseAdapter):
    def __init__(self, desk: TradingDesk, inner: BaseAdapter) -> None:
        super().__init__()
        self._desk, self._inner = desk, inner

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        if self._desk.dead.is_set():
            raise Killed
        what = f"{request.method} {path_of(request)}"
        self._desk.effects.append(f"{what} {client_id_of(request)}".rstrip())
        return self._desk.between(request, lambda: self._inner.send(request, *args, **kwargs))

    def close(self) -> None:
        self._inner.close()


# --- requests and replies


def path_of(request: PreparedRequest) -> str:
    return urlsplit(request.url or "").path


def client_id_of(request: PreparedRequest) -> str:
    return "" if not request.body else str(json.loads(request.body).get("client_order_id", ""))


def is_order(request: PreparedRequest) -> bool:
    return request.method == "POST" and path_of(request) == "/v2/orders"


def reply(request: PreparedRequest, status: int, body: object = b"", **headers: str) -> Response:
    """Return a reply that no simulator makes."""
    answer = Response()
    answer.status_code, answer.url, answer.request = status, request.url or "", request
    answer.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    answer._content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return answer


def no_connection(request: PreparedRequest) -> requests.ConnectionError:
    pool = HTTPConnectionPool("paper-api.alpaca.markets")
    refused = NewConnectionError(HTTPConnection(pool.host), "[Errno 111] Connection refused")
    return requests.ConnectionError(MaxRetryError(pool, request.url or "", refused), request=request)


def forgetful(times: int, method: str = "GET") -> Between:
    """Return a broker that doesn't know, so many times, orders that it gave an id itself."""
    left = [times]

    def middle(request: PreparedRequest, send: Send) -> Response:
        if request.method == method and path_of(request).startswith("/v2/orders/") and left[0] > 0:
            left[0] -= 1
            return reply(request, 404, {"code": 40410000, "message": "order not found"})
        return send()

    return middle


def dropped(request: PreparedRequest) -> requests.ConnectionError:
    return requests.ConnectionError("Remote end closed connection without response", request=request)


def with_orders_answered(answer: Between) -> Between:
    """Return a hook that acts on POSTs of orders only."""
    return lambda request, send: answer(request, send) if is_order(request) else send()


def after_orders(then: Callable[[str], object]) -> Between:
    """Return a hook that acts each time an order has been taken in."""

    def middle(request: PreparedRequest, send: Send) -> Response:
        answer = send()
        if is_order(request):
            then(client_id_of(request))
        return answer

    return middle


# --- runs


def results(folder: RunFolder) -> list[Row]:
    rows: list[Row] = folder.table("results.parquet").to_pylist()
    return rows


def exit_code(folder: RunFolder) -> int:
    code: int = folder.json("manifest.json")["exit_code"]
    return code


def identities(folder: RunFolder) -> dict[str, bool]:
    return {one["name"]: one["holds"] for one in folder.json("manifest.json")["identities"]}
