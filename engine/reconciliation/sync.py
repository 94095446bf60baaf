"""Sync before a live run decides: bring the broker's orders, positions and fills into the stores.

They are read in this order: open orders, positions, fills. What fills in between is counted twice, as working
and as held, rather than missed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pandas as pd

from engine.accounts.connection import SEND_S, Connection, Connections
from engine.context import RunContext
from engine.errors import EngineError, RunStopped
from engine.ledger.documents import COUNTS_AS_TRADE
from engine.ledger.strategies import NO_STRATEGY, strategy_of
from engine.model.breaks import Break, units_of
from engine.model.orders import BrokerOrder, BrokerPosition
from engine.model.quantity import UNITS
from engine.model.symbols import canonical_symbol
from engine.reconciliation.accepted import Acceptances
from engine.reconciliation.account_books import Books, BrokerSnapshot
from engine.reconciliation.break_files import keep_breaks, latest_breaks
from engine.reconciliation.open_order_recovery import OpenOrderRecovery
from engine.reconciliation.session import Session
from engine.reconciliation.stores import SyncStores
from engine.reconciliation.working_orders import active, frame_of, working
from engine.record.open_orders import left_open
from engine.safety.lease_holding import hold_until_done
from engine.text.plain_text import is_plain

_WORKING = ["broker_account_id", "symbol", "side", "remaining_qty", "remaining_notional"]


@dataclass(frozen=True, kw_only=True)
class Synced:
    """The result of a sync.

    ``account`` is the name of the keys' account, "" where it has none, and ``positions`` how many it has.
    ``working_order_terms`` and ``working_orders`` as in ``RiskInputs``. ``trades_at_work`` is how many of
    them the ledger already counts in this session, by strategy and symbol: each is one trade, not two.
    ``unbooked_trades`` is how many trades of this session may be ours and are in no ledger. ``broker_time``
    is the time of the broker's clock. ``breaks`` are the differences between broker and ledger.
    ``not_compared`` says why the two were not compared, "" where they were; if they were not, ``breaks`` are
    those of the last comparison. ``compared_at``: when they were, None where they were not. ``unkept`` are
    the files with the late fills that the ledger refused (``engine.routing.booking``).
    """

    account: str
    positions: int
    working_order_terms: pd.DataFrame
    trades_at_work: Mapping[tuple[str, str], int]
    broker_time: datetime
    breaks: Sequence[Break] = ()
    not_compared: str = ""
    compared_at: datetime | None = None
    unkept: Sequence[str] = ()
    unbooked_trades: int = 0

    @property
    def working_orders(self) -> pd.DataFrame:
        """The working orders without their terms."""
        return self.working_order_terms[_WORKING]

    @property
    def counted_there(self) -> int:
        """How many working orders the ledger already counts as trades of this session."""
        return sum(self.trades_at_work.values())

    @property
    def open_breaks(self) -> list[Break]:
        """The breaks that an operator has to resolve."""
        return [found for found in self.breaks if not found.is_repaired]


def sync_all(
    context: RunContext, connections: Connections, session: Session
) -> dict[str, Synced | EngineError]:
    """Sync every account at the same time; return the result or the error of each account.

    An account whose broker asks for a wait waits as long as a single request does. The leases of all accounts
    are held meanwhile.
    """
    stores = SyncStores(
        objects=context.objects,
        ledger=context.ledger,
        positions=context.positions,
        log=context.log,
        clock=context.clock,
    )
    _log_orders_left_elsewhere(stores, connections)

    def one(connection: Connection) -> Synced | EngineError:
        try:
            return sync(stores, replace(connection, broker=connection.broker.waiting_together()), session)
        except RunStopped:
            raise
        except EngineError as error:
            return error

    with ThreadPoolExecutor(
        max_workers=max(1, len(connections.at_work)), thread_name_prefix="sync"
    ) as threads:
        working = [threads.submit(one, connection) for connection in connections.at_work]
        hold_until_done(
            working, lambda: [connection.lease for connection in connections.at_work], seconds=SEND_S
        )
    answers = [done.result() for done in working]
    breaks = [found for answer in answers if isinstance(answer, Synced) for found in answer.breaks]
    keep_breaks(breaks, stores.objects, stores.log, trading_date=session.trading_date, at=stores.clock())
    return {
        connection.account: answer for connection, answer in zip(connections.at_work, answers, strict=True)
    }


def sync(stores: SyncStores, connection: Connection, session: Session) -> Synced:
    """Bring positions and late fills from the broker into the stores, and compare them with the ledger.

    Raises ``EngineError`` where any step fails: the account is then unknown.
    """
    account, synced_at = connection.account, stores.clock()
    broker_time = connection.broker.get_clock().timestamp
    accepted = Acceptances(stores.ledger, account, session.trading_date)
    recovery = OpenOrderRecovery(
        connection=connection,
        session=session,
        objects=stores.objects,
        ledger=stores.ledger,
        accepted=accepted,
        log=stores.log,
        clock=stores.clock,
    )
    left = recovery.left()
    books = Books.before(stores, connection, session, accepted)
    open_orders = connection.broker.open_orders()
    positions = one_per_instrument(connection.broker.positions())
    recovered = recovery.recover(left, open_orders)
    snapshot = BrokerSnapshot(open_orders=open_orders, positions=positions, asked_at=broker_time)
    compared = books.compared(snapshot, recovered, at=synced_at)
    connection.lease.hold_for(SEND_S)  # another job's book may be newer by now
    if account:
        stores.positions.keep_book(account, _book(positions), mark=compared.mark)
    stores.log.event(
        "synced",
        f"{len(positions)} positions and {len(open_orders)} open orders of {connection.shown_as} read from "
        f"the broker",
        account=account,
    )
    breaks = compared.breaks
    if compared.why_not:
        stores.log.event(
            "not_compared",
            f"broker and ledger of {connection.shown_as} were not compared: {compared.why_not}",
            severity="ERROR",
            account=account,
        )
        breaks = latest_breaks(stores.objects, account) if compared.mark.open_breaks else []
    documents = _documents_at_work(stores, open_orders)
    strategies = {
        **books.strategies_elsewhere(),
        **{order_id: _named(one) for order_id, one in documents.items()},
        **recovered.strategies,
    }
    rows = [*(working(account, open_orders, strategies) if account else []), *recovered.working]
    return Synced(
        account=account,
        positions=len(positions),
        working_order_terms=frame_of(rows),
        trades_at_work=_trades_at_work(documents.values(), account, session),
        broker_time=broker_time,
        breaks=breaks,
        not_compared=compared.why_not,
        compared_at=None if compared.why_not else synced_at,
        unkept=tuple(recovered.unkept),
        unbooked_trades=compared.unbooked_trades,
    )


def one_per_instrument(positions: Iterable[BrokerPosition]) -> list[BrokerPosition]:
    """Return one position for each instrument: positions reported under several spellings are summed.

    Raises ``EngineError`` for the same spelling twice, which may be one position or two.
    """
    spelt: dict[str, list[BrokerPosition]] = {}
    for position in positions:
        spelt.setdefault(canonical_symbol(position.symbol), []).append(position)
    return [same[0] if len(same) == 1 else _summed(symbol, same) for symbol, same in spelt.items()]


def _summed(symbol: str, same: list[BrokerPosition]) -> BrokerPosition:
    spellings = [position.raw.get("symbol", position.symbol) for position in same]
    if len(set(spellings)) < len(same):
        raise EngineError(
            f"the broker reports the position in {symbol} {len(same)} times; expected one of each symbol. "
            f"The account's positions are therefore unknown; look at the broker's dashboard."
        )
    values = [position.market_value for position in same]
    known = [value for value in values if value is not None]
    return BrokerPosition(
        symbol=symbol,
        qty=sum(units_of(position.qty) for position in same) / UNITS,
        market_value=math.fsum(known) if len(known) == len(values) else None,
        asset_class=same[0].asset_class,
        raw={"positions": [dict(position.raw) for position in same]},
    )


def _book(positions: Iterable[BrokerPosition]) -> pd.DataFrame:
    names = ["symbol", "qty", "avg_price", "market_value"]
    rows = [[getattr(position, name) for name in names] for position in positions]
    return pd.DataFrame(rows, columns=names).astype(dict.fromkeys(names[1:], "float64"))


def _log_orders_left_elsewhere(stores: SyncStores, connections: Connections) -> None:
    """Log the open orders of accounts that are no longer in the settings: this folder doesn't poll them."""
    here = {connection.key for connection in connections.at_work}
    for left in left_open(stores.objects, not_of=here):
        if left.account_key not in here and left.account not in connections.down:
            stores.log.event(
                "orders_left_elsewhere",
                f"{len(left.orders)} orders of run {left.run_id} were left open for account {left.account} "
                f"at {left.host}, which is not in the settings: they are not polled here. Add the account to "
                f"the settings, or check the orders on the broker's dashboard",
                severity="WARNING",
                run_id=left.run_id,
                account=left.account,
            )


def _documents_at_work(
    stores: SyncStores, open_orders: Iterable[BrokerOrder]
) -> Mapping[str, Mapping[str, Any]]:
    """Return the ledger's documents of orders that have filled in part, or whose group still works, by id."""
    at_work = [entry for entry in open_orders if active(entry)]
    filled = [order for entry in at_work for order in (entry, *entry.legs) if order.filled_qty > 0]
    return stores.ledger.ledger_documents({order.broker_order_id for order in filled}) if filled else {}


def _trades_at_work(
    documents: Iterable[Mapping[str, Any]], account: str, session: Session
) -> Mapping[tuple[str, str], int]:
    """Count the account's trades of this session among documents, by strategy and symbol."""
    today = session.trading_date.isoformat()
    return Counter(
        (strategy_of(document.get("strategy_id")), canonical_symbol(str(document.get("symbol", ""))))
        for document in documents
        if document.get("broker_account_id") == account
        and document.get("trading_date") == today
        and document.get(COUNTS_AS_TRADE) is not False
    )


def _named(document: Mapping[str, Any]) -> str:
    """Return the strategy that a document names; "" for a name that no intent could have."""
    strategy = strategy_of(document.get("strategy_id"))
    return strategy if is_plain(strategy) else NO_STRATEGY
