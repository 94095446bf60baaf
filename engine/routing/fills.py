"""After the last order has left: wait for what becomes of them, and write it into record and ledger.

Few requests do: while orders are open, the list of open orders; at the end, one list of all and the fills.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa

from engine.accounts.connection import SEND_S, Venue
from engine.brokers.trading import TradingBroker
from engine.context import RunContext
from engine.errors import LeaseLost
from engine.ledger.documents import COUNTS_AS_TRADE, NO_SESSION, SESSION_IS_ESTIMATED, ledger_document
from engine.ledger.overfilling import overfill_of
from engine.model.breaks import units_of
from engine.model.calendar import session_if_covered, trading_date
from engine.model.orders import BrokerFill, BrokerOrder, OrderIntent
from engine.model.schema import fills_schema
from engine.routing.cancels import outcome_of
from engine.routing.order_lookup import known_orders, pause
from engine.routing.outcomes import CANCELS, REJECTED_AFTER_ACCEPTANCE, OrderOutcome
from engine.routing.release_check import ApprovedOrder

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.25, 4.0
_MARGIN = timedelta(seconds=1)
"""How far an execution may lie before its order was submitted, by the clocks of two machines."""
_FILLS_TRIES = 4
_OTHER_SIDE = {"buy": "sell", "sell": "buy"}


@dataclass(frozen=True)
class Settled:
    """What became of a run's orders: the fates with the orders as they are now, and their executions.

    ``fills`` by the broker's id of order or leg; ``open_rows`` are the rows that are not over.
    """

    outcomes: dict[int, OrderOutcome]
    fills: dict[str, list[BrokerFill]]
    open_rows: list[int]


def settle(
    intents: Iterable[ApprovedOrder], outcomes: Mapping[int, OrderOutcome], context: RunContext, venue: Venue
) -> Settled:
    """Wait until all orders are over, or ``settle_s`` seconds, then ask what became of each.

    Raises ``RunStopped`` on SIGTERM and ``BrokerError`` where the broker is down; the run is resumed then.
    """
    placed = {row: outcome for row, outcome in outcomes.items() if outcome.order is not None}
    waiting = {
        row: outcome.order for row, outcome in placed.items() if outcome.order and not outcome.order.is_final
    }
    if waiting:
        _wait(waiting, context, venue)
    latest = _latest(placed, context, venue)
    outcomes = {row: _with_order(outcome, latest.get(row)) for row, outcome in outcomes.items()}
    _log_statuses(outcomes, context)
    placed_now = {
        row: outcome.order
        for row, outcome in outcomes.items()
        if outcome.order and outcome.status == "placed"
    }
    fills = executions(placed_now.values(), venue.broker)
    _log_overfilled(placed_now.values(), fills, context)
    open_rows = [
        order.row for order in intents if order.row in outcomes and not _is_over(outcomes[order.row], fills)
    ]
    return Settled(dict(outcomes), fills, open_rows)


def _wait(waiting: Mapping[int, BrokerOrder], context: RunContext, venue: Venue) -> None:
    """Ask for the open orders until none of these is among them, or time is over."""
    ours = {order.broker_order_id for order in waiting.values()}
    until, wait_s = time.monotonic() + venue.settle_s, _FIRST_WAIT_S
    while True:
        with suppress(LeaseLost):  # nothing is sent here any more
            venue.lease.hold_for(SEND_S)
        listed = {order.broker_order_id for order in venue.broker.open_orders()}
        left = len(ours & listed)
        context.progress("waiting for fills", len(ours) - left, len(ours))
        left_s = until - time.monotonic()
        if not left or left_s <= 0:
            return
        pause(min(wait_s, left_s), context.stopping, during="fills were waited for")
        wait_s = min(wait_s * 2, _LONGEST_WAIT_S)


def _latest(
    outcomes: Mapping[int, OrderOutcome], context: RunContext, venue: Venue
) -> dict[int, BrokerOrder]:
    """Return the orders as they are now, by row; without those that the broker doesn't know any more.

    The run's own orders are listed. What a cancel withdrew may be of any age: it is asked for by its id, and
    only as long as it is open.
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
        known |= {order.broker_order_id: order for order in venue.broker.orders_since(since, sought=sought)}
    unlisted = [order.broker_order_id for order in asked.values() if order.broker_order_id not in known]
    known |= known_orders(unlisted, venue.broker, patience=venue.patience, stopping=context.stopping)
    for order in asked.values():
        if order.broker_order_id not in known:
            _tell_missing(order, context)
    return {
        row: known[order.broker_order_id] for row, order in asked.items() if order.broker_order_id in known
    }


def _tell_missing(order: BrokerOrder, context: RunContext) -> None:
    """Say that the broker doesn't know an order any more; it stays open, as it was when it last did."""
    context.log.event(
        "order_missing",
        f"the broker doesn't know order {order.broker_order_id} of intent {order.client_order_id} any more, "
        f"which it gave that id. The next sync asks for it again.",
        severity="CRITICAL",
        intent_id=order.client_order_id,
        broker_order_id=order.broker_order_id,
    )


def _log_statuses(outcomes: Mapping[int, OrderOutcome], context: RunContext) -> None:
    """Log how each order stands at the end of its run."""
    orders = [(outcome.status, outcome.order) for outcome in outcomes.values() if outcome.order is not None]
    context.log.for_each(
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
    orders: Iterable[BrokerOrder], fills: Mapping[str, list[BrokerFill]], context: RunContext
) -> None:
    """Log each order that has filled beyond what was ordered; it stays open until that is accepted."""
    for order in orders:
        if overfill := overfill_of(order, fills):
            context.log.event(
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
            message=f"the broker took it as order {order.broker_order_id} and rejected it afterwards",
        )
    return replace(outcome, order=order)


def executions(orders: Collection[BrokerOrder], broker: TradingBroker) -> dict[str, list[BrokerFill]]:
    """Give the executions of orders and their legs, by order; they may lag behind what the orders say."""
    filled = {
        order.broker_order_id: units_of(order.filled_qty)
        for entry in orders
        for order in (entry, *entry.legs)
        if order.filled_qty > 0
    }
    if not filled:
        return {}
    since = _first_timestamp(orders)
    wait_s = _FIRST_WAIT_S
    for tried in range(_FILLS_TRIES):
        found: dict[str, list[BrokerFill]] = {}
        for fill in broker.fills(after=since - _MARGIN if since else None):
            if fill.broker_order_id in filled:
                found.setdefault(fill.broker_order_id, []).append(fill)
        if all(_filled_units(found.get(order_id, [])) >= units for order_id, units in filled.items()):
            break
        if tried + 1 < _FILLS_TRIES:
            time.sleep(wait_s)
            wait_s *= 2
    return found


def _first_timestamp(orders: Iterable[BrokerOrder]) -> datetime | None:
    begun = [order.submitted_at or order.created_at for order in orders]
    return min((timestamp for timestamp in begun if timestamp is not None), default=None)


def _filled_units(fills: Iterable[BrokerFill]) -> int:
    return sum(units_of(fill.qty) for fill in fills)


def _is_over(outcome: OrderOutcome, fills: Mapping[str, list[BrokerFill]]) -> bool:
    """Tell whether nothing can come of an intent any more, and everything that came is known."""
    if outcome.status == "unresolved" or outcome.in_doubt:
        return False
    if outcome.status != "placed" or outcome.order is None:
        return True
    return is_over(outcome.order, fills) and overfill_of(outcome.order, fills) is None


def is_over(entry: BrokerOrder, fills: Mapping[str, list[BrokerFill]]) -> bool:
    """Tell whether an order and its legs are over, with every execution told of."""
    return all(
        order.is_final and _filled_units(fills.get(order.broker_order_id, [])) == units_of(order.filled_qty)
        for order in (entry, *entry.legs)
    )


def fills_table(
    orders: Iterable[tuple[OrderIntent, BrokerOrder]],
    fills: Mapping[str, list[BrokerFill]],
    *,
    calendar: str,
    run_session: date,
) -> pa.Table:
    """Return ``fills.parquet``: the executions of orders and legs, in the order of their times.

    One whose time is outside the years of the calendar is laid to ``run_session``, that of the run.
    """
    rows = [
        {
            "fill_id": fill.fill_id,
            "client_intent_id": intent.client_intent_id,
            "broker_order_id": fill.broker_order_id,
            "broker_account_id": intent.broker_account_id,
            "strategy_id": intent.strategy_id,
            "symbol": fill.symbol,
            "side": fill.side,
            "qty": fill.qty,
            "price": fill.price,
            "reference_price": intent.reference_price,
            "filled_at": fill.filled_at,
            "cum_qty": fill.cum_qty,
            "leaves_qty": fill.leaves_qty,
            "trading_date": (session_if_covered(fill.filled_at, calendar) or run_session).isoformat(),
        }
        for intent, entry in orders
        for order in (entry, *entry.legs)
        for fill in fills.get(order.broker_order_id, [])
    ]
    rows.sort(key=lambda row: (row["filled_at"], row["fill_id"]))
    return pa.Table.from_pylist(rows, schema=fills_schema())


def ledger_documents(
    orders: Iterable[tuple[OrderIntent, BrokerOrder]],
    fills: Mapping[str, list[BrokerFill]],
    *,
    calendar: str,
    now: datetime,
) -> Iterator[dict[str, Any]]:
    """Return the ledger documents of all orders and legs that have filled, wholly or in part.

    The trade counts on the session of its first fill. Where the broker reports that an order has filled and
    not all of its executions yet, the order's own times stand in, and the session is marked as estimated.

    A leg's document names the group's first order as ``exit_of``. A group is one trade: that of its first
    order, and of the leg that filled only where the first order did not (an ``oco``'s may be cancelled for
    it). The other documents say false in ``COUNTS_AS_TRADE``, so that an exit which fills in a later session
    than its entry is no trade of that session.
    """
    for intent, entry in orders:
        filled = [order for order in (entry, *entry.legs) if order.filled_qty > 0]
        for order in filled:
            told = sorted(fills.get(order.broker_order_id, []), key=lambda fill: fill.filled_at)
            times = _Times.of(order, told, calendar=calendar, now=now)
            document = ledger_document(
                intent if order is entry else _as_leg(intent, order),
                order,
                trading_date=times.session,
                filled_at=times.last,
                raw_fill=dict(told[-1].raw) if told else {},
            )
            if document is None:
                continue
            if times.is_estimated:
                document[SESSION_IS_ESTIMATED] = True
            if times.without_session:
                document[NO_SESSION] = times.without_session
            if order is not entry:
                document["exit_of"] = entry.broker_order_id
            if order is not filled[0]:
                document[COUNTS_AS_TRADE] = False
            yield document


@dataclass(frozen=True)
class _Times:
    """When an order filled: the session of its first fill, and the time of its last one."""

    session: date
    last: datetime
    is_estimated: bool
    without_session: list[str]

    @classmethod
    def of(cls, order: BrokerOrder, told: list[BrokerFill], *, calendar: str, now: datetime) -> _Times:
        """Return the times by the executions, oldest first; else by the order's own times, else ``now``."""
        sessions = [(fill.filled_at, session_if_covered(fill.filled_at, calendar)) for fill in told]
        known = [(at, session) for at, session in sessions if session is not None]
        if not known:
            own = [at for at in (order.filled_at, order.updated_at) if at]
            at = next((at for at in own if session_if_covered(at, calendar)), now)
            known = [(at, trading_date(at, calendar))]
        return cls(
            session=known[0][1],
            last=known[-1][0],
            is_estimated=_filled_units(told) < units_of(order.filled_qty),
            without_session=[at.isoformat() for at, session in sessions if session is None],
        )


def _as_leg(intent: OrderIntent, leg: BrokerOrder) -> OrderIntent:
    """Give an exit leg in the words of an intent: of the same strategy, on the other side."""
    return replace(
        intent,
        side=leg.side or _OTHER_SIDE[intent.side],
        qty=leg.qty,
        notional=None,
        order_type=leg.order_type or intent.order_type,
        limit_price=leg.limit_price,
        stop_price=leg.stop_price,
        order_class="simple",
        take_profit_limit_price=None,
        stop_loss_stop_price=None,
        stop_loss_limit_price=None,
    )
