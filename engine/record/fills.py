"""Recorded fills: ``fills.parquet``, and the ledger documents of orders with their legs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

import pyarrow as pa

from engine.ledger.documents import COUNTS_AS_TRADE, NO_SESSION, SESSION_IS_ESTIMATED, ledger_document
from engine.model.breaks import units_of
from engine.model.calendar import session_if_covered, trading_date
from engine.model.orders import BrokerFill, BrokerOrder, OrderIntent
from engine.model.schema import fills_schema

_OTHER_SIDE = {"buy": "sell", "sell": "buy"}


def filled_units(fills: Iterable[BrokerFill]) -> int:
    """Return the sum of executions, in units of 1e-9 shares."""
    return sum(units_of(fill.qty) for fill in fills)


def is_over(entry: BrokerOrder, fills: Mapping[str, list[BrokerFill]]) -> bool:
    """Return whether an order and its legs are terminal, and all their executions are reported."""
    return all(
        order.is_final and filled_units(fills.get(order.broker_order_id, [])) == units_of(order.filled_qty)
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

    An execution whose time is outside the years of the calendar belongs to ``run_session``, that of the run.
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

    The trade counts in the session of its first fill. Where the broker reports an order as filled but not yet
    all of its executions, the order's own times are used, and the session is marked as estimated.

    A leg's document names the group's first order as ``exit_of``. A group is one trade: that of its first
    order, or of the leg that filled where the first order did not (the other leg of an ``oco`` cancels it).
    The other documents have false in ``COUNTS_AS_TRADE``, so that an exit that fills in a later session
    than its entry is no trade of that session.
    """
    for intent, entry in orders:
        filled = [order for order in (entry, *entry.legs) if order.filled_qty > 0]
        for order in filled:
            reported = sorted(fills.get(order.broker_order_id, []), key=lambda fill: fill.filled_at)
            times = _Times.of(order, reported, calendar=calendar, now=now)
            document = ledger_document(
                intent if order is entry else _as_leg(intent, order),
                order,
                trading_date=times.session,
                filled_at=times.last,
                raw_fill=dict(reported[-1].raw) if reported else {},
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
    """The times of an order's fills: the session of the first, and the time of the last."""

    session: date
    last: datetime
    is_estimated: bool
    without_session: list[str]

    @classmethod
    def of(cls, order: BrokerOrder, reported: list[BrokerFill], *, calendar: str, now: datetime) -> _Times:
        """Return the times of the executions, oldest first; else the order's own times, else ``now``."""
        sessions = [(fill.filled_at, session_if_covered(fill.filled_at, calendar)) for fill in reported]
        known = [(at, session) for at, session in sessions if session is not None]
        if not known:
            own = [at for at in (order.filled_at, order.updated_at) if at]
            at = next((at for at in own if session_if_covered(at, calendar)), now)
            known = [(at, trading_date(at, calendar))]
        return cls(
            session=known[0][1],
            last=known[-1][0],
            is_estimated=filled_units(reported) < units_of(order.filled_qty),
            without_session=[at.isoformat() for at, session in sessions if session is None],
        )


def _as_leg(intent: OrderIntent, leg: BrokerOrder) -> OrderIntent:
    """Return an exit leg as an intent: of the same strategy, on the other side."""
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
