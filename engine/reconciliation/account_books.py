"""An account's two books in a sync: the broker's, and that of our ledger and records.

``engine.reconciliation.breaks_found`` compares them. The first sync of an account without ledger documents
books the broker's positions as the opening balance: there is nothing to compare them with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

from engine.accounts.connection import SEND_S, Connection
from engine.accounts.other_folders import SharedOrders
from engine.brokers.trading import Activities
from engine.errors import DataUnavailable
from engine.model.breaks import Break, BrokerBook, OwnBook, OwnOrder, counted
from engine.model.orders import BrokerFill, BrokerOrder, BrokerPosition
from engine.reconciliation.accepted import Acceptances
from engine.reconciliation.breaks_found import reconcile
from engine.reconciliation.comparable import why_not_comparable
from engine.reconciliation.finished_orders import RecentOrders, recent_orders
from engine.reconciliation.open_order_recovery import Recovered
from engine.reconciliation.opening_balance import (
    OPENING,
    Booking,
    corrections,
    may_have_twice,
    opening_documents,
    units_by_symbol,
)
from engine.reconciliation.own_orders import as_accepted, own_order
from engine.reconciliation.session import Session
from engine.reconciliation.stores import SyncStores
from engine.reconciliation.unbooked import Unbooked, unbooked_among
from engine.reconciliation.working_orders import active
from engine.record.kept_adjustments import keep_adjustments
from engine.safety.recorded_ledger import recorded_order_ids
from engine.stores.protocols import SyncMark

_MARGIN = timedelta(seconds=2)
"""Executions are read from this long before the time at which both books last agreed."""
_LOOKED_BACK = timedelta(days=7)
_LOOKED_ON = "finished_orders_on"
"""Field in the note of a clean comparison: the session in which terminal orders were compared."""
_RECORD_LOOKED_BACK = timedelta(days=14)
_FOREIGN = frozenset({"manual_trade", "unbooked_order", "unknown_order"})


@dataclass(frozen=True, kw_only=True)
class BrokerSnapshot:
    """What the broker reports of an account; ``asked_at``, by its clock, is before the first request."""

    open_orders: Sequence[BrokerOrder]
    positions: Sequence[BrokerPosition]
    asked_at: datetime


@dataclass(frozen=True)
class Compared:
    """The result of comparing the books, and the mark to keep with the broker's book.

    ``why_not``: why they were not compared, "" where they were. ``unbooked_trades``: how many orders that may
    be ours have filled in this session and are in no ledger.
    """

    breaks: list[Break]
    mark: SyncMark
    why_not: str = ""
    unbooked_trades: int = 0


@dataclass(frozen=True)
class _Found:
    """The broker's side in a sync, and the orders that earlier runs left; ``recent``: None if not read."""

    snapshot: BrokerSnapshot
    left: Recovered
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
    """Our own book of an account before a sync wrote anything."""

    stores: SyncStores
    connection: Connection
    session: Session
    accepted: Acceptances
    mark: SyncMark | None
    positions: Mapping[str, int]
    clean_since: Mapping[str, Any] | None = None
    why_not: str = ""

    @classmethod
    def before(
        cls, stores: SyncStores, connection: Connection, session: Session, accepted: Acceptances
    ) -> Books:
        """Read the ledger's positions and the mark of the last sync. Raises ``DataUnavailable``."""
        account, today = connection.account, session.trading_date
        if not account:
            why_not = "the settings do not name the account"
            return cls(stores, connection, session, accepted, None, {}, why_not=why_not)
        mark = stores.positions.sync_mark(account)
        why_not = why_not_comparable(stores.objects, connection)
        positions = {} if why_not else stores.ledger.net_positions(account, today=today)
        clean_since = connection.notes.agent_document(_note_of(connection))
        return cls(stores, connection, session, accepted, mark, positions, clean_since, why_not)

    def compared(self, snapshot: BrokerSnapshot, left: Recovered, *, at: datetime) -> Compared:
        """Compare the broker's book with the ledger; ``left`` has recovered the orders of earlier runs."""
        if self.why_not:
            return self._not_compared(at)
        is_opened = self.mark is None and self._is_opened(snapshot, at)
        found = _Found(snapshot, left, self._news(snapshot))
        strangers = self._strangers(found)
        if strangers or found.news.corrected or not (is_opened or self._has_looked_at_finished):
            recent = self._recent(found, strangers)
            found = replace(found, recent=recent, unbooked=unbooked_among(strangers, recent.heads))
        trades = self._trades(found)
        if is_opened:
            return self._opened(snapshot, trades, at)
        self._log_unknown_activities(found.news)
        compared = self._reconciled(found, at=at)
        if found.recent is None and compared.mark.open_breaks:
            recent = self._recent(found, strangers)
            if recent.changed:
                found = replace(found, recent=recent)
                compared = self._reconciled(found, at=at)
        if compared.mark.open_breaks:
            self._check_sum()
            if (corrected := self._with_opening_corrected(compared.breaks, at)) is not self:
                compared = corrected._reconciled(found, at=at)
        if not compared.mark.open_breaks and not trades:
            self._note_clean(snapshot)
        return replace(compared, unbooked_trades=trades)

    def _check_sum(self) -> None:
        """Check that the difference does not come from documents that another program wrote or deleted.

        The documents that a checkpoint sums are counted for it. Raises ``DataUnavailable``.
        """
        account, ledger = self.connection.account, self.stores.ledger
        summed = ledger.net_positions(account, today=self.session.trading_date)
        if ledger.net_positions(account, today=self.session.trading_date, counting=True) != summed:
            raise DataUnavailable(
                f"{ledger.place}: another program has written or deleted ledger documents of account "
                f"{account} in old sessions. They are summed up anew now, and nothing was compared: "
                f"sync again."
            )

    def _opened(self, snapshot: BrokerSnapshot, trades: int, at: datetime) -> Compared:
        """Return the comparison of an account whose opening balance was just booked."""
        if not trades:
            self._note_clean(snapshot)
            return Compared([], self._mark(at, 0))
        self.stores.log.event(
            "unbooked_trades",
            f"account {self.connection.account} is new to this ledger, and {trades} of its orders of this "
            f"session have client ids that may be ours: they count for its daily limit",
            severity="WARNING",
            account=self.connection.account,
        )
        return Compared([], self._mark(at, 0), unbooked_trades=trades)

    def _strangers(self, found: _Found) -> frozenset[str]:
        """Return the filled orders that are neither in the ledger nor among those of earlier runs."""
        filled = {fill.broker_order_id for fill in found.news.fills} - found.looked_after
        known = self.stores.ledger.ledger_documents(filled) if filled else {}
        return frozenset(filled - known.keys())

    def _trades(self, found: _Found) -> int:
        """Count this session's trades of orders that may be ours and are neither booked nor accepted."""
        if not found.unbooked.heads:
            return 0
        accepted = self.accepted.known.activities
        accepted_ids = {fill.broker_order_id for fill in found.news.fills if fill.fill_id in accepted}
        groups = {one: head for one, head in found.unbooked.heads.items() if one not in accepted_ids}
        heads = {head.broker_order_id for head in groups.values()}
        booked = self.stores.ledger.ledger_documents(heads).keys()  # another order of the group may be
        at_work = {head.broker_order_id for head in found.snapshot.open_orders if active(head)}
        return Unbooked(groups).trades_of(
            self.session.trading_date, found.news.fills, self.session.calendar, besides=at_work | booked
        )

    def _reconciled(self, found: _Found, *, at: datetime) -> Compared:
        """Compare both books."""
        snapshot, left, news = found.snapshot, found.left, found.news
        changed = found.recent.changed if found.recent else []
        theirs = BrokerBook(
            positions={position.symbol: position.qty for position in snapshot.positions},
            open_orders=snapshot.open_orders,
            recent_orders=[
                *(order for order in left.seen.values() if order is not None),
                *(order for _, order in changed),
            ],
            fills=news.fills,
            corporate_actions=news.corporate_actions,
            asked_at=snapshot.asked_at,
        )
        ours = OwnBook(
            account=self.connection.account,
            positions=self.positions,
            late=left.late,
            orders=[
                *(own_order(one, order, left) for one, order in left.seen.items()),
                *(own for own, _ in changed),
                *self._elsewhere(),
            ],
            known_orders=self._known(theirs.fills, left),
        )
        breaks = reconcile(theirs, ours, at=at)
        if any(not found.is_repaired for found in breaks):
            open_ones = {head.broker_order_id: head for head in snapshot.open_orders}
            ours = replace(
                ours,
                orders=[as_accepted(one, self.accepted.known) for one in ours.orders],
                known_orders=ours.known_orders | self._ours_of(snapshot.open_orders),
                accepted=self.accepted.known,
                recorded=self._recorded(breaks),
                unbooked=unbooked_among(open_ones, snapshot.open_orders).client_ids
                | found.unbooked.client_ids,
            )
            breaks = reconcile(theirs, ours, at=at)
        open_breaks = sum(not found.is_repaired for found in breaks)
        return Compared(breaks, self._mark(at, open_breaks))

    def _is_opened(self, snapshot: BrokerSnapshot, at: datetime) -> bool:
        """Book the opening balance if the ledger has no document of the account; return whether so."""
        if self.positions or self.stores.ledger.has_documents(self.connection.account):
            return False
        documents = opening_documents(
            snapshot.positions,
            Booking(self.connection.account, at, self.session.trading_date),
            account_key=self.connection.key,
            asked_at=snapshot.asked_at,
        )
        if documents:
            self.connection.lease.hold_for(SEND_S)  # or another job may have opened it, and traded, meanwhile
            keep_adjustments(self.stores.objects, documents)
            self.stores.ledger.write_ledger(documents)
            held = ", ".join(f"{position.qty:g} {position.symbol}" for position in snapshot.positions[:5])
            more = ", …" if len(documents) > 5 else ""
            self.stores.log.event(
                OPENING,
                f"account {self.connection.account} is new here and already holds {held}{more}: booked "
                f"as its opening balance",
                severity="WARNING",
                account=self.connection.account,
            )
        return True

    def _with_opening_corrected(self, breaks: Sequence[Break], at: datetime) -> Books:
        """Return the book once its opening balance has no more what documents have that were booked later."""
        account, ledger = self.connection.account, self.stores.ledger
        if not may_have_twice(breaks) or not ledger.adjustments(account, since=date.min):
            return self
        documents = corrections(
            ledger.account_documents(account, since=date.min),
            breaks,
            Booking(account, at, self.session.trading_date),
        )
        if not documents:
            return self
        self.connection.lease.hold_for(SEND_S)
        ledger.write_ledger(documents)
        self.stores.log.event(
            OPENING,
            f"the opening balance of account {account} had already what was booked after it, in "
            f"{counted(len(documents), 'document')}: it is corrected by that",
            severity="WARNING",
            account=account,
        )
        corrected = Counter(dict(self.positions))
        corrected.update(units_by_symbol(documents))
        return replace(self, positions=corrected)

    def _not_compared(self, at: datetime) -> Compared:
        before = 0 if self.mark is None else self.mark.open_breaks
        return Compared([], self._mark(at, before, is_clean=False), self.why_not)

    def _mark(self, at: datetime, open_breaks: int, *, is_clean: bool = True) -> SyncMark:
        clean_on = None if self.mark is None else self.mark.reconciled_on
        return SyncMark(
            synced_at=at,
            trading_date=self.session.trading_date,
            reconciled_on=self.session.trading_date if is_clean and not open_breaks else clean_on,
            open_breaks=open_breaks,
        )

    def _news(self, snapshot: BrokerSnapshot) -> Activities:
        """Return the activities since the last clean comparison: both books have the earlier ones."""
        since = snapshot.asked_at - _LOOKED_BACK
        if self.clean_since is not None:
            since = datetime.fromisoformat(self.clean_since["broker_time"]) - _MARGIN
        found = self.connection.broker.activities(after=since)
        fills = [fill for fill in found.fills if fill.filled_at >= since]
        return Activities(fills, found.corporate_actions, found.corrected)

    @property
    def _has_looked_at_finished(self) -> bool:
        """Whether a clean comparison of this session has compared the terminal orders."""
        return (self.clean_since or {}).get(_LOOKED_ON) == self.session.trading_date.isoformat()

    def _recent(self, found: _Found, strangers: frozenset[str]) -> RecentOrders:
        """Return the orders of the last sessions, and the terminal ones that the broker changed."""
        elsewhere = {own.client_intent_id for own in self._elsewhere()}
        return recent_orders(
            self.stores.ledger,
            self.connection,
            since=found.snapshot.asked_at - _LOOKED_BACK,
            named=(found.news.corrected | strangers) - found.looked_after,
            besides=found.looked_after | elsewhere,
        )

    def _log_unknown_activities(self, news: Activities) -> None:
        """Log the activities of unknown types: they may have changed a position."""
        for one in news.corporate_actions:
            if not one.is_known:
                of_symbol = f" of {one.symbol}" if one.symbol else ""
                self.stores.log.event(
                    "activity_unknown",
                    f"account {self.connection.account}: the broker lists an activity {one.kind}{of_symbol} "
                    f"({one.activity_id}), a type that is not known here. If it changed a position, the "
                    f"comparison reports a break; look it up on the broker's dashboard.",
                    severity="WARNING",
                    account=self.connection.account,
                    symbol=one.symbol,
                )

    def _note_clean(self, snapshot: BrokerSnapshot) -> None:
        """Keep the time, by the broker's clock, up to which both books agree."""
        self.connection.notes.replace_agent_document(
            _note_of(self.connection),
            {"broker_time": snapshot.asked_at.isoformat(), _LOOKED_ON: self.session.trading_date.isoformat()},
            replacing=self.clean_since,
        )

    def _known(self, fills: Sequence[BrokerFill], left: Recovered) -> frozenset[str]:
        """Return the filled orders that the ledger has as ours."""
        seen = {order.broker_order_id for order in left.seen.values() if order is not None}
        return frozenset(self.stores.ledger.ledger_documents({fill.broker_order_id for fill in fills} - seen))

    def _ours_of(self, open_orders: Sequence[BrokerOrder]) -> set[str]:
        """Return the open orders and legs that the ledger has as this account's."""
        ids = {order.broker_order_id for head in open_orders for order in (head, *head.legs)}
        documents = self.stores.ledger.ledger_documents(ids)
        account = self.connection.account
        return {id_ for id_, one in documents.items() if one.get("broker_account_id") == account}

    def _recorded(self, breaks: Sequence[Break]) -> frozenset[str]:
        """Return the seemingly foreign orders that the record of recent sessions has as sent."""
        foreign = {found.broker_order_id for found in breaks if found.kind in _FOREIGN}
        if not foreign:
            return frozenset()
        since = self.session.trading_date - _RECORD_LOOKED_BACK
        recorded = recorded_order_ids(self.stores.objects, newest=self.session.trading_date, since=since)
        return frozenset(foreign & recorded)

    def strategies_elsewhere(self) -> dict[str, str]:
        """Return the strategies of orders that runs of other data folders left open, by client id.

        A strategy is "" where an earlier version of the engine left the order.
        """
        return SharedOrders(self.connection).resting_elsewhere(self.stores.objects)

    def _elsewhere(self) -> list[OwnOrder]:
        """Return the orders that runs of other data folders left open: they are ours, too."""
        return [
            OwnOrder(client_intent_id=one, broker_order_id="", symbol="", side="", qty=None)
            for one in self.strategies_elsewhere()
        ]


def _note_of(connection: Connection) -> str:
    """Return the name of the note of an account's last clean comparison."""
    return f"reconciled-{connection.key}"
