"""``cancel-all``: withdraw what is open at the broker, wait for the outcome, say what filled on the way."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from engine.accounts.connection import RetryPolicy
from engine.brokers.access import Access
from engine.errors import ConfigurationError, EngineError
from engine.log import EventLog
from engine.model.orders import BrokerOrder
from engine.model.symbols import canonical_symbol
from engine.record.objects import Objects
from engine.record.open_orders import left_open
from engine.record.run_folder import BATCH, RunFolder, RunFolders
from engine.routing.cancel_all import Withdrawal, Withdrawals, Withdrawing
from jobs.tables import print_json, print_table, say
from jobs.wording import number
from jobs.world import Setup, read_setup, termination_asked

EXIT_OPEN = 4
_SHOWN = 10
_AGAIN = "Run `execution-engine cancel-all` again."

_Told = tuple[str, str, str]


@dataclass
class Outcome:
    """What became of the open orders of all accounts.

    ``nobodys``: client ids of open orders that were left, since nobody knows of which strategy they are.
    ``failed``: why accounts could not be asked, by name.
    """

    orders: list[Withdrawal] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)
    nobodys: list[str] = field(default_factory=list)
    failed: dict[str, EngineError] = field(default_factory=dict)

    def add(self, other: Outcome) -> None:
        """Take in what became of those of another account."""
        self.orders += other.orders
        self.unsure += other.unsure
        self.nobodys += other.nobodys

    @property
    def exit_code(self) -> int:
        """1 where an account could not be asked, 4 where something may still be open."""
        if self.failed:
            return 1
        is_open = any(not one.is_over for one in self.orders)
        return EXIT_OPEN if is_open or self.unsure or self.nobodys else 0


def cancel_all(*, symbol: str | None, strategy: str | None, account: str | None, as_json: bool) -> int:
    """Withdraw the open orders that are asked for; gives the exit code: 4 where one isn't over yet.

    SIGTERM and the first Ctrl-C end the wait; what is known by then is told. Raises what is wrong with the
    only account; with several, the others are withdrawn all the same.
    """
    setup = read_setup()
    stopping = termination_asked(also_ctrl_c=True)
    accesses = setup.accesses(only=account, stopping=stopping)
    wanted = _Wanted(setup, symbol and canonical_symbol(symbol), strategy and strategy.strip(), stopping)
    outcome = _withdrawn_everywhere(wanted, accesses)
    if as_json:
        print_json(_record(outcome))
    else:
        tell(outcome)
    return outcome.exit_code


def _withdrawn_everywhere(wanted: _Wanted, accesses: Sequence[Access]) -> Outcome:
    """Withdraw at all accounts at the same time: one that hangs must not leave others open meanwhile.

    Raises what is wrong with the only account, and ``ConfigurationError``.
    """
    if len(accesses) == 1:
        return wanted.withdrawn(accesses[0])
    with ThreadPoolExecutor(max(1, len(accesses)), thread_name_prefix="cancel") as threads:
        working = {access.account: threads.submit(wanted.withdrawn, access) for access in accesses}
    outcome = Outcome()
    for account, done in working.items():
        try:
            outcome.add(done.result())
        except ConfigurationError:
            raise
        except EngineError as error:
            outcome.failed[account] = error
    return outcome


@dataclass(frozen=True)
class _Wanted:
    """Which orders are to be withdrawn: of a symbol, of a strategy, or all; of a filled entry, its exits."""

    setup: Setup
    symbol: str | None
    strategy: str | None
    stopping: Callable[[], bool]

    def withdrawn(self, access: Access) -> Outcome:
        """Withdraw those of an account; gives what became of them."""
        log = EventLog()
        whose = _Whose(self.setup.objects, access.account, log)
        done = Withdrawing(
            broker=access.broker,
            choose=lambda entries: self._chosen(entries, whose),
            stopping=self.stopping,
            asking=lambda order: _log_asking(log, order),
            patience=RetryPolicy(broker_wait_s=self.setup.settings.broker_wait_s),
        ).withdraw(wait_s=self.setup.settings.settle_s)
        _log_outcome(log, done)
        return Outcome(
            orders=list(done.orders), unsure=[*filter(None, [done.unsure])], nobodys=sorted(whose.unknown)
        )

    def _chosen(self, entries: Sequence[BrokerOrder], whose: _Whose) -> list[BrokerOrder]:
        if self.symbol is not None:
            entries = [entry for entry in entries if canonical_symbol(entry.symbol) == self.symbol]
        if self.strategy is not None:
            whose.learn(entries)
            entries = [entry for entry in entries if whose.known.get(entry.client_order_id) == self.strategy]
        return [order for entry in entries for order in _to_withdraw(entry)]


class _Whose:
    """Of which strategies an account's open orders are, as far as the data folder knows: by client id."""

    def __init__(self, objects: Objects, account: str, log: EventLog) -> None:
        self._objects, self._account, self._log = objects, account, log
        self.known: dict[str, str] = {}
        self.unknown: set[str] = set()

    def learn(self, entries: Sequence[BrokerOrder]) -> None:
        """Look for the strategies of open orders: in the runs that are not over, and in what others left."""
        listed = {entry.client_order_id for entry in entries}
        new = listed - self.known.keys()
        if new:
            for account, client_id, strategy in self._told(new):
                if self._account in {"", account}:
                    self.known.setdefault(client_id, strategy)
        self.unknown = listed - self.known.keys()

    def _told(self, ids: Collection[str]) -> Iterator[_Told]:
        """Give account, client id and strategy of orders; what can't be read prevents no cancel."""
        try:
            for folder in RunFolders(self._objects).unfinished():  # first: when it ends, it is in the others
                yield from _in_batch(folder, ids)
            yield from _left_by_runs(self._objects)
        except EngineError as error:
            message = f"of which strategies orders are can't be told: {error}"
            self._log.event("record_unreadable", message, severity="ERROR")


def _in_batch(folder: RunFolder, ids: Collection[str]) -> Iterator[_Told]:
    if folder.start["mode"] != "live" or BATCH not in folder.names():
        return
    batch = folder.table(BATCH, ["broker_account_id", "client_intent_id", "strategy_id"])
    wanted = pc.is_in(batch["client_intent_id"].cast(pa.string()), pa.array(sorted(ids), pa.string()))
    for row in batch.filter(wanted).to_pylist():
        yield row["broker_account_id"], row["client_intent_id"], row["strategy_id"]


def _left_by_runs(objects: Objects) -> Iterator[_Told]:
    for left in left_open(objects):
        for one in left.orders:
            yield left.account, str(one.intent.client_intent_id), one.intent.strategy_id


def _log_asking(log: EventLog, order: BrokerOrder) -> None:
    log.event(
        "cancel_requested",
        f"{order.side} {order.symbol}, order {order.broker_order_id}, is withdrawn",
        intent_id=order.client_order_id,
        broker_order_id=order.broker_order_id,
    )


def _log_outcome(log: EventLog, done: Withdrawals) -> None:
    for one in done.orders:
        log.event(
            "cancel_response",
            f"order {one.before.broker_order_id}: {one.why or one.after.order_status}",
            severity="INFO" if one.is_over else "ERROR",
            intent_id=one.before.client_order_id,
        )


def tell(outcome: Outcome) -> None:
    """Print what became of the orders that were to be withdrawn."""
    rows = [(one.before.client_order_id, _order(one.before), _outcome(one)) for one in outcome.orders]
    if rows:
        print_table("Withdrawn", ("intent", "order", "outcome"), rows)
        say()
    still = [one for one in outcome.orders if not one.is_over]
    if still:
        say(f"{len(still)} of {len(rows)} ARE STILL OPEN. {_AGAIN}", color="red")
    elif rows:
        closed = "The order is closed" if len(rows) == 1 else f"All {len(rows)} orders are closed"
        say(f"{closed}. What filled is booked by the next `execution-engine sync` or live run.")
    elif not (outcome.unsure or outcome.nobodys or outcome.failed):
        say("No such order is open at the broker.")
    for why in outcome.unsure:
        say(f"There may be more: {why}. {_AGAIN}", color="red")
    if outcome.nobodys:
        say(_about_nobodys(outcome.nobodys), color="red")
    for account, error in outcome.failed.items():
        say(f"Account {account} WAS NOT ASKED to the end: {error} {_AGAIN}", color="red")


def _about_nobodys(ids: Sequence[str]) -> str:
    shown = ", ".join(ids[:_SHOWN]) + (" …" if len(ids) > _SHOWN else "")
    return (
        f"{len(ids)} STAYED OPEN, because nobody here knows of which strategy: {shown}. Look whose they are; "
        f"`execution-engine cancel-all --symbol …` withdraws them, whoever sent them."
    )


def _to_withdraw(entry: BrokerOrder) -> list[BrokerOrder]:
    """Give what is to be cancelled of a group: the entry, which takes its exits along, or else the exits."""
    return [leg for leg in entry.legs if not leg.is_final] if entry.is_final else [entry]


def _order(order: BrokerOrder) -> str:
    much = number(order.qty) if order.qty is not None else f"{number(order.notional)} USD of"
    prices = [
        f"{name} {number(price)}"
        for name, price in (("limit", order.limit_price), ("stop", order.stop_price))
        if price is not None
    ]
    return ", ".join([f"{order.side} {much} {order.symbol}", *(prices or [order.order_type])])


def _outcome(one: Withdrawal) -> str:
    filled = one.filled_meanwhile_qty
    told = one.why or one.after.order_status
    return f"{told}; {number(filled)} filled on the way" if filled > 0 else told


def _record(outcome: Outcome) -> dict[str, Any]:
    return {
        "exit_code": outcome.exit_code,
        "orders": [_order_record(one) for one in outcome.orders],
        "unsure": outcome.unsure,
        "strategy_unknown": outcome.nobodys,
        "failed": {account: str(error) for account, error in outcome.failed.items()},
    }


def _order_record(one: Withdrawal) -> dict[str, Any]:
    return {
        "client_intent_id": one.before.client_order_id,
        "broker_order_id": one.before.broker_order_id,
        "symbol": one.before.symbol,
        "side": one.before.side,
        "qty": one.before.qty,
        "order_status": one.after.order_status,
        "filled_qty": one.after.filled_qty,
        "filled_meanwhile_qty": one.filled_meanwhile_qty,
        "is_over": one.is_over,
        "why": one.why,
    }
