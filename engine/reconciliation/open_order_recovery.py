"""Orders that earlier runs left open at a broker: look them up, book their fills, count them as working.

An order whose outcome is unknown counts at its full quantity until its outcome is known.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property
from http import HTTPStatus
from typing import Any

from engine.accounts.connection import Connection
from engine.accounts.other_folders import SharedOrders
from engine.brokers.order_differences import differences
from engine.context import RunContext
from engine.errors import BrokerRejected
from engine.ledger.documents import SESSION_IS_ESTIMATED
from engine.ledger.overfilling import overfill_key, overfill_of
from engine.model.breaks import Accepted, LateFill, units_of
from engine.model.orders import BrokerFill, BrokerOrder
from engine.model.quantity import UNITS
from engine.reconciliation.adjustments import accepted_in
from engine.record.fills import fills_table, is_over, ledger_documents
from engine.record.late_fills import keep_by_session
from engine.record.open_orders import LeftOpen, OpenOrder, forget, left_open, note_over
from engine.routing.booking import book
from engine.routing.fills import executions
from engine.routing.live import CLOCK_MARGIN

Working = tuple[str, str, str, float]
"""Account, symbol, side and the shares that may still fill."""
_LAG, _LONGEST_LAG = timedelta(minutes=1), timedelta(hours=1)
_ASKED_ONE_BY_ONE = 3
ACCEPTED_SINCE = timedelta(days=90)
"""How far back an operator's acceptances are read."""


@dataclass(frozen=True)
class OpenOrderRecovery:
    """Recovers the orders of an account that earlier runs left open.

    ``found``: orders whose outcome was unknown, by run and client id; None where the broker knows none.
    ``missing``: orders that once had a broker's id and that the broker no longer knows. ``seen``: the
    orders as the broker has them now. ``late``: the fills that were booked. ``unkept``: files with the
    fills that the ledger refused (``engine.routing.booking``).
    """

    context: RunContext
    connection: Connection
    calendar: str
    trading_date: date
    found: dict[tuple[str, str | None], BrokerOrder | None] = field(default_factory=dict)
    missing: list[OpenOrder] = field(default_factory=list)
    seen: dict[OpenOrder, BrokerOrder | None] = field(default_factory=dict)
    late: list[LateFill] = field(default_factory=list)
    unkept: list[str] = field(default_factory=list)
    _documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The ledger's documents of orders, read before and again after a write; {} where there is none."""

    def look_up_unknown(self) -> None:
        """Look up orders whose outcome is unknown, before the book is read: it then has what comes later."""
        for left in self._own:
            for one in left.orders:
                if one.broker_order_id is None:
                    self.found[left.run_id, one.intent.client_intent_id] = self._found(left, one)

    def recover(self, open_orders: Iterable[BrokerOrder]) -> list[Working]:
        """Book the new fills; return the orders that are unknown or unlisted, as working orders.

        The marker of a run without open orders is removed.
        """
        listed = {order.broker_order_id: order for order in open_orders}
        now = [(left, self._as_they_are_now(left, listed)) for left in self._own]
        self._read(order for _, orders in now for order in orders.values() if order is not None)
        return [row for left, orders in now for row in self._of_one_run(left, orders, listed)]

    def document(self, order: BrokerOrder) -> dict[str, Any]:
        """Return the ledger's document of an order, {} where it has none."""
        if order.broker_order_id not in self._documents:
            self._read([order])
        return self._documents[order.broker_order_id]

    @cached_property
    def accepted(self) -> Accepted:
        """What an operator has accepted of the account's breaks in the last 90 days."""
        since = self.trading_date - ACCEPTED_SINCE
        return accepted_in(self.context.ledger.adjustments(self.connection.account, since=since))

    def _read(self, orders: Iterable[BrokerOrder]) -> None:
        """Read the ledger's documents of orders and their legs in one request."""
        ids = {order.broker_order_id for head in orders for order in (head, *head.legs)}
        found = self.context.ledger.ledger_documents(ids)
        self._documents.update({order_id: found.get(order_id, {}) for order_id in ids})

    @cached_property
    def _own(self) -> list[LeftOpen]:
        """The orders that earlier runs left of this account; read once, since only this job changes them."""
        key = self.connection.key
        return [left for left in left_open(self.context.objects, of_account=key) if left.account_key == key]

    def _of_one_run(
        self,
        left: LeftOpen,
        now: Mapping[OpenOrder, BrokerOrder | None],
        listed: Mapping[str, BrokerOrder],
    ) -> list[Working]:
        found = {one: order for one, order in now.items() if order is not None}
        queried = {one: order for one, order in found.items() if self._needs_executions(order)}
        fills = executions(queried.values(), self.connection.broker)
        self._keep_executions(left, queried, fills)
        documents = list(
            ledger_documents(
                [(one.intent, order) for one, order in queried.items()],
                fills,
                calendar=self.calendar,
                now=self.context.clock(),
            )
        )
        late = [late for document in documents if (late := self._came_late(document))]
        booked = book(self.context, documents, trading_date=left.trading_date, run_id=left.run_id)
        if documents:
            self._read(queried.values())
        self.unkept.extend(booked.unkept)
        self.late.extend(one for one in late if one.broker_order_id not in booked.missing)
        self.seen.update(now)
        unknown = {one for one, order in now.items() if order is None and not self._never_came(left, one)}
        self._forget(
            left, [one for one, order in now.items() if one not in unknown and self._is_settled(order, fills)]
        )
        unlisted = [order for order in found.values() if order.broker_order_id not in listed]
        return [
            *(self._as_working(one) for one in now if one in unknown),
            *working(self.connection.account or left.account, unlisted),
        ]

    def _forget(self, left: LeftOpen, over: list[OpenOrder]) -> None:
        """Stop polling settled orders, and a run whose orders are all settled."""
        if len(over) == len(left.orders):
            run_key = f"runs/{left.trading_date.isoformat()}/{left.run_id}/"
            SharedOrders(self.connection).end(self.context.objects, run_key)
            forget(self.context.objects, left)
            self.context.log.event(
                "run_settled", f"every order of {left.run_id} is terminal and booked in the ledger"
            )
        elif over:
            note_over(self.context.objects, left, over)

    def _is_settled(self, order: BrokerOrder | None, fills: Mapping[str, list[BrokerFill]]) -> bool:
        """Return whether an order needs no more polls; None is an order that never reached the broker.

        An order whose executions or ledger document differ is polled until an operator accepts the break:
        without the order the break would get another name.
        """
        if order is None:
            return True
        if not all(one.is_final for one in (order, *order.legs)):
            return False
        overfill = overfill_of(order, fills)
        if overfill and overfill_key(order, overfill) not in self._accepted_activities:
            return False
        is_kept = units_of(self.document(order).get("filled_qty", 0.0)) == units_of(order.filled_qty)
        if is_kept and is_over(order, fills):
            return True
        accepted = self.accepted.filled.get(order.broker_order_id) if self.connection.account else None
        return accepted == units_of(order.filled_qty) or self._is_accepted(
            "quantity_differs", order.broker_order_id
        )

    @property
    def _accepted_activities(self) -> frozenset[str]:
        return self.accepted.activities if self.connection.account else frozenset()

    def _is_accepted(self, kind: str, broker_order_id: str | None) -> bool:
        """Return whether an operator has accepted a break of an order."""
        return bool(self.connection.account) and (kind, broker_order_id) in self.accepted.orders

    def _came_late(self, document: Mapping[str, Any]) -> LateFill | None:
        """Return the fill in a document that the ledger lacks, None where there is none."""
        before = self._documents[document["broker_order_id"]]
        units = units_of(document["filled_qty"]) - units_of(before.get("filled_qty", 0.0))
        if units <= 0:
            return None
        return LateFill(
            broker_order_id=document["broker_order_id"],
            client_intent_id=document["client_intent_id"],
            symbol=document["symbol"],
            units=units if document["side"] == "buy" else -units,
            filled_at=datetime.fromisoformat(document["filled_at"]),
        )

    def _needs_executions(self, order: BrokerOrder) -> bool:
        """Return whether to request an order's executions: not while it works and all of them are known.

        A group works for as long as any of its orders does.
        """
        if all(one.is_final for one in (order, *order.legs)):
            return True
        filled = [one for one in (order, *order.legs) if one.filled_qty > 0]
        documents = ((one, self.document(one)) for one in filled)
        return any(
            document.get("filled_qty") != one.filled_qty or document.get(SESSION_IS_ESTIMATED) is True
            for one, document in documents
        )

    def _keep_executions(
        self, left: LeftOpen, found: Mapping[OpenOrder, BrokerOrder], fills: Mapping[str, list[BrokerFill]]
    ) -> None:
        """Keep the executions by session, including those that the run has recorded."""
        orders = [(one.intent, order) for one, order in found.items()]
        table = fills_table(orders, fills, calendar=self.calendar, run_session=left.trading_date)
        keep_by_session(self.context.objects, left.run_id, table)

    def _as_they_are_now(
        self, left: LeftOpen, listed: Mapping[str, BrokerOrder]
    ) -> dict[OpenOrder, BrokerOrder | None]:
        """Return the orders as they are now; None where the broker knows none.

        Few orders are looked up one by one; many are listed.
        """
        ids = {one: self._id_of(left, one) for one in left.orders}
        unlisted = [order_id for order_id in ids.values() if order_id is not None and order_id not in listed]
        known = dict(listed)
        if len(unlisted) > _ASKED_ONE_BY_ONE:
            begun = self.connection.broker.orders_since(left.begun_at - CLOCK_MARGIN, sought=unlisted)
            known |= {order.broker_order_id: order for order in begun}
        return {
            one: None if order_id is None else known.get(order_id) or self._looked_up(one, order_id)
            for one, order_id in ids.items()
        }

    def _id_of(self, left: LeftOpen, one: OpenOrder) -> str | None:
        if one.broker_order_id is not None:
            return one.broker_order_id
        found = self.found[left.run_id, one.intent.client_intent_id]
        return None if found is None else found.broker_order_id

    def _looked_up(self, one: OpenOrder, order_id: str) -> BrokerOrder | None:
        """Look up one order that the broker once knew."""
        try:
            return self.connection.broker.get_order_status(broker_order_id=order_id)
        except BrokerRejected as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
        self.missing.append(one)
        intent_id = str(one.intent.client_intent_id)
        self.context.log.event(
            "order_missing",
            f"the broker no longer knows order {order_id} of intent {intent_id}, to which it gave that id. "
            f"It counts as working until it is found, or until the missing_order break is accepted.",
            severity="CRITICAL",
            intent_id=intent_id,
            broker_order_id=order_id,
        )
        return None

    def _found(self, left: LeftOpen, one: OpenOrder) -> BrokerOrder | None:
        found = self.connection.broker.find_order(client_order_id=str(one.intent.client_intent_id))
        return None if found is None or self._is_another(left, one, found) else found

    def _is_another(self, left: LeftOpen, one: OpenOrder, found: BrokerOrder) -> bool:
        """Return whether the order found under an unknown order's id is another one; log it if so."""
        created_at = found.created_at or found.submitted_at
        wrong = differences(one.intent, found)
        if created_at is None or created_at < left.begun_at - CLOCK_MARGIN:
            wrong = f"it was created at {created_at}, and the run began at {left.begun_at}"
        if wrong:
            intent_id = str(one.intent.client_intent_id)
            message = (
                f"order {found.broker_order_id} has the id of intent {intent_id} "
                f"but is another order: {wrong}"
            )
            self.context.log.event(
                "order_mismatch",
                f"{message}. Look at it on the broker's dashboard.",
                severity="CRITICAL",
                intent_id=intent_id,
            )
        return bool(wrong)

    def _never_came(self, left: LeftOpen, one: OpenOrder) -> bool:
        """Return whether an order that isn't found never reached the broker; log it if so.

        No lookup lags that long. An order whose outcome was only in doubt was looked up with retries before.
        An order that the broker once knew is polled until an operator accepts that it is missing.
        """
        if one in self.missing:
            return self._is_accepted("missing_order", one.broker_order_id)
        if one.status != "unresolved":
            return self.context.clock() - left.noted_at > _LAG
        age = self.context.clock() - left.begun_at
        if left.trading_date >= self.trading_date or age < _LONGEST_LAG:
            return False
        intent_id = str(one.intent.client_intent_id)
        message = f"{intent_id} of run {left.run_id} never reached the broker"
        self.context.log.event("order_never_came", message, severity="WARNING", intent_id=intent_id)
        return True

    def _as_working(self, unknown: OpenOrder) -> Working:
        """Return an order whose outcome is unknown as a working order of its full quantity."""
        intent = unknown.intent
        qty = math.nan if intent.qty is None else intent.qty
        return self.connection.account or intent.broker_account_id, intent.symbol, intent.side, qty


def working(account: str, orders: Iterable[BrokerOrder]) -> list[Working]:
    """Return what may still fill, one row per group: the entry, or once that has filled the larger exit."""
    at_work = filter(None, map(active, orders))
    return [(account, order.symbol, order.side, _remaining(order)) for order in at_work]


def active(entry: BrokerOrder) -> BrokerOrder | None:
    """Return the order of a group that may fill: a bracket's entry before its exits, of exits the larger."""
    exits = [leg for leg in entry.legs if not leg.is_final]
    if not entry.is_final:
        exits = [entry, *(leg for leg in exits if leg.side == entry.side)]
    return max(exits, key=_size) if exits else None


def _size(order: BrokerOrder) -> float:
    remaining = _remaining(order)
    return math.inf if math.isnan(remaining) else remaining


def _remaining(order: BrokerOrder) -> float:
    """Return the shares that may still fill; NaN, which makes the symbol unavailable, where that is unknown.

    An order that filled more than was ordered has none left: it is a break, which closes the symbol.
    """
    if order.qty is None:
        return math.nan
    return max(0, units_of(order.qty) - units_of(order.filled_qty)) / UNITS
