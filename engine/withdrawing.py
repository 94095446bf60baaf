"""Withdrawing whatever is open at the broker: no gate and no switch stands in its way.

Asking twice does no harm, so that it may be done beside a run, and again after anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.brokers.trading import TradingBroker
from engine.errors import BrokerError, RunStopped
from engine.orders import BrokerOrder
from engine.routing.cancels import withdrawn
from engine.routing.many_orders import each

_AT_ONCE = 8
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.25, 2.0


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
        return self.after.filled_qty - self.before.filled_qty


def withdraw(
    orders: Sequence[BrokerOrder], broker: TradingBroker, *, wait_s: float, stopping: Callable[[], bool]
) -> list[Withdrawal]:
    """Ask for all these orders to be cancelled, then wait until they are over, at most ``wait_s`` seconds.

    Raises ``BrokerError`` where the broker can't be asked how they are, and ``RunStopped``.
    """
    asked = each(orders, lambda order: _asked(order, broker), lane_of=id, at_once=_AT_ONCE)
    until, pause_s = time.monotonic() + wait_s, _FIRST_WAIT_S
    while any(not one.is_over and not one.why for one in asked) and time.monotonic() < until:
        if stopping():
            raise RunStopped("Stopped while cancels were waited for; they were asked for, all of them.")
        time.sleep(min(pause_s, max(0.0, until - time.monotonic())))
        pause_s = min(pause_s * 2, _LONGEST_WAIT_S)
        still = {order.broker_order_id: order for order in broker.open_orders()}
        asked = [_looked_at(one, still, broker) for one in asked]
    return asked


def _asked(order: BrokerOrder, broker: TradingBroker) -> Withdrawal:
    try:
        return Withdrawal(order, withdrawn(order.broker_order_id, broker))
    except BrokerError as error:
        return Withdrawal(order, order, str(error))


def _looked_at(one: Withdrawal, still: dict[str, BrokerOrder], broker: TradingBroker) -> Withdrawal:
    if one.is_over or one.why:
        return one
    order_id = one.before.broker_order_id
    return Withdrawal(one.before, still.get(order_id) or broker.get_order_status(broker_order_id=order_id))
