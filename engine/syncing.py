"""Before a live run decides: what the broker says, brought into the stores.

Read in this order: open orders, positions, fills. What fills in between is then counted twice, as working and
as held, rather than missed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from engine.brokers.alpaca_orders import differences
from engine.errors import DataUnavailable
from engine.late_fills import keep
from engine.ledger import COUNTS_AS_TRADE
from engine.open_orders import LeftOpen, OpenOrder, forget, left_open
from engine.orders import BrokerFill, BrokerOrder, BrokerPosition
from engine.settling import executions, fills_table, is_over, ledger_documents, write_ledger
from engine.venue import SEND_S, Venue
from engine.world import World

Working = tuple[str, str, str, float]
_WORKING = ("broker_account_id", "symbol", "side", "remaining_qty")
_CLOCK_MARGIN = timedelta(seconds=1)
_LAG, _LONGEST_LAG = timedelta(minutes=1), timedelta(hours=1)


@dataclass(frozen=True)
class Session:
    """The session that it is now, of the calendar that says so."""

    trading_date: date
    calendar: str


@dataclass(frozen=True)
class Synced:
    """What the broker said.

    ``account`` is the name of the keys' account, "" where nobody named it, and ``positions`` how many it has.
    ``working_orders`` as in ``RiskInputs``. ``counted_there`` is how many of them the ledger counts in this
    session already: each is one trade, not two. ``broker_time`` is the broker's own.
    """

    account: str
    positions: int
    working_orders: pd.DataFrame
    counted_there: int
    broker_time: datetime


def sync(world: World, venue: Venue, session: Session, accounts: Sequence[str] = ()) -> Synced:
    """Bring positions and late fills from the broker into the stores; gives what works there.

    ``accounts`` are those of a batch, if there is one. Raises ``EngineError`` where any of it fails: nothing
    of the account is known then.
    """
    account = _account(venue, accounts)
    broker_time = venue.broker.get_clock().timestamp
    left = _Left(world, venue, session, account)
    left.look_for_unknown()
    open_orders = venue.broker.open_orders()
    positions = venue.broker.positions()
    unlisted = left.look_after(open_orders)
    venue.lease.hold_for(SEND_S)  # somebody else's book may be newer by now
    if account:
        _keep_positions(world, account, positions)
    world.log.event(
        "synced",
        f"{len(positions)} positions and {len(open_orders)} open orders of {account or 'the account'} read "
        f"from the broker",
    )
    working = [*(_working(account, open_orders) if account else []), *unlisted]
    return Synced(
        account,
        len(positions),
        pd.DataFrame(working, columns=list(_WORKING)),
        _counted_there(world, session, open_orders),
        broker_time,
    )


def _account(venue: Venue, accounts: Sequence[str]) -> str:
    """Give the name under which the keys' account goes; "" where an empty batch names none."""
    if venue.account is not None:
        return venue.account
    if not accounts:
        return ""
    if len(accounts) == 1:
        return accounts[0]
    raise DataUnavailable(
        f"the keys are of one account, and the batch names {len(accounts)}: {', '.join(accounts[:5])}. Set "
        f"EXEC_BROKER_ACCOUNT_ID to the name that intents give this account, and drop the files again."
    )


def _keep_positions(world: World, account: str, positions: Iterable[BrokerPosition]) -> None:
    """Make these the account's book; a symbol that is in the store and not among them becomes 0."""
    now = pd.Timestamp(world.clock())
    held = {position.symbol: position for position in positions}
    before = world.positions.positions([account], as_of=now)["symbol"].dropna().tolist()
    gone = {symbol: BrokerPosition(symbol=symbol, qty=0.0) for symbol in before}
    rows = [
        (account, symbol, position.qty, position.avg_price, position.market_value)
        for symbol, position in {**gone, **held}.items()
    ]
    if rows:
        columns = ["broker_account_id", "symbol", "qty", "avg_price", "market_value"]
        frame = pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[2:], "float64"))
        world.positions.load_positions(frame, updated_at=now.to_pydatetime())


def _working(account: str, orders: Iterable[BrokerOrder]) -> list[Working]:
    """Give what may still fill, one row a group: the entry, or once that has filled the larger exit."""
    active = filter(None, map(_active, orders))
    return [(account, order.symbol, order.side, _remaining(order)) for order in active]


def _active(entry: BrokerOrder) -> BrokerOrder | None:
    """Give the order of a group that may fill: a bracket's entry before its exits, of exits the larger."""
    exits = [leg for leg in entry.legs if not leg.is_final]
    if not entry.is_final:
        exits = [entry, *(leg for leg in exits if leg.side == entry.side)]
    return max(exits, key=_size) if exits else None


def _size(order: BrokerOrder) -> float:
    remaining = _remaining(order)
    return math.inf if math.isnan(remaining) else remaining


def _remaining(order: BrokerOrder) -> float:
    """Give the shares that may still fill; NaN, which makes the symbol unavailable, where nobody knows."""
    return math.nan if order.qty is None else order.qty - order.filled_qty


def _counted_there(world: World, session: Session, open_orders: Iterable[BrokerOrder]) -> int:
    """Count the trades of this session in the ledger whose order, or group of orders, still works."""
    working = [entry for entry in open_orders if _active(entry)]
    filled = [order for entry in working for order in (entry, *entry.legs) if order.filled_qty > 0]
    documents = (world.ledger.ledger_document(order.broker_order_id) for order in filled)
    today = session.trading_date.isoformat()
    return sum(
        document is not None
        and document.get("trading_date") == today
        and document.get(COUNTS_AS_TRADE) is not False
        for document in documents
    )


@dataclass(frozen=True)
class _Left:
    """Looks after what earlier runs left open."""

    world: World
    venue: Venue
    session: Session
    account: str
    asked: dict[tuple[str, str | None], BrokerOrder | None] = field(default_factory=dict)

    def look_for_unknown(self) -> None:
        """Ask for orders whose outcome is unknown, before the book is read: what comes later is in it."""
        for left in left_open(self.world.objects):
            for one in left.orders:
                if one.broker_order_id is None:
                    self.asked[left.run_id, one.intent.client_intent_id] = self._found(left, one)

    def look_after(self, open_orders: Iterable[BrokerOrder]) -> list[Working]:
        """Bring what filled meanwhile into the ledger; gives what is still unknown, as working orders.

        A run with nothing open any more is forgotten.
        """
        known = {order.client_order_id: order for order in open_orders}
        return [row for left in left_open(self.world.objects) for row in self._of_one_run(left, known)]

    def _of_one_run(self, left: LeftOpen, known: dict[str, BrokerOrder]) -> list[Working]:
        now = {one: self._as_it_is_now(left, one, known) for one in left.orders}
        found = {one: order for one, order in now.items() if order is not None}
        fills = executions(found.values(), self.venue.broker)
        self._keep_executions(left, found, fills)
        documents = ledger_documents(
            [(one.intent, order) for one, order in found.items()],
            fills,
            calendar=self.session.calendar,
            now=self.world.clock(),
        )
        write_ledger(self.world, list(documents))
        unknown = [one for one, order in now.items() if order is None and not self._never_came(left, one)]
        if not unknown and all(is_over(order, fills) for order in found.values()):
            forget(self.world.objects, left)
            self.world.log.event("run_settled", f"every order of {left.run_id} is over, and in the ledger")
        unlisted = [order for order in found.values() if order.client_order_id not in known]
        return [
            *(self._as_working(one) for one in unknown),
            *_working(self.account or left.orders[0].intent.broker_account_id, unlisted),
        ]

    def _keep_executions(
        self, left: LeftOpen, found: Mapping[OpenOrder, BrokerOrder], fills: Mapping[str, list[BrokerFill]]
    ) -> None:
        """Keep the executions, those that the run has recorded among them, by the sessions they were in."""
        orders = [(one.intent, order) for one, order in found.items()]
        table = fills_table(orders, fills, self.session.calendar)
        sessions = table["trading_date"].cast(pa.string())
        for session in sessions.unique().to_pylist():
            late = table.filter(pc.equal(sessions, session))
            keep(self.world.objects, date.fromisoformat(session), left.run_id, late)

    def _as_it_is_now(
        self, left: LeftOpen, one: OpenOrder, known: dict[str, BrokerOrder]
    ) -> BrokerOrder | None:
        intent_id = str(one.intent.client_intent_id)
        if one.broker_order_id is not None:
            return known.get(intent_id) or self.venue.broker.get_order_status(
                broker_order_id=one.broker_order_id
            )
        found = self.asked[left.run_id, one.intent.client_intent_id]
        if found is None:
            return None
        return known.get(intent_id) or self.venue.broker.get_order_status(
            broker_order_id=found.broker_order_id
        )

    def _found(self, left: LeftOpen, one: OpenOrder) -> BrokerOrder | None:
        found = self.venue.broker.find_order(client_order_id=str(one.intent.client_intent_id))
        return None if found is None or self._is_anothers(left, one, found) else found

    def _is_anothers(self, left: LeftOpen, one: OpenOrder, found: BrokerOrder) -> bool:
        """Tell whether an order under the id of one whose outcome is unknown isn't that one, and say so."""
        taken_in = found.created_at or found.submitted_at
        wrong = differences(one.intent, found)
        if taken_in is None or taken_in < left.begun_at - _CLOCK_MARGIN:
            wrong = f"it is of {taken_in}, and the run of {left.begun_at}"
        if wrong:
            intent_id = str(one.intent.client_intent_id)
            message = (
                f"order {found.broker_order_id} has the id of intent {intent_id} and is another: {wrong}"
            )
            self.world.log.event(
                "order_mismatch",
                f"{message}. Look at it on the broker's dashboard.",
                severity="CRITICAL",
                intent_id=intent_id,
            )
        return bool(wrong)

    def _never_came(self, left: LeftOpen, one: OpenOrder) -> bool:
        """Tell whether an order that isn't found will never be, and say so: no lookup lags for so long.

        One that was only in doubt was looked for with patience before.
        """
        if one.status != "unresolved":
            return self.world.clock() - left.noted_at > _LAG
        age = self.world.clock() - left.begun_at
        if left.trading_date >= self.session.trading_date or age < _LONGEST_LAG:
            return False
        intent_id = str(one.intent.client_intent_id)
        message = f"{intent_id} of run {left.run_id} never came to the broker"
        self.world.log.event("order_never_came", message, severity="WARNING", intent_id=intent_id)
        return True

    def _as_working(self, unknown: OpenOrder) -> Working:
        """Give an order whose outcome is unknown at its full quantity, for as long as it may be there."""
        intent = unknown.intent
        qty = math.nan if intent.qty is None else intent.qty
        return self.account or intent.broker_account_id, intent.symbol, intent.side, qty
