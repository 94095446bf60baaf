"""A desk that trades: the data folder of ``tests.desk`` beside a simulated Alpaca, both by one clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import requests

from engine.accounts.connection import Connection, Connections, Opening
from engine.accounts.market_data import MarketDataAccess
from engine.brokers.access import Access
from engine.brokers.alpaca.broker import AlpacaBroker
from engine.brokers.alpaca.market_data import AlpacaMarketData
from engine.context import RunContext
from engine.log import EventLog
from engine.record.run_folder import RunFolder
from engine.risk.config import RiskConfig
from engine.run.stages import finish, to_finish
from engine.run.starting import start
from engine.safety.agent_state import Agent
from engine.safety.lease_document import Holder
from engine.waiting.retry_policy import RetryPolicy
from replay.simulator.server import Simulator
from tests.desk import NOON, Desk

HOST = "https://paper-api.alpaca.markets"
QUICK = RetryPolicy(lookups_s=(0.01, 0.02, 0.04), down_after_s=0.2)


def simulated(**said: Any) -> Simulator:
    """Return a simulator that begins at noon; orders fill whole."""
    start_ns = int(NOON.timestamp()) * 1_000_000_000
    defaults = {"clock": "running", "speed": 20.0, "start_ns": start_ns, "partial_fill_probability": 0.0}
    return Simulator(**{**defaults, **said})


@dataclass
class LiveDesk(Desk):
    """A desk whose orders go to a simulator; ``faulty`` stands between the two, where it is given."""

    simulator: Simulator = field(default_factory=simulated)
    settle_s: float = 0.3
    retry_policy: RetryPolicy = QUICK
    stopping: Callable[[], bool] = lambda: False
    broker_read_s: float = 0.5

    def broker(self) -> AlpacaBroker:
        session = requests.Session()
        session.mount(HOST, self.simulator.adapter())
        return AlpacaBroker(
            api_key="test-key",
            secret_key="test-secret",
            trading_host=HOST,
            session=session,
            retry_policy=RetryPolicy(read_s=self.broker_read_s),
            stopping=self.stopping,
        )

    def agent(self) -> Agent:
        log = EventLog(self.logged, lambda: self.now)
        return Agent(self.store, log, "a test", clock=lambda: self.now)

    def accesses(self) -> list[Access]:
        """Return how the account is reached: it is called paper."""
        return [Access(account="paper", broker=self.broker())]

    @contextmanager
    def connections(self) -> Iterator[Connections]:
        opening = Opening(
            agent=self.agent(),
            holder=Holder.of(self.data),
            settle_s=self.settle_s,
            stopping=self.stopping,
        )
        with opening.connections(self.accesses()) as connections:
            at_work = tuple(replace(venue, retry_policy=self.retry_policy) for venue in connections.at_work)
            yield replace(connections, at_work=at_work)

    def market_data(self) -> MarketDataAccess | None:
        """Grant access to the simulator's quotes, whatever host the settings name."""

        @cache
        def provider(host: str, feed: str) -> AlpacaMarketData:
            session = requests.Session()
            session.mount(host, self.simulator.adapter())
            return AlpacaMarketData(
                feed=feed,
                api_key="test-key",
                secret_key="test-secret",
                data_host=host,
                session=session,
                retry_policy=RetryPolicy(read_s=self.broker_read_s),
            )

        return MarketDataAccess(provider=provider)

    @contextmanager
    def venue(self) -> Iterator[Connection]:
        """Yield the venue of the only account."""
        with self.connections() as connections:
            (venue,) = connections.at_work
            yield venue

    def live(
        self, config: RiskConfig | None = None, *, changes: dict[str, Any] | None = None, **env: str
    ) -> RunFolder:
        """Do what a live ``execution-engine run`` does, after its gate; the next one is a minute later."""
        settings = self.settings(
            EXEC_DRY_RUN="0", EXEC_STORE="embedded", EXEC_BROKER_ACCOUNT_ID="paper", **env
        )
        config = config or RiskConfig(accounts=frozenset({"paper"}))
        self.data.mkdir(parents=True, exist_ok=True)
        with self.connections() as connections:
            context: RunContext = replace(
                self.context(),
                connections=connections,
                stopping=self.stopping,
                market_data=self.market_data(),
                **(changes or {}),
            )
            for unfinished in to_finish(context):
                finish(unfinished, context)
            folder = start(settings, config, context, slot="test")
            finish(folder, context)
        self.later(minutes=1)
        return folder

    def orders(self) -> list[dict[str, Any]]:
        """Return the orders that the simulator has, oldest first."""
        found: list[dict[str, Any]] = self.simulator.simulation.state()["orders"]
        return found

    def placed_ids(self) -> list[str]:
        return [order["client_order_id"] for order in self.orders()]
