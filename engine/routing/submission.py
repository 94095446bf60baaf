"""Submission of one order, exactly once.

The outcome by reply::

    200, the order as it was sent      placed
    429                                not processed: retried for ``broker_wait_s``; then the broker counts as
                                       down
    not sent (no connection)           retried until the broker counts as down
    422 "must be unique"               an order has this id. Where an earlier request of this run may have
                                       placed it, it is looked up and adopted; else the id was used before
    3xx, any other 4xx of Alpaca's     broker_rejected; where an earlier request may have placed the order, it
                                       is looked up first
    a page, 408, 409, 425, 499, 5xx,   unknown: looked up by its id, with retries since lookups lag; where it
    a partial reply, none              is found, it is adopted; where not, it is sent again with the same id

An order is adopted only where it matches the intent in symbol, side, quantity and type, and is not older than
this run. A request is never repeated before a lookup has answered.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime

from engine.brokers.order_differences import differences
from engine.brokers.trading import TradingBroker
from engine.errors import (
    BrokerError,
    BrokerRejected,
    EngineError,
    NotSent,
    OutcomeUnknown,
    RateLimited,
)
from engine.log import EventLog
from engine.model.orders import BrokerOrder
from engine.routing.outcomes import OrderOutcome
from engine.routing.rate_limits import TurnedAway
from engine.routing.release_check import ApprovedOrder
from engine.waiting.pause import pause
from engine.waiting.retry_policy import RetryPolicy
from engine.waiting.timer import SYSTEM, Timer

ID_USED_BEFORE = "id_used_before"


class Withheld(EngineError):
    """An order must not be sent at its turn; ``outcome`` is its outcome instead."""

    def __init__(self, outcome: OrderOutcome) -> None:
        super().__init__(outcome.message)
        self.outcome = outcome


@dataclass(frozen=True, kw_only=True)
class Placing:
    """How to place orders.

    ``check`` is called with the order right before it is sent; it raises ``Withheld`` where it must not be.
    ``not_before``: an order that the broker accepted earlier, by its own clock, is not this run's.
    """

    broker: TradingBroker
    check: Callable[[ApprovedOrder], None]
    not_before: datetime
    stopping: Callable[[], bool]
    log: EventLog
    retry_policy: RetryPolicy
    timer: Timer = SYSTEM

    def seek(self, ids: Collection[str]) -> dict[str, BrokerOrder]:
        """Return the orders that an earlier job may have sent and that are found, by client id.

        All are looked up at once, with the waits of ``retry_policy``. Raises ``RunStopped`` and
        ``BrokerError``.
        """
        found: dict[str, BrokerOrder] = {}
        for wait_s in (0.0, *self.retry_policy.lookups_s):
            if found.keys() >= set(ids):
                break
            self._pause(wait_s)
            found |= self.listed(ids)
        return found

    def listed(self, ids: Collection[str]) -> dict[str, BrokerOrder]:
        """Return the orders that are found by one lookup of all, by client id. Raises ``BrokerError``."""
        if not ids:
            return {}
        listed = {order.client_order_id: order for order in self.broker.orders_since(self.not_before)}
        return {id_: listed[id_] for id_ in ids if id_ in listed}

    def place(self, order: ApprovedOrder, *, sought: bool, found: BrokerOrder | None = None) -> OrderOutcome:
        """Place one order and return its outcome.

        ``sought``: an earlier job may have placed it; ``found``: the order where it did. Raises
        ``RunStopped`` where the job is to end, ``BrokerError`` where the broker is down, and what ``check``
        raises: the outcome is unknown then, and the run is resumed later.
        """
        if sought and found is None:
            found = self.broker.find_order(client_order_id=order.key[1])
        tries = _Tries(TurnedAway(self.retry_policy.longest_hold_s, self.timer), sought=sought)
        while found is None:
            outcome = self._sent(order, tries)
            if outcome is not None:
                return outcome
            self.log.event("order_unknown", tries.why, severity="WARNING", intent_id=order.key[1])
            try:
                found = self._looked_up(order)
            except BrokerError as error:
                self.broker.get_clock()  # raises where the broker as a whole can't be reached
                return _unresolved(f"{tries.why} Looking it up failed: {error}")
            if found is None and (outcome := self._not_found(tries)) is not None:
                return outcome
        return self._adopted(order, found)

    def _sent(self, order: ApprovedOrder, tries: _Tries) -> OrderOutcome | None:
        """Send an order until there is a reply; None where it may exist and has to be looked up."""
        while True:
            try:
                reply = self.broker.place_order(intent=order.intent, at_its_turn=_Turn(self, order).check)
            except Withheld as withheld:
                return tries.withheld(withheld)
            except RateLimited as error:
                tries.turned_away_again(error)
                self.log.event(
                    "order_turned_away",
                    f"{order.key[1]}: {tries.turned_away}. {error}",
                    severity="WARNING",
                    intent_id=order.key[1],
                )
            except NotSent:
                if tries.without_connection_s(self.timer.monotonic()) > self.retry_policy.down_after_s:
                    raise
                self._pause(min(1.0, self.retry_policy.down_after_s / 30))
            except BrokerRejected as error:
                if tries.may_exist:
                    tries.refused_with(error)
                    return None
                if self.broker.is_duplicate_id(error):
                    return _used_before(order, str(error))
                return _refused(error)
            except OutcomeUnknown as error:
                tries.unknown(error)
                return None
            else:
                return self._placed(order, reply)

    def _not_found(self, tries: _Tries) -> OrderOutcome | None:
        """Return the outcome of an order that may exist but isn't found; None where it is sent again."""
        refusal = tries.refusal
        if refusal is not None and not tries.posts and not self.broker.is_duplicate_id(refusal):
            return replace(_refused(refusal), in_doubt=True)
        if refusal is not None or tries.posts >= self.retry_policy.posts:
            return _unresolved(f"{tries.why} No order with this id is found.")
        return None

    def _placed(self, order: ApprovedOrder, reply: BrokerOrder) -> OrderOutcome:
        self.log.event(
            "order_placed",
            f"{order.key[1]} placed as {reply.broker_order_id}: {reply.order_status}",
            intent_id=order.key[1],
            broker_order_id=reply.broker_order_id,
        )
        return OrderOutcome(status="placed", order=reply, attempted=True)

    def _looked_up(self, order: ApprovedOrder) -> BrokerOrder | None:
        """Return an order by its id, with retries; None where the broker doesn't find it."""
        for wait_s in (0.0, *self.retry_policy.lookups_s):
            self._pause(wait_s)
            found = self.broker.find_order(client_order_id=order.key[1])
            if found is not None:
                return found
        return None

    def _adopted(self, order: ApprovedOrder, found: BrokerOrder) -> OrderOutcome:
        """Return the outcome of an order that was found: adopted where it matches the intent and this run."""
        created_at = found.created_at or found.submitted_at
        if created_at is not None and created_at < self.not_before:
            return _used_before(
                order, f"order {found.broker_order_id} of {created_at:%Y-%m-%d %H:%M:%S} UTC has it"
            )
        wrong = differences(order.intent, found)
        if created_at is None:
            wrong = "; ".join(filter(None, [wrong, "it has no time of creation"]))
        if wrong:
            message = f"order {found.broker_order_id} has the id of this intent but differs: {wrong}"
            self.log.event("order_mismatch", message, severity="CRITICAL", intent_id=order.key[1])
            return _unresolved(f"{message}. Look at it on the broker's dashboard.")
        self.log.event(
            "order_adopted",
            f"{order.key[1]} is at the broker as {found.broker_order_id}: {found.order_status}",
            intent_id=order.key[1],
            broker_order_id=found.broker_order_id,
        )
        message = "its reply was lost; found at the broker by its id"
        return OrderOutcome(status="placed", order=found, attempted=True, adopted=True, message=message)

    def _pause(self, seconds: float) -> None:
        pause(seconds, self.stopping, during="the outcome of an order was sought")


@dataclass
class _Turn:
    """An order's turn to be sent, and how often it was checked whether it may be."""

    placing: Placing
    order: ApprovedOrder
    checks: int = 0

    def check(self) -> None:
        """Check that the order may be sent, and log it. Raises what ``Placing.check`` raises."""
        self.placing.check(self.order)
        self.checks += 1
        client_id = self.order.key[1]
        if self.checks == 1:
            self.placing.log.event("order_attempted", f"{client_id} is sent", intent_id=client_id)
            return
        self.placing.log.event(
            "order_looked_at_again",
            f"{client_id}: connecting took long; kill switch, agent state and lease were checked again",
            severity="WARNING",
            intent_id=client_id,
        )


@dataclass
class _Tries:
    """The outcomes of the requests to place one order so far.

    ``sought``: an earlier job may have sent one. ``posts``: how many of ours have an unknown outcome.
    ``refusal``: the reply to the latest one, where an earlier one may have placed the order.
    """

    turned_away: TurnedAway
    sought: bool
    posts: int = 0
    why: str = ""
    refusal: BrokerRejected | None = None
    down_since: float | None = None

    @property
    def may_exist(self) -> bool:
        """Whether one of them may have placed the order."""
        return self.sought or self.posts > 0

    def unknown(self, error: OutcomeUnknown) -> None:
        """Record an unknown outcome."""
        self.posts += 1
        self.why = str(error)
        self.down_since = None

    def refused_with(self, error: BrokerRejected) -> None:
        """Record a refusal; an earlier request may have placed the order all the same."""
        self.refusal = error
        self.why = str(error)

    def turned_away_again(self, error: RateLimited) -> None:
        """Record that the rate limit turned a request away. Raises as ``TurnedAway.again``."""
        self.turned_away.again(error)
        self.down_since = None

    def without_connection_s(self, now: float) -> float:
        """Record that there was no connection; return the seconds since when there is none."""
        self.down_since = now if self.down_since is None else self.down_since
        return now - self.down_since

    def withheld(self, withheld: Withheld) -> OrderOutcome:
        """Return the outcome of an order that is withheld from now on."""
        if self.posts:  # it was sent, and may be at the broker
            return _unresolved(f"{self.why} It isn't sent again: {withheld}")
        message = "; ".join(filter(None, [withheld.outcome.message, str(self.turned_away)]))
        return replace(withheld.outcome, in_doubt=self.sought, message=message)


def answered_before(answer: BrokerOrder | BrokerRejected) -> OrderOutcome:
    """Return the outcome of an order whose reply a killed job recorded in the journal."""
    if isinstance(answer, BrokerOrder):
        return OrderOutcome(status="placed", order=answer, attempted=True)
    return _refused(answer)


def _refused(error: BrokerRejected) -> OrderOutcome:
    return OrderOutcome(
        status="broker_rejected", reason="refused_by_broker", message=str(error), attempted=True
    )


def _used_before(order: ApprovedOrder, why: str) -> OrderOutcome:
    return OrderOutcome(
        status="broker_rejected",
        reason=ID_USED_BEFORE,
        message=(
            f"the id {order.key[1]} was used before, and not by this run ({why.rstrip('.')}). This run "
            f"placed no order under it; give the intent another client_intent_id."
        ),
        attempted=True,
    )


def _unresolved(message: str) -> OrderOutcome:
    return OrderOutcome(status="unresolved", reason="outcome_unknown", message=message, attempted=True)
