"""What a live run has beyond a dry one: a broker, the right to send to it, and how long it is waited for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from engine.agent import Agent, State
from engine.brokers.account import BrokerAccount
from engine.brokers.trading import Recorder, TradingBroker
from engine.config import RunSettings
from engine.errors import BrokerError, EngineError
from engine.lease import Holder, Lease, Leasing

SEND_S = 20.0
"""A request to place an order is over after this time: connecting and waiting for the reply."""


@dataclass(frozen=True)
class Patience:
    """How long the outcome of a request is sought; seconds.

    ``lookups_s``: the waits between lookups of an order that isn't found. ``posts``: how often an order is
    sent at most. ``down_after_s``: without a connection for so long, the broker counts as down.
    """

    lookups_s: tuple[float, ...] = (0.2, 0.5, 1.0, 2.0, 4.0)
    posts: int = 3
    down_after_s: float = 30.0


@dataclass(frozen=True, kw_only=True)
class Venue:
    """Where a live run sends its orders.

    ``account``: the one account that may trade, as intents name it; None where none is configured.
    ``halted``: why a person has halted the agent, "" where nobody has; read before every order.
    ``settle_s``: seconds for which fills are waited for after the last order has left.
    """

    broker: TradingBroker
    lease: Lease
    account: str | None
    halted: Callable[[], str]
    settle_s: float = 30.0
    patience: Patience = Patience()
    orders_at_once: int = 16

    def recorded(self, recorder: Recorder) -> Venue:
        """Give the same venue, with the broker's traffic recorded."""
        return replace(self, broker=self.broker.recorded(recorder))


@contextmanager
def venue_of(
    broker: TradingBroker, agent: Agent, settings: RunSettings, *, stopping: Callable[[], bool]
) -> Iterator[Venue]:
    """Give a venue for as long as this job holds the lease of the broker's account.

    Raises ``BrokerError`` where the account can't be asked, ``LeaseHeld`` where another job trades on it.
    """
    key = account_key(broker.trading_host, broker.get_account())
    leasing = Leasing(
        documents=agent.store,
        holder=Holder.of(settings.data_dir),
        log=agent.log,
        stopping=stopping,
        clock=agent.clock,
    )
    with leasing.acquire(key) as lease:
        yield Venue(
            broker=broker,
            lease=lease,
            account=settings.account,
            halted=lambda: _why_halted(agent),
            settle_s=settings.settle_s,
        )


def account_key(host: str, account: BrokerAccount) -> str:
    """Name an account for its lease, without telling its number. Raises ``BrokerError`` where it has none."""
    if not account.account_number:
        raise BrokerError(
            f"{host} gave an account without a number, so that nobody else could be kept from trading on it. "
            f"See that ALPACA_TRADING_HOST is a trading host."
        )
    return hashlib.sha256(f"{host} {account.account_number}".encode()).hexdigest()[:32]


def _why_halted(agent: Agent) -> str:
    """Say why a person has halted the agent; a state that can't be read counts as halted."""
    try:
        kept = agent.state()
    except EngineError as error:
        return f"the agent's state can't be read: {error}"
    return f"the agent is HALTED: {kept.why}" if kept.state is State.HALTED else ""
