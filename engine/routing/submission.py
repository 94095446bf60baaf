"""One order, exactly once.

What a reply means, and what follows::

    200, the order as it was sent      placed
    429                                turned away unseen: its turn comes again, for ``broker_wait_s``; then
                                       the broker counts as down
    never left (no connection)         again, until the broker counts as down
    422 "must be unique"               an order has this id. Where an earlier request of this run may have
                                       placed it, it is looked up and adopted; else the id was used before
    3xx, any other 4xx in its words    broker_rejected; where an earlier request may have placed it, it is
                                       looked up before
    a page, 408, 409, 425, 499, 5xx,   unknown: looked up by its id, with patience, since lookups lag; found,
    half a reply, none                 it is adopted; not found, the same id is sent again

An order is adopted only where it is the one that was meant: same symbol, side, quantity and type, and not
older than this run. A request is never repeated before a lookup has answered.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime

from engine.accounts.connection import RetryPolicy
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
from engine.routing.order_lookup import pause
from engine.routing.outcomes import OrderOutcome
from engine.routing.rate_limits import TurnedAway
from engine.routing.release_check import ApprovedOrder

ID_USED_BEFORE = "id_used_before"


class Withheld(EngineError):
    """An order's turn has come, and it is not sent: ``outcome`` says what becomes of it instead."""

    def __init__(self, outcome: OrderOutcome) -> None:
        super().__init__(outcome.message)
        self.outcome = outcome


@dataclass(frozen=True, kw_only=True)
class Placing:
    """What placing an order takes.

    ``check`` is called with the order right before it leaves; it raises ``Withheld`` where it must not.
    ``not_before``: no order that the broker took in before that moment (by its own clock) is this run's.
    """

    broker: TradingBroker
    check: Callable[[ApprovedOrder], None]
    not_before: datetime
    stopping: Callable[[], bool]
    log: EventLog
    patience: RetryPolicy
    monotonic: Callable[[], float] = time.monotonic

    def seek(self, ids: Collection[str]) -> dict[str, BrokerOrder]:
        """Look for orders that a job before this one may have sent, for all at once and for a while.

        Gives those that were found, by client id. Raises ``RunStopped`` and ``BrokerError``.
        """
        found: dict[str, BrokerOrder] = {}
        for wait_s in (0.0, *self.patience.lookups_s):
            if found.keys() >= set(ids):
                break
            self._pause(wait_s)
            found |= self.listed(ids)
        return found

    def listed(self, ids: Collection[str]) -> dict[str, BrokerOrder]:
        """Look for orders once, for all at once; gives those that were found. Raises ``BrokerError``."""
        if not ids:
            return {}
        listed = {order.client_order_id: order for order in self.broker.orders_since(self.not_before)}
        return {id_: listed[id_] for id_ in ids if id_ in listed}

    def place(self, order: ApprovedOrder, *, sought: bool, found: BrokerOrder | None = None) -> OrderOutcome:
        """Place one order; ``sought`` where an earlier job may have placed it, and ``found`` where it did.

        Raises ``RunStopped`` where the job is to end, ``BrokerError`` where the broker is down, and what
        ``check`` raises: the order's outcome is open then, and the run is resumed later.
        """
        if sought and found is None:
            found = self.broker.find_order(client_order_id=order.key[1])
        tries = _Tries(TurnedAway(self.patience.longest_hold_s, self.monotonic), sought=sought)
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
        """Send an order until there is an answer; None where it has to be looked up, being there perhaps."""
        while True:
            try:
                reply = self.broker.place_order(intent=order.intent, at_its_turn=_Turn(self, order).look)
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
                if tries.without_connection_s(self.monotonic()) > self.patience.down_after_s:
                    raise
                self._pause(min(1.0, self.patience.down_after_s / 30))
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
        """Say what becomes of an order that may be there and isn't found; None where it is sent again."""
        refusal = tries.refusal
        if refusal is not None and not tries.posts and not self.broker.is_duplicate_id(refusal):
            return replace(_refused(refusal), in_doubt=True)
        if refusal is not None or tries.posts >= self.patience.posts:
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
        """Find an order by its id, again and again for a while; None where the broker knows none."""
        for wait_s in (0.0, *self.patience.lookups_s):
            self._pause(wait_s)
            found = self.broker.find_order(client_order_id=order.key[1])
            if found is not None:
                return found
        return None

    def _adopted(self, order: ApprovedOrder, found: BrokerOrder) -> OrderOutcome:
        """Take an order that was found for this run's, if it is."""
        taken_in = found.created_at or found.submitted_at
        if taken_in is not None and taken_in < self.not_before:
            return _used_before(
                order, f"order {found.broker_order_id} of {taken_in:%Y-%m-%d %H:%M:%S} UTC has it"
            )
        wrong = differences(order.intent, found)
        if taken_in is None:
            wrong = "; ".join(filter(None, [wrong, "it doesn't say when it was made"]))
        if wrong:
            message = f"order {found.broker_order_id} has the id of this intent and is another: {wrong}"
            self.log.event("order_mismatch", message, severity="CRITICAL", intent_id=order.key[1])
            return _unresolved(f"{message}. Look at it on the broker's dashboard.", order=None)
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
    """An order's turn to be sent, and how often it was looked whether it may be."""

    placing: Placing
    order: ApprovedOrder
    looks: int = 0

    def look(self) -> None:
        """Look whether the order may leave. Raises what ``check`` raises."""
        self.placing.check(self.order)
        self.looks += 1
        client_id = self.order.key[1]
        if self.looks == 1:
            self.placing.log.event("order_attempted", f"{client_id} is sent", intent_id=client_id)
            return
        self.placing.log.event(
            "order_looked_at_again",
            f"{client_id}: connecting took long; switch, state and lease were looked at again before it left",
            severity="WARNING",
            intent_id=client_id,
        )


@dataclass
class _Tries:
    """What became of the requests to place one order so far.

    ``sought``: a job before this one may have made one. ``posts``: how many of ours have an unknown outcome.
    ``refusal``: the answer to the latest one, where an earlier one may have placed the order.
    """

    turned_away: TurnedAway
    sought: bool
    posts: int = 0
    why: str = ""
    refusal: BrokerRejected | None = None
    down_since: float | None = None

    @property
    def may_exist(self) -> bool:
        """Tell whether one of them may have placed the order."""
        return self.sought or self.posts > 0

    def unknown(self, error: OutcomeUnknown) -> None:
        """Take in that nobody knows what became of a request."""
        self.posts += 1
        self.why = str(error)
        self.down_since = None

    def refused_with(self, error: BrokerRejected) -> None:
        """Take in a no to a request; the one before may have placed the order all the same."""
        self.refusal = error
        self.why = str(error)

    def turned_away_again(self, error: RateLimited) -> None:
        """Record that a request was not looked at because of the rate limit. Raises as ``TurnedAway``."""
        self.turned_away.again(error)
        self.down_since = None

    def without_connection_s(self, now: float) -> float:
        """Take in that there was no connection; gives the seconds for which there was none."""
        self.down_since = now if self.down_since is None else self.down_since
        return now - self.down_since

    def withheld(self, withheld: Withheld) -> OrderOutcome:
        """Say what becomes of an order that isn't sent any more."""
        if self.posts:  # it was sent, and may be there yet
            return _unresolved(f"{self.why} It isn't sent again: {withheld}")
        message = "; ".join(filter(None, [withheld.outcome.message, str(self.turned_away)]))
        return replace(withheld.outcome, in_doubt=self.sought, message=message)


def answered_before(answer: BrokerOrder | BrokerRejected) -> OrderOutcome:
    """Give what became of an order whose reply a killed job has left in the journal."""
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
            f"the id {order.key[1]} was used before, and not by this run ({why.rstrip('.')}). Nothing was "
            f"sent under it; give the intent another client_intent_id."
        ),
        attempted=True,
    )


def _unresolved(message: str, order: BrokerOrder | None = None) -> OrderOutcome:
    return OrderOutcome(
        status="unresolved", reason="outcome_unknown", message=message, order=order, attempted=True
    )
