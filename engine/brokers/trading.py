"""The broker protocol of live runs: orders, lists, account, clock and recording."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from engine.brokers.account import BrokerAccount, BrokerClock
from engine.brokers.assets import Asset
from engine.brokers.interaction import Interaction
from engine.errors import BrokerRejected
from engine.model.breaks import CorporateAction
from engine.model.orders import BrokerFill, BrokerOrder, BrokerPosition, OrderIntent
from engine.waiting.deadline import Deadline

SENDERS = 32
"""How many orders of one account are sent at the same time; a broker keeps as many connections open."""


@dataclass(frozen=True)
class Activities:
    """What happened in an account after a timestamp, oldest first."""

    fills: list[BrokerFill]
    corporate_actions: list[CorporateAction]
    corrected: frozenset[str] = frozenset()
    """The broker's ids of orders with a busted or corrected execution."""


class Recorder(Protocol):
    """Records requests and replies, as ``engine.record.journal`` does."""

    def next_number(self) -> int:
        """Return the number of the next request, in the order in which requests begin."""
        ...

    def keep(self, interaction: Interaction) -> None:
        """Record a request and its reply; returns once that is done."""
        ...


class TradingBroker(Protocol):
    """A venue that orders are routed to; safe to use from many threads.

    The broker retries read requests itself, and raises ``BrokerError`` where the retries are used up.
    Requests that change something are sent once, and raise ``BrokerRejected``, ``NotSent`` or
    ``OutcomeUnknown``. Every request waits for its turn under the venue's rate limit.
    """

    @property
    def trading_host(self) -> str:
        """Where orders are sent: scheme, name and port."""
        ...

    @property
    def longest_request_s(self) -> float:
        """The seconds after which a request has ended, answered or not."""
        ...

    def waiting_together(self) -> TradingBroker:
        """Return the same broker; all its read requests share the bound on waits that the venue asks for."""
        ...

    def why_refused(self, intent: OrderIntent) -> str:
        """Return why the venue can't take an order, "" where it can; sends no request."""
        ...

    def order_payload(self, intent: OrderIntent) -> dict[str, Any]:
        """Return the body of the request that places an order, as the journal records it.

        Raises ``UsageError`` where the intent can't become an order.
        """
        ...

    def is_duplicate_id(self, error: BrokerRejected) -> bool:
        """Return whether an order was refused because another order has its client id."""
        ...

    def place_order(
        self, *, intent: OrderIntent, at_its_turn: Callable[[], None] | None = None
    ) -> BrokerOrder:
        """Place an order and return it.

        ``at_its_turn`` is called before the order is sent, and again where that is too long ago when its
        bytes are written; where it raises, the order is not sent.
        """
        ...

    def cancel_order(self, *, broker_order_id: str) -> BrokerOrder:
        """Request the cancellation of an order and return its state afterwards."""
        ...

    def get_order_status(self, *, broker_order_id: str) -> BrokerOrder:
        """Return an order's current state."""
        ...

    def find_order(self, *, client_order_id: str) -> BrokerOrder | None:
        """Return the order with this client id, None where the broker has none."""
        ...

    def open_orders(self) -> list[BrokerOrder]:
        """Return the open orders, groups with their legs."""
        ...

    def orders_since(self, timestamp: datetime, *, sought: Collection[str] = ()) -> list[BrokerOrder]:
        """Return the orders submitted at or after a time, groups with their legs, oldest first.

        ``sought``: the broker's ids of some orders. The list may end once it has these, or once looking up
        the missing ones by id takes no more requests than the list has taken.
        """
        ...

    def positions(self) -> list[BrokerPosition]:
        """Return the account's positions."""
        ...

    def fills(self, *, after: datetime | None) -> list[BrokerFill]:
        """Return the executions after a timestamp, oldest first."""
        ...

    def activities(self, *, after: datetime | None) -> Activities:
        """Return what changed positions after a timestamp: executions and corporate actions, oldest first."""
        ...

    def get_account(self) -> BrokerAccount:
        """Return the account."""
        ...

    def get_clock(self) -> BrokerClock:
        """Return the broker's clock."""
        ...

    def asset(self, symbol: str) -> Asset | None:
        """Return an asset's record, None where the broker itself reports that there is none."""
        ...

    def active_assets(self, *, asked_for: Collection[str]) -> list[Asset]:
        """Return the records of all assets that may be traded, in one long reply.

        Where it is recorded, it is with the records of ``asked_for`` (canonical symbols) alone.
        """
        ...

    def reading_until(self, deadline: Deadline) -> TradingBroker:
        """Return the same broker, whose reads begin no try after a deadline.

        A read that would have to wait until then raises ``RunStopped``.
        """
        ...

    def recorded(self, recorder: Recorder, account: str = "") -> TradingBroker:
        """Return the same broker; ``recorder`` records every request under the account's name."""
        ...

    def answer_of(self, interaction: Interaction) -> tuple[str, BrokerOrder | BrokerRejected | None] | None:
        """Return client id and decisive reply of a recorded request to place an order.

        The reply is None where it left the outcome unknown; the result is None for any other request.
        """
        ...
