"""The connections of a live run: for each account a broker, a trading lease and a retry policy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

from engine.accounts.names import AccountKey, Names, account_key, check_one_name_each
from engine.brokers.access import Access
from engine.brokers.trading import SENDERS, Recorder, TradingBroker
from engine.errors import ConfigurationError, DataUnavailable, EngineError, RunStopped
from engine.safety.agent_state import Agent, State
from engine.safety.lease import Lease, Leasing
from engine.safety.lease_document import Holder
from engine.safety.lease_holding import hold_until_done
from engine.stores.protocols import AgentDocuments
from engine.waiting.retry_policy import DEFAULT_POLICY, RetryPolicy

__all__ = ["Connection", "Connections", "Names", "Opening", "account_key"]

SEND_S = 20.0
"""The longest time that a request to place an order may take, from connecting to the reply; seconds."""
_Done = TypeVar("_Done")


@dataclass(frozen=True, kw_only=True)
class Connection:
    """The connection to one account at its broker.

    ``account``: its ``broker_account_id``, "" until it has a name. ``key`` is unique across accounts and
    hosts. ``halted`` returns why an operator has halted the agent, "" where it is not halted; read before
    every order. ``notes``: documents in the store of the ledger. ``settle_s``: seconds to wait for
    fills after the last order was sent.
    """

    account: str
    key: str
    broker: TradingBroker
    lease: Lease
    halted: Callable[[], str]
    notes: AgentDocuments
    settle_s: float = 30.0
    retry_policy: RetryPolicy = DEFAULT_POLICY
    orders_at_once: int = SENDERS

    def recorded(self, recorder: Recorder) -> Connection:
        """Return the same connection, with the broker's traffic recorded."""
        return replace(self, broker=self.broker.recorded(recorder, self.account))

    @property
    def shown_as(self) -> str:
        """Return the account's name for messages."""
        return self.account or "the account"


@dataclass(frozen=True, kw_only=True)
class Connections:
    """The connections of a live run, one for each account that may trade.

    ``down``: why the other configured accounts can't be traded, by name. ``names``: the accounts' names.
    """

    at_work: tuple[Connection, ...]
    names: Names
    down: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def by_account(self) -> dict[str, Connection]:
        """Return the connections by account name."""
        return {connection.account: connection for connection in self.at_work}

    def recorded(self, recorder: Recorder) -> Connections:
        """Return the same connections, with their traffic recorded."""
        return replace(self, at_work=tuple(connection.recorded(recorder) for connection in self.at_work))

    def named_by(self, accounts: Sequence[str]) -> Connections:
        """Name the only connection, where it has no name yet, after the only account of a batch.

        Return the connections. If that is not possible, all accounts of the batch are ``down``.
        """
        nameless = self.by_account.get("")
        if nameless is None or not accounts:
            return self
        try:
            if len(accounts) > 1:
                raise DataUnavailable(
                    f"the keys belong to one account, and the batch names {len(accounts)}: "
                    f"{', '.join(accounts[:5])}. Set EXEC_BROKER_ACCOUNT_ID to the name that intents give "
                    f"this account, and drop the files again."
                )
            self.names.claim(accounts[0], nameless.key)
        except EngineError as error:
            return replace(self, down={**self.down, **dict.fromkeys(accounts, str(error))})
        return replace(self, at_work=(replace(nameless, account=accounts[0]),))

    def why_down(self, account: str) -> str:
        """Return why an account can't be traded, "" where it can."""
        if account in self.by_account:
            return ""
        return (
            self.down.get(account) or f"account {account} is not among the accounts whose keys are configured"
        )


@dataclass(frozen=True, kw_only=True)
class Opening:
    """How connections are opened.

    ``to_trade`` off: accounts that are blocked from trading are opened too, to read them.
    """

    agent: Agent
    holder: Holder
    settle_s: float
    stopping: Callable[[], bool]
    retry_policy: RetryPolicy = DEFAULT_POLICY
    to_trade: bool = True
    token: Callable[[], str] = Leasing.token

    @contextmanager
    def connections(
        self, accesses: Sequence[Access], *, left_out: Mapping[str, str] | None = None
    ) -> Iterator[Connections]:
        """Yield the connections of accounts while this job holds all their leases.

        Accounts are queried, and leases acquired, in parallel; leases that are held already are renewed
        meanwhile. Accounts that can't be reached or may not trade are ``down``. So are those of ``left_out``
        (reasons by name), which are not queried. Where all are down, raises the first account's error:
        ``BrokerError``, ``LeaseHeld`` where another job trades on it, ``DataUnavailable``. Always raises
        ``ConfigurationError`` and ``RunStopped``.
        """
        left_out = left_out or {}
        with ExitStack() as held:
            down: dict[str, EngineError] = {name: DataUnavailable(why) for name, why in left_out.items()}
            asked = [access for access in accesses if access.account not in left_out]
            keys = self._each(asked, self._key_of)
            known = {name: key for name, key in keys.items() if isinstance(key, AccountKey)}
            check_one_name_each(known)
            for name, key in known.items():
                self.names.check_identity(name, key)
            answered = [access for access in asked if access.account in known]
            leases = self._each(answered, lambda access: self._acquired(known[access.account].key))
            for lease in leases.values():
                if isinstance(lease, Lease):
                    held.enter_context(lease)
            at_work: list[Connection] = []
            for access in asked:
                try:
                    key = _or_raise(keys[access.account])
                    at_work.append(self._venue(access, key.key, _or_raise(leases[access.account])))
                except (ConfigurationError, RunStopped):
                    raise
                except EngineError as error:
                    down[access.account] = error
            if down and not at_work:
                raise next(iter(down.values()))
            for account, why in down.items():
                message = f"account {account} is left out: {why}"
                self.agent.log.event("account_down", message, severity="ERROR", account=account)
            yield Connections(
                at_work=tuple(at_work),
                names=self.names,
                down={account: str(why) for account, why in down.items()},
            )

    @property
    def names(self) -> Names:
        """Return the names of the accounts."""
        return Names(self.agent.store)

    def _each(
        self, accesses: Sequence[Access], work: Callable[[Access], _Done]
    ) -> dict[str, _Done | EngineError]:
        """Do the work for all accounts in parallel; return its result or its error, by account.

        Leases that it acquires are renewed until all of it is done. The work of a single account is done in
        this thread.
        """

        def one(access: Access) -> _Done | EngineError:
            try:
                return work(access)
            except EngineError as error:
                return error

        if len(accesses) < 2:
            return {access.account: one(access) for access in accesses}
        with ThreadPoolExecutor(max_workers=len(accesses), thread_name_prefix="account") as threads:
            working = {access.account: threads.submit(one, access) for access in accesses}
            hold_until_done(working.values(), lambda: _acquired_in(working.values()), seconds=SEND_S)
        return {account: done.result() for account, done in working.items()}

    def _key_of(self, access: Access) -> AccountKey:
        """Query an account at its broker and return its key."""
        broker = access.broker
        if broker.longest_request_s > SEND_S:
            raise ConfigurationError(
                f"A request to {broker.trading_host} may take {broker.longest_request_s:g} s, and the "
                f"trading lease covers requests of at most {SEND_S:g} s. Give the broker shorter timeouts."
            )
        return AccountKey.of(broker.trading_host, access.asked(to_trade=self.to_trade))

    def _acquired(self, key: str) -> Lease:
        leasing = Leasing(
            documents=self.agent.store,
            holder=self.holder,
            log=self.agent.log,
            stopping=self.stopping,
            clock=self.agent.clock,
            token=self.token,
        )
        return leasing.acquire(key)

    def _venue(self, access: Access, key: str, lease: Lease) -> Connection:
        if access.account:
            self.names.claim(access.account, key)
        return Connection(
            account=access.account or self.names.of(key),
            key=key,
            broker=access.broker,
            lease=lease,
            halted=lambda: _why_halted(self.agent),
            notes=self.agent.store,
            settle_s=self.settle_s,
            retry_policy=self.retry_policy,
        )


def _acquired_in(working: Iterable[Future[Any]]) -> list[Lease]:
    """Return the leases that have been acquired so far."""
    done = [one.result() for one in working if one.done() and one.exception() is None]
    return [lease for lease in done if isinstance(lease, Lease)]


def _or_raise(done: _Done | EngineError) -> _Done:
    if isinstance(done, EngineError):
        raise done
    return done


def _why_halted(agent: Agent) -> str:
    """Return why the agent is halted, "" where it isn't; a state that can't be read counts as halted."""
    try:
        kept = agent.state()
    except EngineError as error:
        return f"the agent's state can't be read: {error}"
    return f"the agent is HALTED: {kept.why}" if kept.state is State.HALTED else ""
