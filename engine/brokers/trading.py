"""What a live run asks of its broker, beyond a single order."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from engine.brokers.account import BrokerAccount, BrokerClock
from engine.brokers.interaction import Interaction
from engine.errors import BrokerRejected
from engine.model.breaks import CorporateAction
from engine.model.orders import BrokerFill, BrokerOrder, BrokerPosition, OrderIntent

SENDERS = 32
"""How many orders of one account are sent at the same time; a broker keeps as many connections open."""


AFTER_RESET_S = 1.0
"""Waited beyond the reset of a rate limit, in seconds, since clocks differ; no bound of waiting counts it."""


@dataclass(frozen=True)
class Activities:
    """What happened in an account after a moment, oldest first."""

    fills: list[BrokerFill]
    corporate_actions: list[CorporateAction]
    corrected: frozenset[str] = frozenset()
    """The broker's ids of orders of which an execution was taken back or corrected."""


class Recorder(Protocol):
    """Keeps what is asked and answered; ``engine.record.journal`` is one."""

    def next_number(self) -> int:
        """Give a request its number, in the order in which requests begin."""
        ...

    def keep(self, interaction: Interaction) -> None:
        """Keep a request and its reply; returns once that is done."""
        ...


class TradingBroker(Protocol):
    """A venue that orders are routed to; safe to use from many threads.

    What only asks is repeated by the broker itself, with patience, and raises ``BrokerError`` where there is
    no answer in the end. What changes something is sent once, and raises ``BrokerRejected``, ``NotSent`` or
    ``OutcomeUnknown``. Every request waits for its turn under the venue's rate limit.
    """

    @property
    def trading_host(self) -> str:
        """Where orders go: scheme, name and port."""
        ...

    @property
    def longest_request_s(self) -> float:
        """The seconds after which a request is over, answered or not."""
        ...

    def waiting_together(self) -> TradingBroker:
        """Return the same broker, whose questions together wait no longer for the venue than one does."""
        ...

    def why_refused(self, intent: OrderIntent) -> str:
        """Say why the venue can't take an order ("" where it can), without asking it."""
        ...

    def order_payload(self, intent: OrderIntent) -> dict[str, Any]:
        """Return the request that places an order, in the venue's words, as a journal keeps it.

        Raises ``UsageError`` where no order comes of the intent.
        """
        ...

    def is_duplicate_id(self, error: BrokerRejected) -> bool:
        """Return whether an order was refused because another one has its client id."""
        ...

    def place_order(
        self, *, intent: OrderIntent, at_its_turn: Callable[[], None] | None = None
    ) -> BrokerOrder:
        """Place an order.

        ``at_its_turn`` is called before it leaves, and again where that is long ago by the time its bytes
        do; what it raises stops it.
        """
        ...

    def cancel_order(self, *, broker_order_id: str) -> BrokerOrder:
        """Ask for an order to be cancelled, and give it as it is then."""
        ...

    def get_order_status(self, *, broker_order_id: str) -> BrokerOrder:
        """Give an order as it is now."""
        ...

    def find_order(self, *, client_order_id: str) -> BrokerOrder | None:
        """Give the order with this client id, None where the broker knows none."""
        ...

    def open_orders(self) -> list[BrokerOrder]:
        """Give the open orders, groups with their legs."""
        ...

    def orders_since(self, timestamp: datetime, *, sought: Collection[str] = ()) -> list[BrokerOrder]:
        """Return the orders submitted at or after a time, groups with their legs, oldest first.

        With ``sought``, the broker's ids of some orders, the list may end once it has these, or once asking
        for those that it lacks one by one takes no more requests than it took.
        """
        ...

    def positions(self) -> list[BrokerPosition]:
        """Give the account's positions."""
        ...

    def fills(self, *, after: datetime | None) -> list[BrokerFill]:
        """Give the executions after a moment, in their order."""
        ...

    def activities(self, *, after: datetime | None) -> Activities:
        """Give what changed positions after a moment: executions in their order, and corporate actions."""
        ...

    def get_account(self) -> BrokerAccount:
        """Give the account."""
        ...

    def get_clock(self) -> BrokerClock:
        """Give the broker's time."""
        ...

    def recorded(self, recorder: Recorder, account: str = "") -> TradingBroker:
        """Give the same broker, with every request kept by ``recorder`` under the account's name."""
        ...

    def answer_of(self, interaction: Interaction) -> tuple[str, BrokerOrder | BrokerRejected | None] | None:
        """Read a recorded request to place an order: its client id, and what settled it, if anything did.

        None where it was another request.
        """
        ...
