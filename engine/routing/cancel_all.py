"""Cancels all open orders at the broker, whatever gate and kill switch are.

Cancelling is idempotent, so it may run beside a live run, and be repeated at any time. An order that is just
being sent is not listed yet: the list is polled until two consecutive polls find nothing new.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from engine.brokers.trading import TradingBroker
from engine.errors import BrokerError, RunStopped
from engine.model.breaks import units_of
from engine.model.orders import BrokerOrder
from engine.model.quantity import UNITS
from engine.routing.cancels import withdrawn
from engine.routing.order_lookup import known_order
from engine.routing.symbol_queue import each
from engine.waiting.backoff import backoff
from engine.waiting.deadline import Deadline
from engine.waiting.pause import pause
from engine.waiting.retry_policy import DEFAULT_POLICY, RetryPolicy

_AT_ONCE = 8
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.25, 2.0
_QUIET_POLLS = 2

Choice = Callable[[Sequence[BrokerOrder]], Sequence[BrokerOrder]]
"""Returns the orders to cancel among the open ones, groups under their first order; may return legs too."""


@dataclass(frozen=True)
class Withdrawal:
    """An order to cancel: as it was and as it is now; ``why``: the reason where no cancel was requested."""

    before: BrokerOrder
    after: BrokerOrder
    why: str = ""

    @property
    def is_over(self) -> bool:
        """Whether the order is terminal."""
        return self.after.is_final

    @property
    def filled_meanwhile_qty(self) -> float:
        """Shares that filled while it was being cancelled."""
        return (units_of(self.after.filled_qty) - units_of(self.before.filled_qty)) / UNITS


@dataclass(frozen=True)
class Withdrawals:
    """The outcomes of all orders to cancel.

    ``unsure``: why there may be more of them; "" where the last poll found nothing new.
    """

    orders: tuple[Withdrawal, ...]
    unsure: str = ""


@dataclass(frozen=True, kw_only=True)
class Withdrawing:
    """How to cancel open orders: at which broker, and which ones.

    ``asking`` is called with each order before its cancel is requested. ``retry_policy``: for an order
    that the broker listed but can't find by id.
    """

    broker: TradingBroker
    choose: Choice
    stopping: Callable[[], bool]
    asking: Callable[[BrokerOrder], object] = lambda _: None
    retry_policy: RetryPolicy = DEFAULT_POLICY

    def withdraw(self, *, wait_s: float) -> Withdrawals:
        """Request the cancellation of the chosen orders and wait up to ``wait_s`` until they are terminal.

        Open orders are polled meanwhile, until two consecutive polls find nothing new. Where the job is to
        end, returns what is known by then. Raises ``BrokerError`` where the open orders can't be listed, and
        ``RunStopped`` where they never were.
        """
        work = _Work(self)
        deadline, waits_s = Deadline.after(wait_s), backoff(_FIRST_WAIT_S, _LONGEST_WAIT_S)
        work.poll()
        try:
            while not (work.is_done or deadline.is_over()):
                pause(min(next(waits_s), deadline.left_s()), self.stopping, during="cancels were waited for")
                work.poll()
        except RunStopped:
            return Withdrawals(work.orders, "it was stopped before open orders were listed again")
        return Withdrawals(work.orders, "" if work.quiet_polls else "the last poll found new orders")


class _Work:
    """The orders whose cancel was requested so far, by the broker's id."""

    def __init__(self, how: Withdrawing) -> None:
        self._how = how
        self._known: dict[str, Withdrawal] = {}
        self.quiet_polls = 0

    @property
    def orders(self) -> tuple[Withdrawal, ...]:
        """The outcomes of the orders so far, in the order in which they were found."""
        return tuple(self._known.values())

    @property
    def is_done(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self.quiet_polls >= _QUIET_POLLS and all(one.is_over or one.why for one in self.orders)

    def poll(self) -> None:
        """List open orders, update the known ones and request the cancellation of new ones."""
        listed = self._how.broker.open_orders()
        still = {order.broker_order_id: order for entry in listed for order in (entry, *entry.legs)}
        for order_id, one in self._known.items():
            self._known[order_id] = self._seen(one, still)
        new = [order for order in self._how.choose(listed) if order.broker_order_id not in self._known]
        self.quiet_polls = 0 if new else self.quiet_polls + 1
        asked = each(new, self._asked, queue_of=id, at_once=_AT_ONCE)
        self._known |= {one.before.broker_order_id: one for one in asked}

    def _asked(self, order: BrokerOrder) -> Withdrawal:
        if self._how.stopping():
            return Withdrawal(order, order, "it was stopped before this cancel was requested")
        self._how.asking(order)
        order_id = order.broker_order_id
        try:
            after = withdrawn(
                order_id, self._how.broker, retry_policy=self._how.retry_policy, stopping=self._how.stopping
            )
        except (BrokerError, RunStopped) as error:
            return Withdrawal(order, order, str(error))
        return Withdrawal(order, after)

    def _seen(self, one: Withdrawal, still: Mapping[str, BrokerOrder]) -> Withdrawal:
        if one.is_over or one.why:
            return one
        order_id = one.before.broker_order_id
        after = still.get(order_id) or known_order(
            order_id, self._how.broker, retry_policy=self._how.retry_policy, stopping=self._how.stopping
        )
        if after is None:
            return Withdrawal(one.before, one.after, "the broker no longer knows it")
        return Withdrawal(one.before, after)
