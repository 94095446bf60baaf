"""The composition root: settings in, the world that a command works in out."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.config import RiskConfig, RunSettings
from engine.errors import ConfigurationError
from engine.log import EventLog, wall_clock
from engine.stores.chosen import Stores, choose_stores
from engine.stores.inbox import Inbox
from engine.stores.kill_switch import KillSwitch
from engine.stores.objects import LocalObjects, Objects
from engine.world import World

if TYPE_CHECKING:  # a dry run has no gate, and is short
    from engine.agent import Agent
    from engine.brokers.trading import TradingBroker
    from engine.gate import Gate
    from engine.preflight import Check
    from engine.venue import Venue


@dataclass(frozen=True)
class Setup:
    """What every command starts from; reading it fails before anything is touched."""

    settings: RunSettings
    config: RiskConfig
    kill_switch: KillSwitch
    stores: Stores

    @property
    def data_dir(self) -> Path:
        """The folder of inbox, archive, quarantine, runs and engine.db."""
        return self.settings.data_dir

    @property
    def inbox(self) -> Inbox:
        """Where strategies drop files."""
        return Inbox(self.data_dir / "inbox")

    def agent(self, *, by: str | None = None, log: EventLog | None = None) -> Agent:
        """Give the agent whose state the store of the ledger keeps; ``by`` is who acts."""
        from engine.agent import Agent, whoever_acts

        return Agent(self.stores.agent, log or EventLog(), by or whoever_acts())

    def gate(self, checks: Mapping[str, Check]) -> Gate:
        """Give what stands before a live run, with the checks of its preflight."""
        from engine.gate import Gate

        return Gate(
            agent=self.agent(),
            agent_mode=self.settings.gate.agent_mode,
            kill_switch=self.kill_switch.read,
            checks=checks,
            timeout_s=self.settings.stores.timeout_s,
        )

    def preflight(self, *, with_broker: bool = True) -> dict[str, Check]:
        """Give the checks of a live run. Raises ``ConfigurationError`` without the broker's keys."""
        from engine.preflight import broker_checks, market_data_check, store_checks

        checks = {
            **store_checks(self.stores),
            **market_data_check(self.settings.gate, self.stores.documents, wall_clock),
        }
        if not with_broker:
            return checks
        from engine.brokers.alpaca import AlpacaBroker

        patience_s = self.settings.stores.timeout_s
        account, clock = AlpacaBroker(patience_s=patience_s), AlpacaBroker(patience_s=patience_s)
        return {**checks, **broker_checks(account.get_account, clock, wall_clock)}

    @property
    def objects(self) -> Objects:
        """Where run folders, archive and quarantine are kept."""
        return LocalObjects(self.data_dir)

    def broker(self, stopping: Callable[[], bool]) -> TradingBroker:
        """Give the broker of the keys in the environment. Raises ``ConfigurationError``."""
        from engine.brokers.alpaca import AlpacaBroker

        return AlpacaBroker(stopping=stopping)

    @contextmanager
    def venue(self, stopping: Callable[[], bool]) -> Iterator[Venue]:
        """Give where a live run sends its orders, for as long as this job may send there.

        Raises ``BrokerError`` where the broker can't be asked, ``LeaseHeld`` where another job trades.
        """
        from engine.venue import venue_of

        with venue_of(
            self.broker(stopping),
            self.agent(),
            self.settings,
            stopping=stopping,
        ) as venue:
            yield venue

    def world(
        self,
        *,
        progress: Callable[[str, int, int], None],
        stopping: Callable[[], bool],
        venue: Venue | None = None,
    ) -> World:
        """Give the edges of a run: stores, disk, the wall clock, SIGTERM, and the venue of a live run."""
        return World(
            objects=self.objects,
            inbox=self.inbox,
            positions=self.stores.positions,
            ledger=self.stores.ledger,
            kill_switch=self.kill_switch.read,
            log=EventLog(),
            risk_data_timeout_s=self.settings.stores.timeout_s,
            stopping=stopping,
            progress=progress,
            venue=venue,
        )


def read_setup(env: Mapping[str, str] | None = None) -> Setup:
    """Read all settings. Raises ``ConfigurationError``."""
    env = os.environ if env is None else env
    settings = RunSettings.from_env(env)
    if settings.data_dir.exists() and not settings.data_dir.is_dir():
        where = str(settings.data_dir)
        raise ConfigurationError(f"EXEC_DATA_DIR is {where!r}, which is no folder; name a folder.")
    stores = choose_stores(settings.stores)
    read_document = stores.documents.document if stores.documents else None
    switch = KillSwitch.from_env(env, read_document=read_document)
    return Setup(settings, RiskConfig.from_env(env), switch, stores)


def termination_asked() -> Callable[[], bool]:
    """Take SIGTERM as a wish to end between two steps; tell whether it has come."""
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    return lambda: bool(asked)
