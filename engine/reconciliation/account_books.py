"""An account's two books as a sync has them: what the broker says, and what our ledger and records say.

The comparison itself is ``engine.reconciliation.breaks_found``'s. The first sync of an account that the
ledger knows nothing of takes the broker's positions over as the opening balance: there is nothing to compare
them with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa

from engine.accounts.connection import SEND_S, Connection
from engine.accounts.other_folders import SharedOrders
from engine.brokers.trading import Activities
from engine.context import RunContext
from engine.errors import DataUnavailable
from engine.ledger.documents import adjustment_document
from engine.model.breaks import Accepted, Break, BrokerBook, OwnBook, OwnOrder, units_of
from engine.model.orders import BrokerFill, BrokerOrder, BrokerPosition
from engine.model.quantity import UNITS
from engine.reconciliation.breaks_found import reconcile
from engine.reconciliation.finished_orders import RecentOrders, recent_orders
from engine.reconciliation.open_order_recovery import OpenOrderRecovery, active
from engine.reconciliation.unbooked import Unbooked, unbooked_among
from engine.record.journal import Journal
from engine.record.kept_adjustments import keep_adjustments
from engine.record.open_orders import OpenOrder
from engine.record.run_folder import BATCH, RESULTS, START, RunFolder
from engine.safety.recorded_ledger import recorded_order_ids
from engine.stores.protocols import SyncMark

OPENING = "opening_balance"
_MARGIN = timedelta(seconds=2)
"""Executions count from so long before the moment at which both books told the same: it is one of many."""
_LOOKED_BACK = timedelta(days=7)
_LOOKED_ON = "finished_orders_on"
"""Of the note of a clean comparison: the session in which orders that were over were looked at."""
_RECORD_LOOKED_BACK = timedelta(days=14)
_FOREIGN = frozenset({"manual_trade", "unbooked_order", "unknown_order"})
_NOT_YET = "is not finished, and what it sent is not in the ledger yet"


@dataclass(frozen=True, kw_only=True)
class BrokerSnapshot:
    """What the broker said of an account; ``asked_at``, by its own clock, is before anything was asked."""

    open_orders: Sequence[BrokerOrder]
    positions: Sequence[BrokerPosition]
    asked_at: datetime


@dataclass(frozen=True)
class Compared:
    """What comparing the books gave, and the mark to keep with the broker's; ``why_not`` it was not done.

    ``unbooked_trades``: how many orders that may be ours have filled in this session, and are in no ledger.
    """

    breaks: list[Break]
    mark: SyncMark
    why_not: str = ""
    unbooked_trades: int = 0


@dataclass(frozen=True)
class _Found:
    """What a sync has of the broker's side, and what earlier runs left; ``recent``: None if not asked for."""

    told: BrokerSnapshot
    left: OpenOrderRecovery
    news: Activities
    recent: RecentOrders | None = None
    unbooked: Unbooked = field(default_factory=lambda: Unbooked({}))

    @property
    def looked_after(self) -> set[str]:
        """The broker's ids of the orders that earlier runs left, and of their legs."""
        groups = ((order, *order.legs) for order in self.left.seen.values() if order is not None)
        return {order.broker_order_id for group in groups for order in group}


@dataclass(frozen=True)
class Books:
    """Our own book of an account as it was before a sync wrote anything."""

    context: RunContext
    connection: Connection
    trading_date: date
    mark: SyncMark | None
    positions: Mapping[str, int]
    clean_since: Mapping[str, Any] | None = None
    why_not: str = ""

    @classmethod
    def before(cls, context: RunContext, connection: Connection, trading_date: date) -> Books:
        """Read the ledger's positions and the mark of the last sync. Raises ``DataUnavailable``."""
        if not connection.account:
            return cls(
                context, connection, trading_date, None, {}, why_not="nobody has named the account yet"
            )
        mark = context.positions.sync_mark(connection.account)
        why_not = _why_not(context, connection)
        positions = {} if why_not else context.ledger.net_positions(connection.account, today=trading_date)
        clean_since = connection.notes.agent_document(f"reconciled-{connection.key}")
        return cls(context, connection, trading_date, mark, positions, clean_since, why_not)

    def compared(self, told: BrokerSnapshot, left: OpenOrderRecovery, *, at: datetime) -> Compared:
        """Compare the broker's book with the ledger; ``left`` has looked after what earlier runs left."""
        if self.why_not:
            return self._not_compared(at)
        is_opened = self.mark is None and self._is_opened(told, at)
        found = _Found(told, left, self._news(told))
        strangers = self._strangers(found)
        if strangers or found.news.corrected or not (is_opened or self._has_looked_at_finished):
            recent = self._recent(found, strangers)
            found = replace(found, recent=recent, unbooked=unbooked_among(strangers, recent.heads))
        trades = self._trades(found)
        if is_opened:
            return self._opened(told, trades, at)
        self._name_unknown(found.news)
        compared = self._laid_beside(found, at=at)
        if found.recent is None and compared.mark.open_breaks:
            recent = self._recent(found, strangers)
            if recent.changed:
                compared = self._laid_beside(replace(found, recent=recent), at=at)
        if compared.mark.open_breaks:
            self._check_sum()
        if not compared.mark.open_breaks and not trades:
            self._note_clean(told)
        return replace(compared, unbooked_trades=trades)

    def _check_sum(self) -> None:
        """Check that a difference is not of documents which another program put or deleted unnoticed.

        What is summed by a checkpoint is counted then. Raises ``DataUnavailable``.
        """
        account, ledger = self.connection.account, self.context.ledger
        summed = ledger.net_positions(account, today=self.trading_date)
        if ledger.net_positions(account, today=self.trading_date, counting=True) != summed:
            raise DataUnavailable(
                f"{ledger.place}: another program has put or deleted ledger documents of account {account} "
                f"in old sessions. They are summed up anew now, and nothing was compared: sync again."
            )

    def _opened(self, told: BrokerSnapshot, trades: int, at: datetime) -> Compared:
        """Return the comparison of an account whose opening balance was just taken over."""
        if not trades:
            self._note_clean(told)
            return Compared([], self._mark(at, 0))
        self.context.log.event(
            "unbooked_trades",
            f"account {self.connection.account} is new to this ledger, and {trades} of its orders of this "
            f"session have client ids that may be ours: they count for its daily limit",
            severity="WARNING",
            account=self.connection.account,
        )
        return Compared([], self._mark(at, 0), unbooked_trades=trades)

    def _strangers(self, found: _Found) -> frozenset[str]:
        """Return which of the orders that filled are in no ledger and among none that is looked after."""
        filled = {fill.broker_order_id for fill in found.news.fills} - found.looked_after
        known = self.context.ledger.ledger_documents(filled) if filled else {}
        return frozenset(filled - known.keys())

    def _trades(self, found: _Found) -> int:
        """Count this session's trades of orders that may be ours and are in no ledger, nor accepted."""
        if not found.unbooked.heads:
            return 0
        accepted = found.left.accepted.activities
        taken_in = {fill.broker_order_id for fill in found.news.fills if fill.fill_id in accepted}
        groups = {one: head for one, head in found.unbooked.heads.items() if one not in taken_in}
        heads = {head.broker_order_id for head in groups.values()}
        booked = self.context.ledger.ledger_documents(heads).keys()  # of a group, another order may be
        at_work = {head.broker_order_id for head in found.told.open_orders if active(head)}
        return Unbooked(groups).trades_of(
            self.trading_date, found.news.fills, found.left.calendar, besides=at_work | booked
        )

    def _laid_beside(self, found: _Found, *, at: datetime) -> Compared:
        """Compare both books."""
        told, left, news = found.told, found.left, found.news
        changed = found.recent.changed if found.recent else []
        theirs = BrokerBook(
            positions={position.symbol: position.qty for position in told.positions},
            open_orders=told.open_orders,
            recent_orders=[
                *(order for order in left.seen.values() if order is not None),
                *(order for _, order in changed),
            ],
            fills=news.fills,
            corporate_actions=news.corporate_actions,
            asked_at=told.asked_at,
        )
        ours = OwnBook(
            account=self.connection.account,
            positions=self.positions,
            late=left.late,
            orders=[
                *(_own_order(one, order, left) for one, order in left.seen.items()),
                *(own for own, _ in changed),
                *self._elsewhere(),
            ],
            known_orders=self._known(theirs.fills, left),
        )
        breaks = reconcile(theirs, ours, at=at)
        if any(not found.is_repaired for found in breaks):
            open_ones = {head.broker_order_id: head for head in told.open_orders}
            ours = replace(
                ours,
                orders=[_as_accepted(one, left.accepted) for one in ours.orders],
                known_orders=ours.known_orders | self._ours_of(told.open_orders),
                accepted=left.accepted,
                recorded=self._recorded(breaks),
                unbooked=unbooked_among(open_ones, told.open_orders).client_ids | found.unbooked.client_ids,
            )
            breaks = reconcile(theirs, ours, at=at)
        open_breaks = sum(not found.is_repaired for found in breaks)
        return Compared(breaks, self._mark(at, open_breaks))

    def _is_opened(self, told: BrokerSnapshot, at: datetime) -> bool:
        """Take the broker's positions over as the opening balance, where the ledger knows nothing."""
        if self.positions or self.context.ledger.has_documents(self.connection.account):
            return False
        documents = [
            adjustment_document(
                account=self.connection.account,
                symbol=position.symbol,
                qty=units_of(position.qty) / UNITS,
                kind=OPENING,
                by="engine",
                why="the first sync of an account that the ledger knew nothing of",
                at=at,
                trading_date=self.trading_date,
                evidence={"account_key": self.connection.key},
            )
            for position in told.positions
        ]
        if documents:
            self.connection.lease.hold_for(SEND_S)  # or another job may have opened it, and traded, meanwhile
            keep_adjustments(self.context.objects, documents)
            self.context.ledger.write_ledger(documents)
            held = ", ".join(f"{position.qty:g} {position.symbol}" for position in told.positions[:5])
            more = ", …" if len(documents) > 5 else ""
            self.context.log.event(
                OPENING,
                f"account {self.connection.account} is new here and holds {held}{more} already: taken "
                f"over as its opening balance",
                severity="WARNING",
                account=self.connection.account,
            )
        return True

    def _not_compared(self, at: datetime) -> Compared:
        before = 0 if self.mark is None else self.mark.open_breaks
        return Compared([], self._mark(at, before, is_clean=False), self.why_not)

    def _mark(self, at: datetime, open_breaks: int, *, is_clean: bool = True) -> SyncMark:
        clean_on = None if self.mark is None else self.mark.reconciled_on
        return SyncMark(
            synced_at=at,
            trading_date=self.trading_date,
            reconciled_on=self.trading_date if is_clean and not open_breaks else clean_on,
            open_breaks=open_breaks,
        )

    def _news(self, told: BrokerSnapshot) -> Activities:
        """Give what came since the last comparison that found nothing: both books have what was before."""
        since = told.asked_at - _LOOKED_BACK
        if self.clean_since is not None:
            since = datetime.fromisoformat(self.clean_since["broker_time"]) - _MARGIN
        found = self.connection.broker.activities(after=since)
        fills = [fill for fill in found.fills if fill.filled_at >= since]
        return Activities(fills, found.corporate_actions, found.corrected)

    @property
    def _has_looked_at_finished(self) -> bool:
        """Whether a clean comparison of this session has looked at the orders that were over."""
        return (self.clean_since or {}).get(_LOOKED_ON) == self.trading_date.isoformat()

    def _recent(self, found: _Found, strangers: frozenset[str]) -> RecentOrders:
        """Return the orders of the last sessions, and those that the broker changed after they were over."""
        elsewhere = {own.client_intent_id for own in self._elsewhere()}
        return recent_orders(
            self.context,
            self.connection,
            since=found.told.asked_at - _LOOKED_BACK,
            named=(found.news.corrected | strangers) - found.looked_after,
            besides=found.looked_after | elsewhere,
        )

    def _name_unknown(self, news: Activities) -> None:
        """Log the activities of types that we know nothing of: they may have changed a position."""
        for one in news.corporate_actions:
            if not one.is_known:
                of_symbol = f" of {one.symbol}" if one.symbol else ""
                self.context.log.event(
                    "activity_unknown",
                    f"account {self.connection.account}: the broker lists an activity {one.kind}{of_symbol} "
                    f"({one.activity_id}), a type that is not known here. Where it changed a position the "
                    f"comparison says so; look it up on the broker's dashboard.",
                    severity="WARNING",
                    account=self.connection.account,
                    symbol=one.symbol,
                )

    def _note_clean(self, told: BrokerSnapshot) -> None:
        """Keep the moment, by the broker's clock, up to which both books tell the same."""
        self.connection.notes.replace_agent_document(
            self._note,
            {"broker_time": told.asked_at.isoformat(), _LOOKED_ON: self.trading_date.isoformat()},
            replacing=self.clean_since,
        )

    @property
    def _note(self) -> str:
        return f"reconciled-{self.connection.key}"

    def _known(self, fills: Sequence[BrokerFill], left: OpenOrderRecovery) -> frozenset[str]:
        """Give which of the orders that filled are ours, by the ledger."""
        seen = {order.broker_order_id for order in left.seen.values() if order is not None}
        return frozenset(
            self.context.ledger.ledger_documents({fill.broker_order_id for fill in fills} - seen)
        )

    def _ours_of(self, open_orders: Sequence[BrokerOrder]) -> set[str]:
        """Return which open orders, and legs of them, the ledger has as this account's."""
        ids = {order.broker_order_id for head in open_orders for order in (head, *head.legs)}
        documents = self.context.ledger.ledger_documents(ids)
        account = self.connection.account
        return {id_ for id_, one in documents.items() if one.get("broker_account_id") == account}

    def _recorded(self, breaks: Sequence[Break]) -> frozenset[str]:
        """Return which orders that look like another's the record of recent sessions has as sent."""
        foreign = {found.broker_order_id for found in breaks if found.kind in _FOREIGN}
        if not foreign:
            return frozenset()
        since = self.trading_date - _RECORD_LOOKED_BACK
        recorded = recorded_order_ids(self.context.objects, newest=self.trading_date, since=since)
        return frozenset(foreign & recorded)

    def _elsewhere(self) -> list[OwnOrder]:
        """Give the orders that runs of other data folders have left open: they are ours as well."""
        ids = SharedOrders(self.connection).resting_elsewhere(self.context.objects)
        return [
            OwnOrder(client_intent_id=one, broker_order_id="", symbol="", side="", qty=None) for one in ids
        ]


def _why_not(context: RunContext, connection: Connection) -> str:
    """Return which run has sent orders of the account that the ledger doesn't know yet, and what to do."""
    for run in context.runs.unfinished():
        if RESULTS not in run.names() and connection.account in _accounts_attempted(run):
            return f"run {run.run_id} {_NOT_YET}. The next live run finishes it, once the account answers"
    for entry in SharedOrders(connection).sending(context.objects):
        if not entry.is_own:
            return (
                f"{entry.run_key} of another data folder, {entry.folder}, {_NOT_YET}. Start a live run "
                f"there, or, where that folder is lost: execution-engine stores forget-folder "
                f"{entry.folder} --by NAME --why TEXT"
            )
        if START not in context.runs.at(entry.run_key).names():
            return (
                f"{entry.run_key} {_NOT_YET}, and its folder is gone. Put it back from where it was moved, "
                f"and start a live run; or, where it is lost: execution-engine stores forget-folder "
                f"{entry.folder} --by NAME --why TEXT"
            )
    return ""


def _accounts_attempted(run: RunFolder) -> set[str]:
    """Return the accounts for which a run may have sent orders."""
    rows = sorted(Journal(run).attempted())
    if not rows:
        return set()
    accounts = run.table(BATCH, ["broker_account_id"])["broker_account_id"].cast(pa.string())
    return set(accounts.take(pa.array(rows)).to_pylist())


def _as_accepted(order: OwnOrder, accepted: Accepted) -> OwnOrder:
    """Return an order of ours as it was last accepted to have filled; its price is unknown then."""
    filled = accepted.filled.get(order.broker_order_id or order.client_intent_id)
    if filled is None or filled == units_of(order.filled_qty):
        return order
    return replace(order, filled_qty=filled / UNITS, filled_avg_price=None)


def _own_order(one: OpenOrder, order: BrokerOrder | None, left: OpenOrderRecovery) -> OwnOrder:
    """Say what our records have of an order that an earlier run left."""
    filled = left.document(order) if order else {}
    return OwnOrder(
        client_intent_id=str(one.intent.client_intent_id),
        broker_order_id=order.broker_order_id if order else one.broker_order_id or "",
        symbol=one.intent.symbol,
        side=one.intent.side,
        qty=one.intent.qty,
        filled_qty=float(filled.get("filled_qty", 0.0)),
        filled_avg_price=filled.get("filled_avg_price"),
        is_open=one in left.missing or (order is not None and not order.is_final),
        looked_up="asked for by its id, it knows none" if one in left.missing else "",
    )
