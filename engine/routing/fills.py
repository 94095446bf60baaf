"""After the last order was sent: waits for terminal orders, then reads their final states and executions.

This takes few requests: while orders are open, the list of open orders; then one list of all, and the fills.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from engine.accounts.connection import SEND_S, Connection
from engine.brokers.trading import TradingBroker
from engine.errors import LeaseLost
from engine.ledger.overfilling import overfill_of
from engine.log import EventLog
from engine.model.breaks import units_of
from engine.model.orders import BrokerFill, BrokerOrder
from engine.record.fills import filled_units, is_over
from engine.routing.cancels import outcome_of
from engine.routing.controls import TradingControls
from engine.routing.order_lookup import known_orders
from engine.routing.outcomes import CANCELS, REJECTED_AFTER_ACCEPTANCE, OrderOutcome
from engine.routing.release_check import ApprovedOrder
from engine.waiting.backoff import backoff
from engine.waiting.deadline import Deadline
from engine.waiting.pause import pause, waited

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.25, 4.0
_MARGIN = timedelta(seconds=1)
"""How much earlier than its order's submission an execution may be, by the clocks of two machines."""
_FILLS_TRIES = 4


@dataclass(frozen=True)
class Settled:
    """The outcomes of a run's orders, with their current states and executions.

    ``fills`` by the broker's id of order or leg; ``open_rows`` are the rows that are not terminal.
    """

    outcomes: dict[int, OrderOutcome]
    fills: dict[str, list[BrokerFill]]
    open_rows: list[int]


def settle(
    intents: Iterable[ApprovedOrder],
    outcomes: Mapping[int, OrderOutcome],
    controls: TradingControls,
    connection: Connection,
) -> Settled:
    """Wait until all orders are terminal, at most ``settle_s`` seconds, and return their outcomes.

    Raises ``RunStopped`` on SIGTERM and ``BrokerError`` where the broker is down; the run is resumed then.
    """
    placed = {row: outcome for row, outcome in outcomes.items() if outcome.order is not None}
    waiting = {
        row: outcome.order for row, outcome in placed.items() if outcome.order and not outcome.order.is_final
    }
    if waiting:
        _wait(waiting, controls, connection)
    latest = _latest(placed, controls, connection)
    outcomes = {row: _with_order(outcome, latest.get(row)) for row, outcome in outcomes.items()}
    _log_statuses(outcomes, controls.log)
    placed_now = {
        row: outcome.order
        for row, outcome in outcomes.items()
        if outcome.order and outcome.status == "placed"
    }
    fills = executions(placed_now.values(), connection.broker)
    _log_overfilled(placed_now.values(), fills, controls.log)
    open_rows = [
        order.row for order in intents if order.row in outcomes and not _is_final(outcomes[order.row], fills)
    ]
    return Settled(dict(outcomes), fills, open_rows)


def _wait(waiting: Mapping[int, BrokerOrder], controls: TradingControls, connection: Connection) -> None:
    """Poll the open orders until none of these is among them, or ``settle_s`` has passed."""
    ours = {order.broker_order_id for order in waiting.values()}
    deadline, waits_s = Deadline.after(connection.settle_s), backoff(_FIRST_WAIT_S, _LONGEST_WAIT_S)
    while True:
        with suppress(LeaseLost):  # nothing more is sent from here
            connection.lease.hold_for(SEND_S)
        listed = {order.broker_order_id for order in connection.broker.open_orders()}
        left = len(ours & listed)
        controls.progress("waiting for fills", len(ours) - left, len(ours))
        if not left or deadline.is_over():
            return
        pause(min(next(waits_s), deadline.left_s()), controls.stopping, during="fills were waited for")


def _latest(
    outcomes: Mapping[int, OrderOutcome], controls: TradingControls, connection: Connection
) -> dict[int, BrokerOrder]:
    """Return the orders' current states, by row; without those that the broker no longer knows.

    The run's own orders are listed. The target of a cancel may be of any age: it is looked up by id, and only
    while it is open.
    """
    asked = {row: outcome.order for row, outcome in outcomes.items() if outcome.order is not None}
    own = [order for row, order in asked.items() if outcomes[row].status not in CANCELS]
    known = {
        order.broker_order_id: order
        for row, order in asked.items()
        if outcomes[row].status in CANCELS and order.is_final
    }
    since = _first_timestamp(own)
    if since is not None and len(own) > 1:
        sought = [order.broker_order_id for order in own]
        known |= {
            order.broker_order_id: order for order in connection.broker.orders_since(since, sought=sought)
        }
    unlisted = [order.broker_order_id for order in asked.values() if order.broker_order_id not in known]
    known |= known_orders(
        unlisted, connection.broker, retry_policy=connection.retry_policy, stopping=controls.stopping
    )
    for order in asked.values():
        if order.broker_order_id not in known:
            _log_missing(order, controls.log)
    return {
        row: known[order.broker_order_id] for row, order in asked.items() if order.broker_order_id in known
    }


def _log_missing(order: BrokerOrder, log: EventLog) -> None:
    """Log that the broker no longer knows an order; it stays open in its last known state."""
    log.event(
        "order_missing",
        f"the broker no longer knows order {order.broker_order_id} of intent {order.client_order_id}, "
        f"although it assigned that id. The next sync looks it up again.",
        severity="CRITICAL",
        intent_id=order.client_order_id,
        broker_order_id=order.broker_order_id,
    )


def _log_statuses(outcomes: Mapping[int, OrderOutcome], log: EventLog) -> None:
    """Log the status of each order at the end of its run."""
    orders = [(outcome.status, outcome.order) for outcome in outcomes.values() if outcome.order is not None]
    log.for_each(
        "order_status",
        len(orders),
        lambda: (
            (
                f"{order.client_order_id}: order {order.broker_order_id} is {order.order_status}",
                {
                    "intent_id": order.client_order_id,
                    "broker_order_id": order.broker_order_id,
                    "order_status": order.order_status,
                    "status": status,
                },
            )
            for status, order in orders
        ),
    )


def _log_overfilled(
    orders: Iterable[BrokerOrder], fills: Mapping[str, list[BrokerFill]], log: EventLog
) -> None:
    """Log each order that filled beyond its quantity; it stays open until an operator accepts that."""
    for order in orders:
        if overfill := overfill_of(order, fills):
            log.event(
                "overfilled",
                f"order {order.broker_order_id} of intent {order.client_order_id} in {order.symbol} has "
                f"{overfill.said}. Look at its executions on the broker's dashboard; the next sync reports "
                f"it as a difference, and proposes the file that accepts it.",
                severity="CRITICAL",
                intent_id=order.client_order_id,
                broker_order_id=order.broker_order_id,
            )


def _with_order(outcome: OrderOutcome, order: BrokerOrder | None) -> OrderOutcome:
    if order is None:
        return outcome
    if outcome.status in CANCELS:
        return outcome_of(order)
    if order.order_status == "rejected" and not order.filled_qty and outcome.status == "placed":
        return replace(
            outcome,
            status="broker_rejected",
            reason=REJECTED_AFTER_ACCEPTANCE,
            order=order,
            message=f"the broker accepted it as order {order.broker_order_id} and rejected it afterwards",
        )
    return replace(outcome, order=order)


def executions(orders: Collection[BrokerOrder], broker: TradingBroker) -> dict[str, list[BrokerFill]]:
    """Return the executions of orders and their legs, by order id; they may lag behind the orders' states."""
    filled = {
        order.broker_order_id: units_of(order.filled_qty)
        for entry in orders
        for order in (entry, *entry.legs)
        if order.filled_qty > 0
    }
    if not filled:
        return {}
    since = _first_timestamp(orders)
    waits_s = backoff(_FIRST_WAIT_S, _LONGEST_WAIT_S)
    for tried in range(_FILLS_TRIES):
        found: dict[str, list[BrokerFill]] = {}
        for fill in broker.fills(after=since - _MARGIN if since else None):
            if fill.broker_order_id in filled:
                found.setdefault(fill.broker_order_id, []).append(fill)
        if all(filled_units(found.get(order_id, [])) >= units for order_id, units in filled.items()):
            break
        if tried + 1 < _FILLS_TRIES:
            waited(next(waits_s))
    return found


def _first_timestamp(orders: Iterable[BrokerOrder]) -> datetime | None:
    begun = [order.submitted_at or order.created_at for order in orders]
    return min((timestamp for timestamp in begun if timestamp is not None), default=None)


def _is_final(outcome: OrderOutcome, fills: Mapping[str, list[BrokerFill]]) -> bool:
    """Return whether an intent's outcome is final, and all its executions are known."""
    if outcome.status == "unresolved" or outcome.in_doubt:
        return False
    if outcome.status != "placed" or outcome.order is None:
        return True
    return is_over(outcome.order, fills) and overfill_of(outcome.order, fills) is None
