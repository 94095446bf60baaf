"""What sending orders takes: against what limit and latency allow, and against bare POSTs of ``requests``.

The simulator is a process of its own behind a loopback socket, the data folder is on disk, and the log is
written, to nowhere. Times of requests are those at which the simulator saw them.
"""

from __future__ import annotations

import inspect
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import orjson
import pyarrow.compute as pc
import requests

from engine.accounts.connection import Connection, Opening
from engine.brokers.access import Access
from engine.brokers.alpaca.broker import AlpacaBroker
from engine.brokers.alpaca.orders import order_payload
from engine.brokers.alpaca.pacing import Pace
from engine.brokers.trading import Recorder
from engine.context import RunContext
from engine.log import EventLog
from engine.model.orders import OrderIntent
from engine.record.objects import LocalObjects
from engine.record.run_folder import CASSETTE, DECISIONS, FILLS, RunFolder
from engine.risk.config import RiskConfig
from engine.run.stages import finish
from engine.run.starting import start
from engine.safety.agent_state import Agent
from engine.safety.kill_switch import KillSwitch
from engine.safety.latches import KeptLatches
from engine.safety.lease_document import Holder
from engine.safety.trading_states import KeptStates
from engine.settings.variables import RunSettings
from engine.stores.embedded.store import EmbeddedStore
from engine.stores.inbox.inbox import Inbox
from tests.benchmarks.timing import Figure, Timing, ratio_of

_KEYS = {"APCA-API-KEY-ID": "test-key", "APCA-API-SECRET-KEY": "test-secret"}
_ORDERS, _LATENCY_S, _FAST, _USUAL = 1_000, 0.05, 6_000, 200
_UNHURRIED = 1_000_000  # requests a minute: the pace is no matter
_BURST_S: float = inspect.signature(Pace).parameters["burst_s"].default


def orders_at_a_limit() -> Iterator[Figure]:
    """Send 1,000 orders at 6,000 a minute and 50 ms latency, and 260 at the usual 200 a minute."""
    with _Simulated.running(rate_limit=_FAST, latency_s=_LATENCY_S) as simulator:
        sent = [_traded(simulator, _ORDERS) for _ in range(3)]
    best = min(sent, key=lambda traded: traded.sending_s)
    allowed = Timing(_allowed_s(_ORDERS, _FAST, _LATENCY_S))
    name, against = "1,000 orders at 6,000 a minute and 50 ms", "a full bucket, then the limit's rate"
    more = {
        "all_seconds": [round(traded.sending_s, 3) for traded in sent],
        "by_rate_alone_seconds": _ORDERS / _FAST * 60,
    }
    yield ratio_of(name, _ORDERS, Timing(best.sending_s), allowed, at_most=1.15, against=against, **more)
    yield _at_most("requests to settle 1,000 orders of one fill each", max(_after_last(s) for s in sent), 30)
    yield _at_most("requests turned away at 6,000 a minute", sum(_turned_away(s) for s in sent), 0)
    with _Simulated.running(rate_limit=_USUAL) as simulator:
        yield from _at_the_usual_limit(_traded(simulator, 260))


def cpu_of_orders() -> Iterator[Figure]:
    """Route, record and settle 1,000 orders as fast as they go; and POST the same bodies, one by one."""
    with _Simulated.running(rate_limit=_UNHURRIED) as simulator:
        rounds = [
            (
                _traded(simulator, _ORDERS).cpu_s,
                _traded(simulator, _ORDERS, recording=False).cpu_s,
                _posted(simulator, _ORDERS),
            )
            for _ in range(7)
        ]
    recorded, unrecorded, bare = (median(side) for side in zip(*rounds, strict=True))
    name, against = "CPU of 1,000 orders sent and settled", "a bare POST by a requests.Session each"
    ratios = [round(ours / theirs, 2) for ours, _, theirs in rounds]
    more = {"microseconds_each": round(recorded / _ORDERS * 1e6), "ratios": ratios, "against": against}
    yield ratio_of(name, _ORDERS, Timing(recorded), Timing(bare), at_most=3.0, **more)
    share = median((ours - without) / ours for ours, without, _ in rounds)
    yield {
        "name": "recording's share of that CPU", "n": _ORDERS, "seconds": round(recorded - unrecorded, 4),
        "ratio": round(share, 3), "asked": 0.1, "met": share <= 0.1,
        "shares": [round((ours - without) / ours, 3) for ours, without, _ in rounds],
    }  # fmt: skip


def figures() -> Iterator[Figure]:
    """Yield all figures of sending orders."""
    yield from orders_at_a_limit()
    yield from cpu_of_orders()


def _allowed_s(orders: int, limit: int, latency_s: float) -> float:
    """Return the least time that sending can take: by the limit, or by the latency of each connection.

    By the limit, a bucket that is full at the start (``burst_s`` of the pace) goes at once, the rest at the
    limit's rate, and the last order's reply takes the latency. By the latency, as many orders as there are
    connections go in each round.
    """
    rate = limit / 60
    by_limit_s = max(0.0, orders - rate * _BURST_S) / rate + latency_s
    return max(by_limit_s, math.ceil(orders / Connection.orders_at_once) * latency_s)


@dataclass
class _Traded:
    """A run that has been settled: what it took, and what the simulator saw of it."""

    cpu_s: float
    sending_s: float
    requests: list[dict[str, Any]]


def _at_the_usual_limit(traded: _Traded) -> Iterator[Figure]:
    """Compare with the limit's rate, from when as many orders are out as a full bucket lets go at once."""
    burst = round(_USUAL / 60 * _BURST_S)
    posts = _posts(traded)
    begin, end = posts[burst - 1], posts[-1]
    counted = end - begin
    seconds = (_timestamp(traded.requests[end]) - _timestamp(traded.requests[begin])).total_seconds()
    share = counted / seconds / (_USUAL / 60)
    yield {
        "name": "rate at 200 a minute, of what is permitted", "n": counted, "seconds": round(seconds, 2),
        "rate": round(counted / seconds * 60, 1), "ratio": round(share, 4), "asked": 0.98,
        "met": share >= 0.98,
    }  # fmt: skip
    yield _at_most("requests turned away at 200 a minute", _turned_away(traded), 0)


def _at_most(name: str, count: int, most: int) -> Figure:
    return {"name": name, "n": count, "asked": most, "met": count <= most}


def _after_last(traded: _Traded) -> int:
    return len(traded.requests) - 1 - _posts(traded)[-1]


def _posts(traded: _Traded) -> list[int]:
    return [place for place, request in enumerate(traded.requests) if request["method"] == "POST"]


def _turned_away(traded: _Traded) -> int:
    return sum(request["status"] == requests.codes.too_many_requests for request in traded.requests)


def _timestamp(request: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(request["time"])


@dataclass(frozen=True)
class _Simulated:
    """A simulator in a process of its own."""

    address: str
    latency_s: float

    @classmethod
    @contextmanager
    def running(cls, *, rate_limit: int, latency_s: float = 0.0) -> Iterator[_Simulated]:
        """Start one in which every order fills whole."""
        command = [str(Path(sys.executable).with_name("execution-engine")), "serve-simulator", "--port", "0"]
        options = ["--rate-limit", str(rate_limit), "--cash", "1000000000", "--partial-fills", "0"]
        with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                yield cls(process.stdout.readline().split()[-1], latency_s)
            finally:
                process.terminate()

    def begun_anew(self) -> Callable[[], datetime]:
        """Set it back to an empty account in mid-session; gives a clock that goes with its own."""
        self._told("reset", {})
        if self.latency_s:
            self._told("faults", {"fault": "latency", "seconds": self.latency_s, "times": None})
        began, begin_s = self._told("clock", {"advance_s": 1})["timestamp"], time.monotonic()
        beginning = datetime.fromisoformat(began).astimezone(UTC)
        return lambda: beginning + timedelta(seconds=time.monotonic() - begin_s)

    def symbols(self) -> list[str]:
        """Return what can be traded."""
        listed = requests.get(f"{self.address}/v2/assets", headers=_KEYS, timeout=10).json()
        return sorted(asset["symbol"] for asset in listed if asset["tradable"])

    def seen(self) -> list[dict[str, Any]]:
        """Return what the trading API was asked, but for the symbols, in the order of its answers."""
        state = requests.get(f"{self.address}/simulator/state", timeout=60).json()
        return [request for request in state["requests"] if request["path"] != "/v2/assets"]

    def _told(self, what: str, body: dict[str, Any]) -> Any:
        reply = requests.post(f"{self.address}/simulator/{what}", json=body, timeout=10)
        reply.raise_for_status()
        return reply.json()


class _Unrecorded(AlpacaBroker):
    """A broker that leaves no record."""

    def recorded(self, recorder: Recorder, account: str = "") -> AlpacaBroker:
        return self


def _traded(simulator: _Simulated, orders: int, *, recording: bool = True) -> _Traded:
    """Do a live run of so many orders, each of one share; what is measured begins after the decisions."""
    clock = simulator.begun_anew()
    broker = (AlpacaBroker if recording else _Unrecorded)(
        api_key=_KEYS["APCA-API-KEY-ID"],
        secret_key=_KEYS["APCA-API-SECRET-KEY"],
        trading_host=simulator.address,
    )
    sending = _Sending()
    with tempfile.TemporaryDirectory() as name, Path(os.devnull).open("w") as nowhere:
        data, log = Path(name), EventLog(nowhere, clock)
        _drop(data, _intents(simulator, orders, clock()))
        settings = RunSettings.from_env(
            {"EXEC_DATA_DIR": name, "EXEC_DRY_RUN": "0", "EXEC_STORE": "embedded"}
        )
        settings = replace(settings, inbox_settle_s=0.0)
        store = EmbeddedStore(data / "engine.db")
        agent = Agent(store, log, "a benchmark", clock=clock)
        agent.begin()
        opening = Opening(
            agent=agent, holder=Holder.of(data), settle_s=settings.settle_s, stopping=lambda: False
        )
        with opening.connections([Access(account="", broker=broker)]) as connections:
            context = RunContext(
                objects=LocalObjects(data),
                inbox=Inbox(data / "inbox"),
                positions=store,
                ledger=store,
                kill_switch=KillSwitch.from_env({}).read,
                trading_states=KeptStates.of_agent(agent).read,
                latches=partial(KeptLatches.of_agent, agent),
                log=log,
                clock=clock,
                progress=sending.seen,
                connections=connections,
            )
            folder = start(settings, RiskConfig(max_daily_trades=orders), context)
            finish(folder, context, until=DECISIONS)
            begin_s = time.process_time()
            finish(folder, context, until=CASSETTE)
            cpu_s = time.process_time() - begin_s
        _check_one_fill_each(folder, orders)
    return _Traded(cpu_s, sending.seconds, simulator.seen())


def _posted(simulator: _Simulated, orders: int) -> float:
    """Place the same orders by nothing but ``requests``; gives the CPU seconds of this process."""
    now = simulator.begun_anew()()
    bodies = [
        json.dumps(order_payload(OrderIntent(**intent))).encode()
        for intent in _intents(simulator, orders, now)
    ]
    headers = {**_KEYS, "Accept": "application/json", "Content-Type": "application/json"}
    with requests.Session() as session:
        begin_s = time.process_time()
        for body in bodies:
            session.post(
                f"{simulator.address}/v2/orders", data=body, headers=headers, timeout=10
            ).raise_for_status()
        return time.process_time() - begin_s


@dataclass
class _Sending:
    """The stage that sends, as ``RunContext.progress`` has it, from its first word to its last."""

    moments_s: list[float] = field(default_factory=list)

    def seen(self, step: str, done: int, total: int) -> None:
        if step == "sending orders":
            self.moments_s.append(time.perf_counter())

    @property
    def seconds(self) -> float:
        return max(self.moments_s) - min(self.moments_s)


def _intents(simulator: _Simulated, orders: int, created_at: datetime) -> list[dict[str, Any]]:
    """Return market orders for one share each, of every symbol that can be traded in turns."""
    symbols = simulator.symbols()
    return [
        {
            "client_intent_id": f"order-{number:04}",
            "strategy_id": "momentum",
            "broker_account_id": "paper",
            "symbol": symbols[number % len(symbols)],
            "side": "buy",
            "qty": 1.0,
            "created_at": created_at.isoformat(),
        }
        for number in range(orders)
    ]


def _drop(data: Path, intents: list[dict[str, Any]]) -> None:
    (data / "inbox").mkdir()
    (data / "inbox" / "intents.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in intents))


def _check_one_fill_each(folder: RunFolder, orders: int) -> None:
    ids = folder.table(FILLS, ["broker_order_id"])["broker_order_id"]
    assert len(ids) == len(pc.unique(ids)) == orders
