"""Order lookups, retried because a broker's lookups lag behind its orders."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus

from engine.brokers.trading import TradingBroker
from engine.errors import BrokerRejected
from engine.model.orders import BrokerOrder
from engine.waiting.pause import pause
from engine.waiting.retry_policy import RetryPolicy


def known_order(
    broker_order_id: str, broker: TradingBroker, *, retry_policy: RetryPolicy, stopping: Callable[[], bool]
) -> BrokerOrder | None:
    """Return one order as ``known_orders`` does; None where the broker doesn't find it after all retries."""
    return known_orders([broker_order_id], broker, retry_policy=retry_policy, stopping=stopping).get(
        broker_order_id
    )


def known_orders(
    broker_order_ids: Iterable[str],
    broker: TradingBroker,
    *,
    retry_policy: RetryPolicy,
    stopping: Callable[[], bool],
) -> dict[str, BrokerOrder]:
    """Return orders by the broker's own ids; without those that it doesn't find after all retries.

    A single lookup that finds nothing proves nothing: it is retried after each of ``retry_policy.lookups_s``.
    Raises ``BrokerError`` where the broker can't be reached, ``RunStopped`` where the job is to end.
    """
    left = list(broker_order_ids)
    found: dict[str, BrokerOrder] = {}
    for wait_s in (0.0, *retry_policy.lookups_s):
        if not left:
            break
        pause(wait_s, stopping, during="orders were looked up")
        found |= {order_id: order for order_id in left if (order := _asked(order_id, broker)) is not None}
        left = [order_id for order_id in left if order_id not in found]
    return found


def _asked(broker_order_id: str, broker: TradingBroker) -> BrokerOrder | None:
    try:
        return broker.get_order_status(broker_order_id=broker_order_id)
    except BrokerRejected as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        return None
