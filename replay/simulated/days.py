"""Simulated sessions: at the end of each bar strategies drop files and a live run trades at the simulator.

The clock moves between bars and at each poll of open orders. Every run is live: except for the gate, it does
what it would do against Alpaca, through the same broker, routing, settlement and stores.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import TextIO

import pandas as pd
import requests

from engine.accounts.connection import Opening
from engine.api.dropping import drop_intents
from engine.brokers.access import Access
from engine.brokers.chosen import AlpacaBroker
from engine.brokers.interaction import Interaction
from engine.brokers.trading import Recorder
from engine.context import RunContext
from engine.errors import EngineError, UsageError
from engine.log import EventLog
from engine.model.orders import BrokerOrder
from engine.record.folder_identity import make_identity
from engine.record.modes import OWNER_ONLY
from engine.record.objects import LocalObjects
from engine.record.run_folder import RunFolder
from engine.risk.config import RiskConfig
from engine.run.stages import finish
from engine.run.starting import start
from engine.safety.agent_state import Agent
from engine.safety.kill_switch import KillSwitchState
from engine.safety.lease_document import Holder
from engine.safety.lock import exclusive
from engine.safety.trading_states import TradingStates
from engine.settings.variables import DEFAULT_INTAKE, RunSettings
from engine.stores.embedded.store import EmbeddedStore
from engine.stores.inbox.inbox import Dropped, Found, Inbox, Left, Reading, drop_file
from engine.waiting.retry_policy import RetryPolicy
from replay.simulated.strategies import Bar, Row, Strategy, strategies
from replay.simulator import Simulator
from replay.simulator.market.prices import RandomWalk
from replay.simulator.market.sessions import Session, ending_after

FIRST_DAY = date(2026, 3, 2)
HOST = "https://paper-api.alpaca.markets"
_NS = 1_000_000_000
_AFTER_OPEN_S, _BEFORE_CLOSE_S, _BARS = 300, 600, 5
_POLL_INTERVAL = timedelta(seconds=2)
_KEY, _SECRET = "test-key", "test-secret"
_FAULTS: tuple[Row, ...] = (
    {"fault": "accept_then_drop", "method": "POST", "path": "/v2/orders", "times": 1},
    {"fault": "error_before", "status": 503, "times": 2},
    {"fault": "rate_limited", "times": 1},
    {"fault": "lookup_lag", "lookups": 2, "times": 1},
)
"""Faults at the end of some bars, where requested; each ends by itself."""


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """The parameters of a simulation; ``faults``: inject broker faults at some bars.

    ``account``: the name of the account in all intents. ``limits``: by default the engine's, with 40 trades
    a session.
    """

    sessions: int
    seed: int = 0
    first_day: date = FIRST_DAY
    account: str = "simulated"
    faults: bool = False
    limits: RiskConfig = field(default_factory=lambda: RiskConfig(max_daily_trades=40))


def simulate(
    simulation: Simulation, out: Path, *, report: Callable[[Session, int], None] = lambda *_: None
) -> list[RunFolder]:
    """Simulate sessions into a data folder and return their runs.

    ``report`` is called after each session with the session and its number of runs. Raises ``UsageError``
    for a folder that isn't empty, ``EngineError`` where the simulator failed.
    """
    if out.exists() and any(out.iterdir()):
        raise UsageError(
            f"{out} is not empty; simulated days would mix with its content. Name another folder."
        )
    if simulation.sessions < 1:
        raise UsageError(f"days is {simulation.sessions}; expected 1 or more. Simulate at least one session.")
    return _Simulating(simulation, out).all(report)


def _identity_by(seed: int) -> str:
    """Return the identity of a simulated data folder, the same for the same seed."""
    return f"{Random(f'folder {seed}').getrandbits(128):032x}"


class _Simulating:
    """One simulation in progress: market, venue, data folder and current time."""

    def __init__(self, simulation: Simulation, out: Path) -> None:
        self.simulation, self.out = simulation, out
        self.hours = ending_after(_midday_ns(simulation.first_day))
        begin_ns = self.hours.open_ns
        self.now = _timestamp(begin_ns)
        self.simulator = Simulator(
            key=_KEY,
            secret=_SECRET,
            seed=simulation.seed,
            clock="manual",
            start_ns=begin_ns,
            rate_limit=1_000_000,
            wall=self._seconds,
        )
        self.market = RandomWalk(simulation.seed, begin_ns)
        self.strategies: Sequence[Strategy] = strategies()
        self.earlier = self._prices(begin_ns)
        self.tokens = (f"{number:032x}" for number in count(1))
        self.store = EmbeddedStore(out / "engine.db")
        self.settings = RunSettings.from_env(
            {
                "EXEC_DATA_DIR": str(out),
                "EXEC_DRY_RUN": "0",
                "EXEC_STORE": "embedded",
                "EXEC_BROKER_ACCOUNT_ID": simulation.account,
                "EXEC_INBOX_SETTLE_S": "0",
            }
        )
        self.limits = simulation.limits.changed(accounts=frozenset([simulation.account]))

    def _seconds(self) -> float:
        """Return the simulated time in seconds since 1970."""
        return self.now.timestamp()

    def all(self, report: Callable[[Session, int], None]) -> list[RunFolder]:
        """Simulate all sessions and return their runs."""
        runs: list[RunFolder] = []
        OWNER_ONLY.make_folder(self.out)
        with (
            Path(os.devnull).open("w", encoding="utf-8") as nowhere,
            exclusive(self.out, since="a simulation"),
        ):
            make_identity(LocalObjects(self.out), _identity_by(self.simulation.seed))
            for _ in range(self.simulation.sessions):
                before = len(runs)
                for number, t_ns in enumerate(_bars(self.hours)):
                    self._move_to(t_ns)
                    self._drop(number, t_ns)
                    runs.append(self._run(number, nowhere))
                report(self.hours, len(runs) - before)
                self.hours = ending_after(self.hours.post_ns)
        if self.simulator.simulation.failures:
            raise EngineError("The simulator failed: " + "; ".join(self.simulator.simulation.failures))
        return runs

    def _move_to(self, t_ns: int) -> None:
        self.now = _timestamp(t_ns)
        self._control("POST", "clock", {"set": self.now.isoformat()})

    def _drop(self, number: int, t_ns: int) -> None:
        """Drop the file of every strategy that has intents."""
        prices = self._prices(t_ns)
        bar = Bar(
            timestamp=self.now,
            number=number,
            is_last=number == _BARS - 1,
            prices=prices,
            earlier=self.earlier,
            held=self._held(),
        )
        self.earlier = prices
        for strategy in self.strategies:
            random = Random(f"{self.simulation.seed} {strategy.name} {t_ns}")
            rows = [
                {**row, "broker_account_id": self.simulation.account} for row in strategy.intents(bar, random)
            ]
            if rows:
                path = _written(strategy, f"{strategy.name}-{self.now:%H%M}", rows, self.out / "inbox")
                os.utime(path, ns=(t_ns, t_ns))

    def _run(self, number: int, nowhere: TextIO) -> RunFolder:
        """Run the job as a scheduled `run` does after its gate."""
        if self.simulation.faults:
            self._arm_fault(number)
        log = EventLog(nowhere, lambda: self.now)
        agent = Agent(self.store, log, "a simulation", clock=lambda: self.now)
        opening = Opening(
            agent=agent,
            holder=Holder("a simulation", "simulated"),
            settle_s=0.0,
            stopping=lambda: False,
            token=lambda: next(self.tokens),
        )
        with self._session() as session, opening.connections([self._access(session)]) as connections:
            at_work = tuple(
                replace(one, orders_at_once=1, retry_policy=_QUICK) for one in connections.at_work
            )
            context = RunContext.of_agent(
                agent,
                objects=LocalObjects(self.out),
                inbox=_WithoutInodes(self.out / "inbox"),
                positions=self.store,
                ledger=self.store,
                kill_switch=_off,
                trading_states=TradingStates,  # none is set, and they are read before every order
                connections=replace(connections, at_work=at_work),
            )
            folder = start(self.settings, self.limits, context, slot=f"bar{number + 1}")
            finish(folder, context)
        self._control("DELETE", "faults", {})
        return folder

    def _arm_fault(self, number: int) -> None:
        random = Random(f"{self.simulation.seed} faults {self.now} {number}")
        if random.random() < 0.4:
            self._control("POST", "faults", random.choice(_FAULTS))

    def _access(self, session: requests.Session) -> Access:
        broker = _SimulatedBroker(
            api_key=_KEY, secret_key=_SECRET, trading_host=HOST, session=session, retry_policy=_QUICK
        )
        broker.now, broker.before_poll = lambda: self.now, self._let_time_pass
        return Access(account=self.simulation.account, broker=broker)

    def _let_time_pass(self) -> None:
        """Move the clock on, so that open orders can fill."""
        self.now += _POLL_INTERVAL
        self._control("POST", "clock", {"set": self.now.isoformat()})

    def _prices(self, t_ns: int) -> dict[str, float]:
        symbols = (symbol for strategy in self.strategies for symbol in strategy.symbols)
        return {symbol: float(self.market.price(symbol, t_ns)) for symbol in symbols}

    def _held(self) -> dict[str, float]:
        return {one["symbol"]: float(one["qty"]) for one in self.simulator.venue.list_positions()}

    @contextmanager
    def _session(self) -> Iterator[requests.Session]:
        with requests.Session() as session:
            session.mount(HOST, self.simulator.adapter())
            session.mount("http://simulator", self.simulator.adapter())
            yield session

    def _control(self, method: str, what: str, body: Row) -> None:
        with self._session() as session:
            answer = session.request(method, f"http://simulator/simulator/{what}", json=body)
        if not answer.ok:
            raise EngineError(f"The simulator refused {method} {what}: {answer.text}")


class _WithoutInodes(Inbox):
    """An inbox whose files have no inode in their identity, so that it depends on the seed alone."""

    def find(self, *, max_depth: int = DEFAULT_INTAKE.max_depth) -> Found:
        """Return the files in the inbox."""
        found = super().find(max_depth=max_depth)
        return replace(found, files=[replace(file, inode=0) for file in found.files])

    def read(self, file: Dropped, *, max_bytes: int) -> Reading | Left:
        """Return a file's content."""
        return super().read(self._as_it_is(file), max_bytes=max_bytes)

    def remove(self, file: Dropped) -> Left | None:
        """Remove a file that was consumed."""
        return super().remove(self._as_it_is(file))

    def _as_it_is(self, file: Dropped) -> Dropped:
        return replace(file, inode=(self.root / file.name).stat().st_ino)


class _SimulatedBroker(AlpacaBroker):
    """A broker whose recorded traffic has the simulated time and no durations."""

    now: Callable[[], datetime]
    before_poll: Callable[[], None]

    def open_orders(self) -> list[BrokerOrder]:
        """Let time pass, then return the open orders."""
        self.before_poll()
        return super().open_orders()

    def recorded(self, recorder: Recorder, account: str = "") -> AlpacaBroker:
        """Return the same broker, with every request and reply recorded."""
        return super().recorded(_BySimulatedTime(recorder, self.now), account)


@dataclass(frozen=True)
class _BySimulatedTime:
    inner: Recorder
    now: Callable[[], datetime]

    def next_number(self) -> int:
        """Return the number of the next request."""
        return self.inner.next_number()

    def keep(self, interaction: Interaction) -> None:
        """Record a request and its reply at the simulated time."""
        self.inner.keep(replace(interaction, started_at=self.now().isoformat(), took_s=0.0))


_QUICK = RetryPolicy(read_s=5.0, lookups_s=(0.0, 0.05, 0.1, 0.2, 0.4), down_after_s=5.0)


def _off() -> KillSwitchState:
    return KillSwitchState(on=False, why="No kill switch is on.")


def _bars(hours: Session) -> list[int]:
    """Return the times at which bars end, ns: the first after the open, the last before the close."""
    first, last = hours.open_ns + _AFTER_OPEN_S * _NS, hours.close_ns - _BEFORE_CLOSE_S * _NS
    step = (last - first) // (_BARS - 1)
    return [first + step * number for number in range(_BARS)]


def _midday_ns(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()) * _NS


def _timestamp(t_ns: int) -> datetime:
    return datetime.fromtimestamp(t_ns // _NS, UTC)


def _written(strategy: Strategy, name: str, rows: list[Row], inbox: Path) -> Path:
    """Drop a strategy's file in its format and return its path."""
    if strategy.kind == "parquet":
        return drop_intents(pd.DataFrame(rows), inbox, name=name)
    if strategy.kind == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, list(dict.fromkeys(column for row in rows for column in row)))
        writer.writeheader()
        writer.writerows(rows)
        return drop_file(f"{name}.csv", text.getvalue().encode(), inbox)
    return drop_intents(rows, inbox, name=name)
