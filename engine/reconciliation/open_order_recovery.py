"""Orders that earlier runs left open at a broker: look them up, book their fills, count them as working.

An order whose outcome is unknown counts at its full quantity until its outcome is known.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from engine.accounts.connection import Connection
from engine.accounts.other_folders import SharedOrders
from engine.brokers.order_differences import differences
from engine.errors import BrokerRejected
from engine.ledger.documents import SESSION_IS_ESTIMATED
from engine.ledger.overfilling import overfill_key, overfill_of
from engine.log import EventLog
from engine.model.breaks import LateFill, units_of
from engine.model.orders import BrokerFill, BrokerOrder
from engine.reconciliation.accepted import Acceptances
from engine.reconciliation.session import Session
from engine.reconciliation.working_orders import WorkingOrder, attempted, working
from engine.record.fills import fills_table, is_over, ledger_documents
from engine.record.late_fills import keep_by_session
from engine.record.objects import Objects
from engine.record.open_orders import LeftOpen, OpenOrder, forget, left_open, note_over
from engine.routing.booking import FillBooking
from engine.routing.fills import executions
from engine.routing.live import CLOCK_MARGIN
from engine.stores.protocols import LedgerStore

Documents = Mapping[str, Mapping[str, Any]]
"""The ledger's documents by the broker's order ids; {} where there is none."""
_LAG, _LONGEST_LAG = timedelta(minutes=1), timedelta(hours=1)
_ASKED_ONE_BY_ONE = 3


@dataclass(frozen=True)
class LeftOrders:
    """The orders that earlier runs left open in an account, by run.

    ``found``: those whose outcome was unknown, by run and client id; None where the broker knows none.
    """

    runs: Sequence[LeftOpen]
    found: Mapping[tuple[str, str | None], BrokerOrder | None]


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """What became of the orders that earlier runs left open.

    ``working``: those that are unknown or that the broker doesn't list, as working orders. ``seen``: the
    orders as the broker has them now; None where it knows none. ``missing``: orders that once had a broker's
    id and that the broker no longer knows. ``late``: the fills that were booked. ``unkept``: files with the
    fills that the ledger refused (``engine.routing.booking``). ``documents``: the ledger's documents of the
    orders and their legs, by the broker's id; {} where there is none.
    """

    working: Sequence[WorkingOrder]
    seen: Mapping[OpenOrder, BrokerOrder | None]
    missing: frozenset[OpenOrder]
    late: Sequence[LateFill]
    unkept: Sequence[str]
    documents: Mapping[str, Mapping[str, Any]]

    @property
    def strategies(self) -> dict[str, str]:
        """The strategy of each order, of its legs, and of the order in its place, by the broker's id."""
        return _strategies(self.seen)

    @classmethod
    def together(cls, parts: Sequence[Recovered]) -> Recovered:
        """Return the orders of several runs together."""
        return cls(
            working=[row for part in parts for row in part.working],
            seen={one: order for part in parts for one, order in part.seen.items()},
            missing=frozenset(one for part in parts for one in part.missing),
            late=[one for part in parts for one in part.late],
            unkept=[key for part in parts for key in part.unkept],
            documents={order_id: document for part in parts for order_id, document in part.documents.items()},
        )


@dataclass(frozen=True)
class _Now:
    """The orders of one run as the broker has them now; ``missing`` as in ``Recovered``."""

    left: LeftOpen
    orders: Mapping[OpenOrder, BrokerOrder | None]
    missing: frozenset[OpenOrder]

    @property
    def found(self) -> dict[OpenOrder, BrokerOrder]:
        """The orders that the broker knows."""
        return {one: order for one, order in self.orders.items() if order is not None}

    @property
    def ids(self) -> set[str]:
        """The broker's ids of these, and of their legs."""
        return _ids(self.found.values())


@dataclass(frozen=True, kw_only=True)
class OpenOrderRecovery:
    """Recovers the orders of an account that earlier runs left open."""

    connection: Connection
    session: Session
    objects: Objects
    ledger: LedgerStore
    accepted: Acceptances
    log: EventLog
    clock: Callable[[], datetime]

    def left(self) -> LeftOrders:
        """Return the orders to recover; looks up those whose outcome is unknown.

        Call it before the broker's book is read: the book then has what comes later.
        """
        key = self.connection.key
        runs = [left for left in left_open(self.objects, of_account=key) if left.account_key == key]
        found = {
            (left.run_id, one.intent.client_intent_id): self._found(left, one)
            for left in runs
            for one in left.orders
            if one.broker_order_id is None
        }
        return LeftOrders(runs, found)

    def recover(self, left: LeftOrders, open_orders: Iterable[BrokerOrder]) -> Recovered:
        """Book the new fills of the orders, and return what became of them.

        ``open_orders``: the broker's list. The marker of a run without open orders is removed.
        """
        listed = {order.broker_order_id: order for order in open_orders}
        runs = [self._as_they_are_now(one, left, listed) for one in left.runs]
        documents = self._documents_of({order_id for now in runs for order_id in now.ids})
        return Recovered.together([self._of_one_run(now, documents, listed) for now in runs])

    def _documents_of(self, ids: Collection[str]) -> Documents:
        """Return the ledger's documents of orders, {} where there is none, in one request."""
        found = self.ledger.ledger_documents(ids)
        return {order_id: found.get(order_id, {}) for order_id in ids}

    def _of_one_run(self, now: _Now, documents: Documents, listed: Mapping[str, BrokerOrder]) -> Recovered:
        left = now.left
        queried = {one: order for one, order in now.found.items() if _needs_executions(order, documents)}
        fills = executions(queried.values(), self.connection.broker)
        self._keep_executions(left, queried, fills)
        news = list(
            ledger_documents(
                [(one.intent, order) for one, order in queried.items()],
                fills,
                calendar=self.session.calendar,
                now=self.clock(),
            )
        )
        late = [late for document in news if (late := _came_late(document, documents))]
        booking = FillBooking(self.ledger, self.objects, self.log)
        booked = booking.book(news, trading_date=left.trading_date, run_id=left.run_id)
        if news:
            documents = {**documents, **self._documents_of(_ids(queried.values()))}
        nowhere = [one for one, order in now.orders.items() if order is None]
        unknown = {one for one in nowhere if not self._never_came(now, one)}
        known = {one: order for one, order in now.orders.items() if one not in unknown}
        self._forget(left, [one for one, order in known.items() if self._is_settled(order, fills, documents)])
        unlisted = [order for order in now.found.values() if order.broker_order_id not in listed]
        account = self.connection.account
        return Recovered(
            working=[
                *(
                    attempted(account or one.intent.broker_account_id, one.intent)
                    for one in now.orders
                    if one in unknown
                ),
                *working(account or left.account, unlisted, _strategies(now.orders)),
            ],
            seen=now.orders,
            missing=now.missing,
            late=[one for one in late if one.broker_order_id not in booked.missing],
            unkept=booked.unkept,
            documents={one: documents[one] for one in now.ids},
        )

    def _forget(self, left: LeftOpen, over: list[OpenOrder]) -> None:
        """Stop polling settled orders, and a run whose orders are all settled."""
        if len(over) == len(left.orders):
            run_key = f"runs/{left.trading_date.isoformat()}/{left.run_id}/"
            SharedOrders(self.connection).end(self.objects, run_key)
            forget(self.objects, left)
            self.log.event(
                "run_settled", f"every order of {left.run_id} is terminal and booked in the ledger"
            )
        elif over:
            note_over(self.objects, left, over)

    def _is_settled(
        self, order: BrokerOrder | None, fills: Mapping[str, list[BrokerFill]], documents: Documents
    ) -> bool:
        """Return whether an order needs no more polls; None is an order that never reached the broker.

        An order whose executions or ledger document differ is polled until an operator accepts the break:
        without the order the break would get another name.
        """
        if order is None:
            return True
        if not all(one.is_final for one in (order, *order.legs)):
            return False
        overfill = overfill_of(order, fills)
        if overfill and overfill_key(order, overfill) not in self.accepted.known.activities:
            return False
        filled = units_of(order.filled_qty)
        is_kept = units_of(documents[order.broker_order_id].get("filled_qty", 0.0)) == filled
        if is_kept and is_over(order, fills):
            return True
        accepted = self.accepted.known
        is_accepted = ("quantity_differs", order.broker_order_id) in accepted.orders
        return accepted.filled.get(order.broker_order_id) == filled or is_accepted

    def _keep_executions(
        self, left: LeftOpen, found: Mapping[OpenOrder, BrokerOrder], fills: Mapping[str, list[BrokerFill]]
    ) -> None:
        """Keep the executions by session, including those that the run has recorded."""
        orders = [(one.intent, order) for one, order in found.items()]
        table = fills_table(orders, fills, calendar=self.session.calendar, run_session=left.trading_date)
        keep_by_session(self.objects, left.run_id, table)

    def _as_they_are_now(self, run: LeftOpen, left: LeftOrders, listed: Mapping[str, BrokerOrder]) -> _Now:
        """Return the orders of one run as they are now.

        Few orders are looked up one by one; many are listed.
        """
        ids = {one: _id_of(run, one, left) for one in run.orders}
        unlisted = [order_id for order_id in ids.values() if order_id is not None and order_id not in listed]
        known = dict(listed)
        if len(unlisted) > _ASKED_ONE_BY_ONE:
            begun = self.connection.broker.orders_since(run.begun_at - CLOCK_MARGIN, sought=unlisted)
            known |= {order.broker_order_id: order for order in begun}
        orders = {
            one: None if order_id is None else known.get(order_id) or self._looked_up(one, order_id)
            for one, order_id in ids.items()
        }
        missing = (one for one, order_id in ids.items() if order_id is not None and orders[one] is None)
        return _Now(run, orders, frozenset(missing))

    def _looked_up(self, one: OpenOrder, order_id: str) -> BrokerOrder | None:
        """Look up one order that the broker once knew; log it where the broker no longer knows it."""
        try:
            return self.connection.broker.get_order_status(broker_order_id=order_id)
        except BrokerRejected as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
        intent_id = str(one.intent.client_intent_id)
        self.log.event(
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
            self.log.event(
                "order_mismatch",
                f"{message}. Look at it on the broker's dashboard.",
                severity="CRITICAL",
                intent_id=intent_id,
            )
        return bool(wrong)

    def _never_came(self, now: _Now, one: OpenOrder) -> bool:
        """Return whether an order that isn't found never reached the broker; log it if so.

        No lookup lags that long. An order whose outcome was only in doubt was looked up with retries before.
        An order that the broker once knew is polled until an operator accepts that it is missing.
        """
        left = now.left
        if one in now.missing:
            return ("missing_order", one.broker_order_id) in self.accepted.known.orders
        if one.status != "unresolved":
            return self.clock() - left.noted_at > _LAG
        age = self.clock() - left.begun_at
        if left.trading_date >= self.session.trading_date or age < _LONGEST_LAG:
            return False
        intent_id = str(one.intent.client_intent_id)
        message = f"{intent_id} of run {left.run_id} never reached the broker"
        self.log.event("order_never_came", message, severity="WARNING", intent_id=intent_id)
        return True


def _strategies(seen: Mapping[OpenOrder, BrokerOrder | None]) -> dict[str, str]:
    orders = [
        (order, one.intent.strategy_id)
        for one, head in seen.items()
        if head is not None
        for order in (head, *head.legs)
    ]
    replacing = {order.replaced_by: strategy for order, strategy in orders if order.replaced_by}
    return replacing | {order.broker_order_id: strategy for order, strategy in orders}


def _ids(orders: Iterable[BrokerOrder]) -> set[str]:
    return {order.broker_order_id for head in orders for order in (head, *head.legs)}


def _id_of(run: LeftOpen, one: OpenOrder, left: LeftOrders) -> str | None:
    if one.broker_order_id is not None:
        return one.broker_order_id
    found = left.found[run.run_id, one.intent.client_intent_id]
    return None if found is None else found.broker_order_id


def _came_late(document: Mapping[str, Any], before: Documents) -> LateFill | None:
    """Return the fill in a document that the ledger lacks, None where there is none."""
    kept = before[document["broker_order_id"]]
    units = units_of(document["filled_qty"]) - units_of(kept.get("filled_qty", 0.0))
    if units <= 0:
        return None
    return LateFill(
        broker_order_id=document["broker_order_id"],
        client_intent_id=document["client_intent_id"],
        symbol=document["symbol"],
        units=units if document["side"] == "buy" else -units,
        filled_at=datetime.fromisoformat(document["filled_at"]),
    )


def _needs_executions(order: BrokerOrder, documents: Documents) -> bool:
    """Return whether to request an order's executions: not while it works and all of them are known.

    A group works for as long as any of its orders does.
    """
    if all(one.is_final for one in (order, *order.legs)):
        return True
    filled = [one for one in (order, *order.legs) if one.filled_qty > 0]
    kept = ((one, documents[one.broker_order_id]) for one in filled)
    return any(
        document.get("filled_qty") != one.filled_qty or document.get(SESSION_IS_ESTIMATED) is True
        for one, document in kept
    )
