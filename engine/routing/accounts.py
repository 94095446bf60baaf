"""Trades a batch at all its accounts at the same time; a failed account does not affect the others.

The outcomes of a failed account are read from the record: answered orders are placed, orders that may have
been sent are unresolved, and the rest, not sent or refused with the account's keys, is halted. The next sync
of that account looks them up. Where every account fails, the run stays unfinished and the next one resumes
it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from engine.accounts.connection import SEND_S, Connection, Connections
from engine.accounts.other_folders import SharedOrders
from engine.errors import BrokerError, EngineError, LeaseLost
from engine.model.calendar import session_if_covered
from engine.model.orders import BrokerFill, BrokerOrder, OrderIntent
from engine.record.fills import fills_table
from engine.record.journal import Journal
from engine.record.late_fills import keep_by_session
from engine.record.open_orders import OpenOrder, Place
from engine.record.run_folder import INPUTS, RunFolder
from engine.routing.controls import TradingControls
from engine.routing.fills import Settled, settle
from engine.routing.live import Failed, carry_out, left_behind
from engine.routing.outcomes import OrderOutcome
from engine.routing.release_check import ApprovedOrder, allowed_intents
from engine.safety.lease_holding import hold_until_done

_REFUSED = "refused_by_broker"


@dataclass
class Traded:
    """The outcomes of a run's orders, by row of the batch; fills, by the broker's id of order or leg.

    ``open_rows``: the rows that are not terminal, by the account that they were sent for.
    """

    outcomes: dict[int, OrderOutcome] = field(default_factory=dict)
    fills: dict[str, list[BrokerFill]] = field(default_factory=dict)
    open_rows: dict[Place, list[int]] = field(default_factory=dict)
    intents: dict[int, OrderIntent] = field(default_factory=dict)

    @property
    def orders(self) -> list[tuple[OrderIntent, BrokerOrder]]:
        """The orders that were placed, in batch order."""
        placed = (
            (row, outcome) for row, outcome in sorted(self.outcomes.items()) if outcome.status == "placed"
        )
        return [(self.intents[row], outcome.order) for row, outcome in placed if outcome.order is not None]

    def left_open(self, run_id: str, rows: Iterable[int]) -> list[OpenOrder]:
        """Return the orders of some rows, in the form in which later runs look them up."""
        outcomes = ((row, self.outcomes[row]) for row in rows)
        return [
            OpenOrder(
                intent=self.intents[row],
                broker_order_id=outcome.order.broker_order_id if outcome.order else None,
                status=outcome.status,
                run_id=run_id,
                row=row,
            )
            for row, outcome in outcomes
        ]

    def add(self, place: Place, settled: Settled) -> None:
        """Add the outcomes of one account's orders."""
        self.outcomes |= settled.outcomes
        self.fills |= settled.fills
        self.open_rows[place] = settled.open_rows

    def leave_open(self, order_ids: Collection[str]) -> None:
        """Keep orders, or groups of orders, that the ledger lacks open: the next sync writes them again."""
        rows = {
            row
            for row, outcome in self.outcomes.items()
            for order in ((outcome.order, *outcome.order.legs) if outcome.order else ())
            if order.broker_order_id in order_ids
        }
        for place, open_rows in self.open_rows.items():
            own = {row for row in rows if self.intents[row].broker_account_id == place.account}
            self.open_rows[place] = sorted({*open_rows, *own})


def trade_accounts(folder: RunFolder, controls: TradingControls, connections: Connections) -> Traded:
    """Send the allowed orders and wait for their outcomes, all accounts at the same time.

    Raises ``BrokerError`` or ``LeaseLost`` where every account of the batch fails with one of them, and any
    other error of ``carry_out`` and ``settle``.
    """
    intents, journal = allowed_intents(folder), Journal(folder)
    earlier = journal.attempted()
    shares = _by_account(intents)
    connection_of = {
        account: connections.by_account[account] for account in shares if not connections.why_down(account)
    }
    for connection in connection_of.values():
        SharedOrders(connection).begin(folder.objects, folder.key)
    with ThreadPoolExecutor(max_workers=max(1, len(connection_of)), thread_name_prefix="account") as threads:
        working = {
            account: threads.submit(
                lambda connection, own: settle(
                    own, _sent(folder, controls, connection, journal), controls, connection
                ),
                connection,
                shares[account],
            )
            for account, connection in connection_of.items()
        }
        leases = [connection.lease for connection in connection_of.values()]
        hold_until_done(working.values(), lambda: leases, seconds=SEND_S)
    failed: dict[str, EngineError] = {}
    traded = Traded(intents={order.row: order.intent for order in intents})
    for account, done in working.items():
        try:
            traded.add(_place(connection_of[account]), done.result())
        except (BrokerError, LeaseLost) as error:
            failed[account] = error
    never_asked = [account for account in shares if account in _down(folder) and account not in connection_of]
    failed |= {
        account: BrokerError(connections.why_down(account))
        for account in shares
        if account not in connection_of and account not in never_asked
    }
    if failed and len(failed) == len(shares):
        raise next(iter(failed.values()))
    for account in never_asked:
        left = Failed(account=account, why=_down(folder)[account], earlier=())
        traded.outcomes |= left_behind(left, shares[account], journal, connections.at_work[0].broker)
    for account, why in failed.items():
        controls.log.event(
            "account_down",
            f"account {account} failed; the next sync looks up its orders: {why}",
            severity="ERROR",
            account=account,
        )
        left = Failed(account=account, why=str(why), earlier=earlier)
        outcomes = left_behind(left, shares[account], journal, connections.at_work[0].broker)
        traded.add(_sealed_place(folder, account), _unsettled(shares[account], outcomes))
    _keep_fills_of_other_sessions(folder, traded)
    return traded


def _sent(
    folder: RunFolder, controls: TradingControls, connection: Connection, journal: Journal
) -> dict[int, OrderOutcome]:
    """Carry out an account's decisions; where anything was refused, check that its keys are still valid.

    Revoked keys make the broker refuse every order, as if each were at fault. Raises ``BrokerError`` then,
    and what ``carry_out`` raises.
    """
    outcomes = carry_out(folder, controls, connection, journal)
    if any(outcome.reason == _REFUSED for outcome in outcomes.values()):
        connection.broker.get_clock()
    return outcomes


def _keep_fills_of_other_sessions(folder: RunFolder, traded: Traded) -> None:
    """Store fills of other sessions than the run's where those sessions look for late fills."""
    calendar = folder.start["settings"]["calendar"]
    others = {
        order_id: [
            fill
            for fill in fills
            if session_if_covered(fill.filled_at, calendar) not in {None, folder.trading_date}
        ]
        for order_id, fills in traded.fills.items()
    }
    if any(others.values()):
        table = fills_table(traded.orders, others, calendar=calendar, run_session=folder.trading_date)
        keep_by_session(folder.objects, folder.run_id, table)


def _down(folder: RunFolder) -> Mapping[str, str]:
    """Return the accounts that were unreachable when the run was decided, and why."""
    down: Mapping[str, str] = folder.json(INPUTS).get("down", {})
    return down


def _by_account(intents: list[ApprovedOrder]) -> dict[str, list[ApprovedOrder]]:
    shares: dict[str, list[ApprovedOrder]] = {}
    for order in intents:
        shares.setdefault(order.intent.broker_account_id, []).append(order)
    return shares


def _unsettled(intents: list[ApprovedOrder], outcomes: Mapping[int, OrderOutcome]) -> Settled:
    """Return outcomes whose attempted orders stay open for the next sync."""
    is_open = {row for row, outcome in outcomes.items() if outcome.attempted}
    return Settled(dict(outcomes), {}, [order.row for order in intents if order.row in is_open])


def _place(connection: Connection) -> Place:
    return Place(connection.account, connection.key, connection.broker.trading_host)


def _sealed_place(folder: RunFolder, account: str) -> Place:
    """Return where an account's orders were sent, from the start record of the run."""
    begun = next(one for one in folder.start["venues"] if one["account"] in {"", account})
    return Place(account, begun["account_key"], begun["host"])
