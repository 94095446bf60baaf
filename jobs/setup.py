"""The composition root: build what a command works with from the settings."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from engine.context import RunContext
from engine.errors import BrokerError, ConfigurationError, UsageError
from engine.log import EventLog, wall_clock
from engine.model.calendar import trading_date
from engine.record.modes import Modes
from engine.record.objects import LocalObjects, Objects
from engine.risk.config import RiskConfig
from engine.risk.settings import not_read
from engine.safety.kill_switch import KillSwitch
from engine.settings.accounts_file import variables_named
from engine.settings.alarms import alarm_settings
from engine.settings.near_names import sentences
from engine.settings.variables import RunSettings
from engine.stores.chosen import Stores, check_emulator, choose_stores
from engine.stores.inbox.inbox import Inbox
from engine.text.masking import shown_text
from engine.waiting.retry_policy import RetryPolicy

if TYPE_CHECKING:  # a dry run has no gate, and starts without these imports
    from engine.accounts.configured import AccountSettings
    from engine.accounts.connection import Connections
    from engine.accounts.market_data import MarketDataAccess
    from engine.brokers.access import Access
    from engine.brokers.chosen import ReadSettings
    from engine.safety.agent_state import Agent
    from engine.safety.generations import Generations
    from engine.safety.override_files import Overrides
    from engine.safety.preflight import Check
    from engine.safety.trading_gate import Gate


@dataclass(frozen=True)
class Setup:
    """What every command starts from; reading it fails before anything is touched.

    ``stopping`` returns whether the job should end; waits before there are connections poll it. ``failed``:
    the errors of single accounts' checks, by ``account_check`` of their names.
    """

    settings: RunSettings
    kill_switch: KillSwitch
    stores: Stores
    env: Mapping[str, str] = field(repr=False)
    stopping: Callable[[], bool] = field(default=lambda: False, kw_only=True, repr=False)
    failed: dict[str, str] = field(default_factory=dict, kw_only=True, repr=False)

    @cached_property
    def config(self) -> RiskConfig:
        """The limits that intents are judged by, those of the limits file included.

        Raises ``ConfigurationError``; only commands that judge or show limits read the file.
        """
        return RiskConfig.from_env(self.env)

    @property
    def limits_remarks(self) -> list[str]:
        """Sentences on the limits file in this session: review, temporary limits, accounts without use.

        Raises ``ConfigurationError`` where no run may start with it.
        """
        file = self.config.limits_file
        if file is None:
            return []
        from engine.risk.limits_of_book import accounts_without_use, remarks_on

        session = trading_date(wall_clock(), self.settings.calendar)
        return [*remarks_on(file, session), *accounts_without_use(file, self.config.accounts)]

    @property
    def data_dir(self) -> Path:
        """The folder of inbox, archive, quarantine, runs and engine.db."""
        return self.settings.data_dir

    @property
    def inbox(self) -> Inbox:
        """Where strategies drop files."""
        return Inbox(self.data_dir / "inbox")

    def agent(self, *, by: str | None = None, log: EventLog | None = None) -> Agent:
        """Return the agent, whose state the ledger's store and the data folder keep; ``by`` acts."""
        from engine.safety.agent_state import Agent, process_name
        from engine.safety.halt_mark import HaltMark

        mark = HaltMark(self.objects)
        return Agent(self.stores.agent, log or EventLog(), by or process_name(), mark=mark)

    @property
    def generations(self) -> Generations:
        """The generations, which verify that the stores are those of this data folder's live runs."""
        from engine.safety.generations import generations_of

        return generations_of(self.objects, self.stores, wall_clock)

    def gate(self, checks: Mapping[str, Check]) -> Gate:
        """Return the gate before live trading, with the checks of its preflight."""
        from engine.safety.trading_gate import Gate

        return Gate(
            agent=self.agent(),
            generations=self.generations,
            agent_mode=self.settings.gate.agent_mode,
            kill_switch=self.kill_switch.read,
            checks=checks,
            timeout_s=self.settings.stores.timeout_s,
        )

    @cached_property
    def accounts(self) -> tuple[AccountSettings, ...]:
        """The accounts that may be traded, with their keys. Raises ``ConfigurationError``."""
        from engine.accounts.configured import read_accounts

        return read_accounts(self.env)

    @property
    def remarks(self) -> list[str]:
        """A sentence on each variable that looks like a setting and is not read."""
        file = self.settings.accounts_file
        return list(sentences(not_read(self.env, used=variables_named(file) if file else ())))

    def check_start(self, *, slot: str = "adhoc") -> None:
        """Raise ``EngineError`` where a run can't start, before anything is touched."""
        from engine.run.inputs_configured import check_inputs_configured
        from engine.run.starting import check_start

        check_start(self.settings, slot=slot)
        alarm_settings(self.env)
        _ = self.limits_remarks
        check_inputs_configured(self.config, self.settings.prices)
        self.overrides()
        if not self.settings.dry_run:
            self.check_emulator()

    def overrides(self) -> Overrides:
        """Return the overrides of the present session. Raises ``ConfigurationError``, ``RecordError``."""
        from engine.safety.override_files import OverrideFiles

        return OverrideFiles.at(self.objects, wall_clock(), self.settings.calendar).read()

    def check_emulator(self) -> None:
        """Raise ``ConfigurationError`` where a real broker would be traded on the ledger of an emulator."""
        for account in self.accounts:
            check_emulator(self.settings.stores, account.trading_host)

    def preflight(self, *, with_broker: bool = True) -> dict[str, Check]:
        """Return the checks of a live run. Raises ``ConfigurationError`` without the broker's keys.

        After they ran, ``failed`` has the errors of single accounts where others can be traded.
        """
        from engine.safety.preflight import market_data_check, one_of, store_checks

        checks = {
            **store_checks(self.stores),
            **market_data_check(self.settings.gate, self.stores.documents, wall_clock),
        }
        if not with_broker:
            return checks
        brokers = self.broker_checks()
        if len(self.accounts) == 1:
            return {**checks, **brokers}
        return {**checks, "broker accounts": one_of(brokers, self.settings.stores.timeout_s, self.failed)}

    def broker_checks(self) -> dict[str, Check]:
        """Return the checks of the brokers, account by account."""
        from engine.safety.preflight import broker_checks

        accesses = self.accesses(
            retry_policy=replace(self.retry_policy, read_s=self.settings.stores.timeout_s),
            stopping=self.stopping,
        )
        return broker_checks(accesses, wall_clock, broker_wait_s=self.settings.broker_wait_s)

    @property
    def retry_policy(self) -> RetryPolicy:
        """How requests to the brokers are retried."""
        return RetryPolicy(broker_wait_s=self.settings.broker_wait_s)

    @property
    def objects(self) -> Objects:
        """Where run folders, archive and quarantine are kept."""
        return LocalObjects(self.data_dir, self.modes)

    @property
    def modes(self) -> Modes:
        """Modes of what is created in the data folder."""
        return Modes.of(group_access=self.settings.stores.group_access)

    def accesses(self, *, only: str | None = None, **reading: Unpack[ReadSettings]) -> list[Access]:
        """Return the access of each account, or of one. Raises ``ConfigurationError``, ``UsageError``."""
        from engine.brokers.access import Access
        from engine.brokers.chosen import AlpacaBroker

        listed = self.settings.accounts_file is not None
        reading.setdefault("retry_policy", self.retry_policy)
        accounts = [account for account in self.accounts if only in {None, account.name}]
        if not accounts:
            names = ", ".join(account.shown_as for account in self.accounts)
            raise UsageError(f"--account is {shown_text(only or '')}; expected {names}.")
        return [
            Access(
                account=account.name,
                account_number=account.account_number,
                keys=f"{account.api_key_source} and {account.secret_key_source}" if listed else "",
                broker=AlpacaBroker(
                    api_key=account.api_key,
                    secret_key=account.secret_key,
                    trading_host=account.trading_host,
                    **_logging_waits(account, reading),
                ),
            )
            for account in accounts
        ]

    @contextmanager
    def connections(self, stopping: Callable[[], bool], *, to_trade: bool = True) -> Iterator[Connections]:
        """Yield the connections of a live run, with the accounts' trading leases where ``to_trade``.

        Accounts that failed the preflight are left out. Raises ``BrokerError`` where no broker answers,
        ``LeaseHeld`` where another job trades.
        """
        from engine.accounts.connection import Opening
        from engine.safety.lease_document import Holder

        opening = Opening(
            agent=self.agent(),
            holder=Holder.of(self.settings.data_dir),
            settle_s=self.settings.settle_s,
            retry_policy=self.retry_policy,
            stopping=stopping,
            to_trade=to_trade,
        )
        left_out = self._left_out() if to_trade else {}
        with opening.connections(self.accesses(stopping=stopping), left_out=left_out) as connections:
            yield connections

    def _left_out(self) -> dict[str, str]:
        """Return the accounts that failed the preflight, and why; they aren't asked again."""
        from engine.safety.preflight import account_check

        why = {account.name: self.failed.get(account_check(account.name)) for account in self.accounts}
        return {name: reason for name, reason in why.items() if reason is not None}

    def context(
        self,
        *,
        progress: Callable[[str, int, int], None],
        stopping: Callable[[], bool],
        connections: Connections | None = None,
        closed_by: tuple[str, str] | None = None,
    ) -> RunContext:
        """Return the run context: stores, disk, wall clock, SIGTERM, and a live run's connections."""
        return RunContext.of_agent(
            self.agent(),
            objects=self.objects,
            inbox=self.inbox,
            positions=self.stores.positions,
            ledger=self.stores.ledger,
            kill_switch=self.kill_switch.read,
            risk_data_timeout_s=self.settings.stores.timeout_s,
            stopping=stopping,
            progress=progress,
            connections=connections,
            closed_by=closed_by,
            market_data=self.market_data(stopping),
        )

    def market_data(self, stopping: Callable[[], bool]) -> MarketDataAccess:
        """Return the access to market data; keys are read at the first request."""
        from engine.accounts.market_data import market_data_access

        return market_data_access(lambda: self.accounts, retry_policy=self.retry_policy, stopping=stopping)

    def price_checks(self) -> dict[str, Check]:
        """Return the checks of the sources of prices and volumes that are set."""
        from engine.run.price_checks import price_checks

        return price_checks(
            self.settings.prices,
            self.market_data(self.stopping),
            today=lambda: trading_date(wall_clock(), self.settings.calendar),
            timeout_s=self.settings.stores.timeout_s,
        )


def _logging_waits(account: AccountSettings, reading: ReadSettings) -> ReadSettings:
    return {**reading, "waiting": partial(_log_wait, account.shown_as)}


def _log_wait(account: str, error: BrokerError, wait_s: float) -> None:
    """Log that a broker asks for a wait, in which the job does nothing."""
    message = f"{account}: the broker asks for no requests for {wait_s:.0f} s; waiting. {error}"
    EventLog().event("broker_wait", message, severity="WARNING", account=account, wait_s=wait_s)


def read_setup(env: Mapping[str, str] | None = None) -> Setup:
    """Read all settings. Raises ``ConfigurationError``."""
    env = os.environ if env is None else env
    settings = RunSettings.from_env(env)
    if settings.data_dir.exists() and not settings.data_dir.is_dir():
        where = str(settings.data_dir)
        raise ConfigurationError(
            f"EXEC_DATA_DIR is {shown_text(where)}, which is not a folder. Name a folder."
        )
    stores = choose_stores(settings.stores)
    read_document = stores.documents.document if stores.documents else None
    switch = KillSwitch.from_env(env, read_document=read_document)
    RiskConfig.of_variables(env)  # no command works with a limit that can't be read
    return Setup(settings, switch, stores, env)


def termination_asked(*, also_ctrl_c: bool = False) -> Callable[[], bool]:
    """Return a function that returns whether the job was asked to end between two steps.

    By SIGTERM, or by SIGHUP where it isn't ignored. ``also_ctrl_c``: the first Ctrl-C as well; the second
    ends the job at once.
    """
    asked: list[int] = []
    for hint in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(hint) is not signal.SIG_IGN:  # as ``nohup`` wants it
            signal.signal(hint, lambda number, _: asked.append(number))
    if also_ctrl_c:

        def interrupted(number: int, _: object) -> None:
            asked.append(number)
            signal.signal(signal.SIGINT, signal.default_int_handler)

        signal.signal(signal.SIGINT, interrupted)
    return lambda: bool(asked)
