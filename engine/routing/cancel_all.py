"""Withdrawing whatever is open at the broker: no gate and no switch stands in its way.

Asking twice does no harm, so that it may be done beside a run, and again after anything. An order that was
just leaving is in no list yet: it is looked again until two looks running find nothing new.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from engine.accounts.connection import RetryPolicy
from engine.brokers.trading import TradingBroker
from engine.errors import BrokerError, RunStopped
from engine.model.breaks import units_of
from engine.model.orders import BrokerOrder
from engine.model.quantity import UNITS
from engine.routing.cancels import withdrawn
from engine.routing.order_lookup import known_order, pause
from engine.routing.symbol_queue import each

_AT_ONCE = 8
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.25, 2.0
_QUIET_LOOKS = 2
_AS_USUAL = RetryPolicy()

Choice = Callable[[Sequence[BrokerOrder]], Sequence[BrokerOrder]]
"""Says which of the open orders, groups under their head, are to be withdrawn; legs may be named as well."""


@dataclass(frozen=True)
class Withdrawal:
    """An order that was to be withdrawn: as it was and as it is now; ``why`` it could not be asked for."""

    before: BrokerOrder
    after: BrokerOrder
    why: str = ""

    @property
    def is_over(self) -> bool:
        """Tell whether nothing more comes of it."""
        return self.after.is_final

    @property
    def filled_meanwhile_qty(self) -> float:
        """Shares that filled on the way."""
        return (units_of(self.after.filled_qty) - units_of(self.before.filled_qty)) / UNITS


@dataclass(frozen=True)
class Withdrawals:
    """What became of all orders that were to be withdrawn.

    ``unsure``: why there may be more of them; "" where the last look found nothing new.
    """

    orders: tuple[Withdrawal, ...]
    unsure: str = ""


@dataclass(frozen=True, kw_only=True)
class Withdrawing:
    """What withdrawing takes: where, and which of the open orders.

    ``asking`` is told of each order before it is asked for. ``patience``: how long an order is sought that
    the broker has told of and doesn't know.
    """

    broker: TradingBroker
    choose: Choice
    stopping: Callable[[], bool]
    asking: Callable[[BrokerOrder], object] = lambda _: None
    patience: RetryPolicy = _AS_USUAL

    def withdraw(self, *, wait_s: float) -> Withdrawals:
        """Ask for the chosen orders to be cancelled, and wait until they are over, at most so many seconds.

        It is looked again meanwhile, until two looks running find nothing new. Where the job is to end, what
        is known by then is given. Raises ``BrokerError`` where the broker can't be asked what is open, and
        ``RunStopped`` where it never was.
        """
        work = _Work(self)
        until, pause_s = time.monotonic() + wait_s, _FIRST_WAIT_S
        work.look()
        try:
            while not work.is_done and (left_s := until - time.monotonic()) > 0:
                pause(min(pause_s, left_s), self.stopping, during="cancels were waited for")
                pause_s = min(pause_s * 2, _LONGEST_WAIT_S)
                work.look()
        except RunStopped:
            return Withdrawals(work.orders, "it was stopped before it had looked again")
        return Withdrawals(work.orders, "" if work.quiet_looks else "the last look found new orders")


class _Work:
    """The orders that were asked for so far, by the broker's id."""

    def __init__(self, how: Withdrawing) -> None:
        self._how = how
        self._known: dict[str, Withdrawal] = {}
        self.quiet_looks = 0

    @property
    def orders(self) -> tuple[Withdrawal, ...]:
        """What became of the orders so far, in the order in which they were found."""
        return tuple(self._known.values())

    @property
    def is_done(self) -> bool:
        """Tell whether there is nothing more to wait for."""
        return self.quiet_looks >= _QUIET_LOOKS and all(one.is_over or one.why for one in self.orders)

    def look(self) -> None:
        """List what is open: see how the known orders are, and ask for those that are new."""
        listed = self._how.broker.open_orders()
        still = {order.broker_order_id: order for entry in listed for order in (entry, *entry.legs)}
        for order_id, one in self._known.items():
            self._known[order_id] = self._seen(one, still)
        new = [order for order in self._how.choose(listed) if order.broker_order_id not in self._known]
        self.quiet_looks = 0 if new else self.quiet_looks + 1
        asked = each(new, self._asked, queue_of=id, at_once=_AT_ONCE)
        self._known |= {one.before.broker_order_id: one for one in asked}

    def _asked(self, order: BrokerOrder) -> Withdrawal:
        if self._how.stopping():
            return Withdrawal(order, order, "it was stopped before this one was asked for")
        self._how.asking(order)
        order_id = order.broker_order_id
        try:
            after = withdrawn(
                order_id, self._how.broker, patience=self._how.patience, stopping=self._how.stopping
            )
        except (BrokerError, RunStopped) as error:
            return Withdrawal(order, order, str(error))
        return Withdrawal(order, after)

    def _seen(self, one: Withdrawal, still: Mapping[str, BrokerOrder]) -> Withdrawal:
        if one.is_over or one.why:
            return one
        order_id = one.before.broker_order_id
        after = still.get(order_id) or known_order(
            order_id, self._how.broker, patience=self._how.patience, stopping=self._how.stopping
        )
        if after is None:
            return Withdrawal(one.before, one.after, "the broker doesn't know it any more")
        return Withdrawal(one.before, after)
