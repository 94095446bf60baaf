"""Intents that cancel the order of an earlier intent of the same strategy and account.

They pass the kill switch. Cancelling is idempotent, so nothing is recorded beforehand::

    canceled            the broker reports it as canceled
    cancel_requested    the cancel was requested, and the order is still open
    too_late            the order was terminal before: filled, expired, replaced
    broker_rejected     there is no such order, or it isn't this strategy's
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from engine.brokers.trading import TradingBroker
from engine.errors import BrokerError, BrokerRejected, RateLimited
from engine.log import EventLog
from engine.model.orders import BrokerOrder
from engine.routing.order_lookup import known_order
from engine.routing.outcomes import TARGET_OF_ANOTHER, TARGET_UNKNOWN, OrderOutcome
from engine.routing.rate_limits import TurnedAway
from engine.routing.release_check import ApprovedOrder, Key
from engine.waiting.pause import never, pause
from engine.waiting.retry_policy import DEFAULT_POLICY, RetryPolicy

_GONE = {HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY}
_ASKED_AT_MOST = 3


@dataclass(frozen=True)
class Target:
    """An order that may be cancelled: its strategy, and the broker's id where that is known."""

    strategy_id: str
    broker_order_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Cancelling:
    """How to cancel; ``targets`` are the orders of this data folder, by account and intent id.

    ``retry_policy``: for orders that the broker placed but can't find yet: its lookups lag.
    """

    broker: TradingBroker
    targets: Mapping[Key, Target]
    log: EventLog
    retry_policy: RetryPolicy = DEFAULT_POLICY
    stopping: Callable[[], bool] = never

    def cancel(self, order: ApprovedOrder) -> OrderOutcome:
        """Cancel the order that an intent names, and return the outcome.

        Raises ``BrokerError`` where the broker is down, ``RunStopped`` where the job is to end.
        """
        intent = order.intent
        target = str(intent.target_intent_id)
        known = self.targets.get((intent.broker_account_id, target))
        if known is not None and known.strategy_id != intent.strategy_id:
            return _refused(
                TARGET_OF_ANOTHER,
                f"{target} is an order of {known.strategy_id}, not of {intent.strategy_id}",
            )
        if known is not None and known.broker_order_id is not None:
            found = known_order(
                known.broker_order_id, self.broker, retry_policy=self.retry_policy, stopping=self.stopping
            )
        else:
            found = self.broker.find_order(client_order_id=target)
        if found is None:
            return _refused(TARGET_UNKNOWN, f"the broker knows no order {target}")
        if found.is_final:
            return outcome_of(found)
        if known is None:
            return _refused(
                TARGET_UNKNOWN, f"{target} is at the broker, but no run of this data folder has sent it"
            )
        self.log.event("cancel_requested", f"{order.key[1]} cancels {target}", intent_id=order.key[1])
        try:
            after = withdrawn(
                found.broker_order_id, self.broker, retry_policy=self.retry_policy, stopping=self.stopping
            )
        except RateLimited:
            raise  # it is not about this order: the broker counts as down
        except BrokerRejected as error:
            return _refused("refused_by_broker", str(error))
        self.log.event("cancel_response", f"{target}: {after.order_status}", intent_id=order.key[1])
        return outcome_of(after)


def withdrawn(
    broker_order_id: str,
    broker: TradingBroker,
    *,
    retry_policy: RetryPolicy = DEFAULT_POLICY,
    stopping: Callable[[], bool] = never,
) -> BrokerOrder:
    """Request a cancel until the broker has answered; return the order's state afterwards.

    The broker has reported this order before: where it can't find it, the request is retried.
    Raises ``BrokerRejected`` where the broker refuses although the order is not terminal, or does not find it
    after all retries, ``BrokerError`` where it can't be reached, and ``RunStopped``.
    """
    left, waits_s = _ASKED_AT_MOST, [*retry_policy.lookups_s]
    turned_away = TurnedAway(retry_policy.longest_hold_s)
    while True:
        try:
            return broker.cancel_order(broker_order_id=broker_order_id)
        except RateLimited as error:
            turned_away.again(error)
        except BrokerRejected as error:
            if error.status not in _GONE:
                raise
            after = known_order(broker_order_id, broker, retry_policy=retry_policy, stopping=stopping)
            if after is None:
                raise
            if after.is_final or error.status != HTTPStatus.NOT_FOUND or not waits_s:
                return after
            pause(waits_s.pop(0), stopping, during="an order was cancelled")
        except BrokerError:
            after = known_order(broker_order_id, broker, retry_policy=retry_policy, stopping=stopping)
            if after is not None and after.is_final:
                return after
            left -= 1
            if not left:
                raise


def outcome_of(order: BrokerOrder) -> OrderOutcome:
    """Return the outcome of a cancel by the current state of its target."""
    if order.order_status == "canceled":
        return OrderOutcome(
            status="canceled", order=order, attempted=True, message="cancelled" + _filled(order)
        )
    if order.is_final:
        message = f"too late: the order is {order.order_status}{_filled(order)}"
        return OrderOutcome(status="too_late", order=order, attempted=True, message=message)
    message = f"the cancel was requested; the order is still {order.order_status}{_filled(order)}"
    return OrderOutcome(status="cancel_requested", order=order, attempted=True, message=message)


def _filled(order: BrokerOrder) -> str:
    return f", {order.filled_qty:g} filled" if order.filled_qty else ""


def _refused(reason: str, message: str) -> OrderOutcome:
    return OrderOutcome(status="broker_rejected", reason=reason, message=f"{message}. Nothing was cancelled.")
