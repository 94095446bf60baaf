"""``cancel-all``: cancel open orders at the broker, wait for the outcome, report what filled meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from engine.brokers.access import Access
from engine.errors import ConfigurationError, EngineError
from engine.log import EventLog
from engine.model.orders import BrokerOrder
from engine.model.symbols import canonical_symbol
from engine.record.objects import Objects
from engine.record.open_orders import left_open
from engine.record.run_folder import BATCH, RunFolder, RunFolders
from engine.routing.cancel_all import Withdrawal, Withdrawals, Withdrawing
from jobs.setup import Setup, read_setup, termination_asked
from jobs.tables import print_json, print_table, say
from jobs.wording import amount, number

EXIT_OPEN = 4
_SHOWN = 10
_AGAIN = "Run `execution-engine cancel-all` again."

_Strategy = tuple[str, str, str]
"""Account, client id and strategy of an order."""


@dataclass
class Outcome:
    """The outcomes of the open orders of all accounts.

    ``unknown``: client ids of orders that were left open because their strategy is unknown.
    ``failed``: why accounts could not be asked, by name.
    """

    orders: list[Withdrawal] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    failed: dict[str, EngineError] = field(default_factory=dict)

    def add(self, other: Outcome) -> None:
        """Add the outcomes of another account."""
        self.orders += other.orders
        self.unsure += other.unsure
        self.unknown += other.unknown

    @property
    def still_open(self) -> list[Withdrawal]:
        """The orders that are not terminal."""
        return [one for one in self.orders if not one.is_over]

    @property
    def exit_code(self) -> int:
        """1 where an account could not be asked, 4 where something may still be open."""
        if self.failed:
            return 1
        return EXIT_OPEN if self.still_open or self.unsure or self.unknown else 0


def cancel_all(
    *,
    symbol: str | None,
    strategy: str | None,
    account: str | None,
    as_json: bool,
    beside: Mapping[str, Any] | None = None,
) -> int:
    """Cancel the open orders that match; return the exit code: 4 where one is not terminal yet.

    ``beside``: what the JSON object has besides.

    SIGTERM and the first Ctrl-C end the wait; what is known by then is printed. Raises the error of the only
    account; with several accounts, one that fails does not stop the others.
    """
    setup = read_setup()
    stopping = termination_asked(also_ctrl_c=True)
    accesses = setup.accesses(only=account, stopping=stopping)
    wanted = _Wanted(setup, symbol and canonical_symbol(symbol), strategy and strategy.strip(), stopping)
    outcome = _withdrawn_everywhere(wanted, accesses)
    if as_json:
        print_json({**(beside or {}), **_record(outcome)})
    else:
        _print(outcome)
    return outcome.exit_code


def _withdrawn_everywhere(wanted: _Wanted, accesses: Sequence[Access]) -> Outcome:
    """Cancel at all accounts at the same time: one that hangs must not keep the others open.

    Raises the error of the only account, and ``ConfigurationError``.
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
    """Which orders to cancel: of a symbol, of a strategy, or all; of a filled entry, its exits."""

    setup: Setup
    symbol: str | None
    strategy: str | None
    stopping: Callable[[], bool]

    def withdrawn(self, access: Access) -> Outcome:
        """Cancel those of an account; return their outcomes."""
        log = EventLog()
        strategies = _Strategies(self.setup.objects, access.account, log)
        done = Withdrawing(
            broker=access.broker,
            choose=lambda entries: self._chosen(entries, strategies),
            stopping=self.stopping,
            asking=lambda order: _log_asking(log, order),
            retry_policy=self.setup.retry_policy,
        ).withdraw(wait_s=self.setup.settings.settle_s)
        _log_outcome(log, done)
        return Outcome(
            orders=list(done.orders),
            unsure=[*filter(None, [done.unsure])],
            unknown=sorted(strategies.unknown),
        )

    def _chosen(self, entries: Sequence[BrokerOrder], strategies: _Strategies) -> list[BrokerOrder]:
        if self.symbol is not None:
            entries = [entry for entry in entries if canonical_symbol(entry.symbol) == self.symbol]
        if self.strategy is not None:
            strategies.learn(entries)
            entries = [one for one in entries if strategies.known.get(one.client_order_id) == self.strategy]
        return [order for entry in entries for order in _to_withdraw(entry)]


class _Strategies:
    """The strategies of an account's open orders by client id, as far as the data folder knows them."""

    def __init__(self, objects: Objects, account: str, log: EventLog) -> None:
        self._objects, self._account, self._log = objects, account, log
        self.known: dict[str, str] = {}
        self.unknown: set[str] = set()

    def learn(self, entries: Sequence[BrokerOrder]) -> None:
        """Look up the strategies of open orders in unfinished runs, and in what other runs left open."""
        listed = {entry.client_order_id for entry in entries}
        new = listed - self.known.keys()
        if new:
            for account, client_id, strategy in self._strategies(new):
                if self._account in {"", account}:
                    self.known.setdefault(client_id, strategy)
        self.unknown = listed - self.known.keys()

    def _strategies(self, ids: Collection[str]) -> Iterator[_Strategy]:
        """Yield the strategies of orders; a record that can't be read prevents no cancel."""
        try:
            for folder in RunFolders(
                self._objects
            ).unfinished():  # first: a run that ends meanwhile is found below
                yield from _in_batch(folder, ids)
            yield from _left_by_runs(self._objects)
        except EngineError as error:
            message = f"the strategies of open orders can't be read from the record: {error}"
            self._log.event("record_unreadable", message, severity="ERROR")


def _in_batch(folder: RunFolder, ids: Collection[str]) -> Iterator[_Strategy]:
    if folder.start["mode"] != "live" or BATCH not in folder.names():
        return
    batch = folder.table(BATCH, ["broker_account_id", "client_intent_id", "strategy_id"])
    wanted = pc.is_in(batch["client_intent_id"].cast(pa.string()), pa.array(sorted(ids), pa.string()))
    for row in batch.filter(wanted).to_pylist():
        yield row["broker_account_id"], row["client_intent_id"], row["strategy_id"]


def _left_by_runs(objects: Objects) -> Iterator[_Strategy]:
    for left in left_open(objects):
        for one in left.orders:
            yield left.account, str(one.intent.client_intent_id), one.intent.strategy_id


def _log_asking(log: EventLog, order: BrokerOrder) -> None:
    log.event(
        "cancel_requested",
        f"{order.side} {order.symbol}, order {order.broker_order_id}: cancel requested",
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


def _print(outcome: Outcome) -> None:
    rows = [(one.before.client_order_id, _order(one.before), _outcome(one)) for one in outcome.orders]
    if rows:
        print_table("Withdrawn", ("intent", "order", "outcome"), rows)
        say()
    still = outcome.still_open
    if still:
        open_rows = [(one.before.client_order_id, _order(one.after), _outcome(one)) for one in still]
        if len(still) < len(rows):
            print_table("Still open", ("intent", "order", "outcome"), open_rows)
            say()
        say(f"{len(still)} of {len(rows)} ARE STILL OPEN. {_AGAIN}", color="red")
    elif rows:
        closed = "The order is closed" if len(rows) == 1 else f"All {len(rows)} orders are closed"
        say(f"{closed}. The next `execution-engine sync` or live run books what filled.")
    elif not (outcome.unsure or outcome.unknown or outcome.failed):
        say("No such order is open at the broker.")
    for why in outcome.unsure:
        say(f"There may be more: {why}. {_AGAIN}", color="red")
    if outcome.unknown:
        say(_strategy_unknown(outcome.unknown), color="red")
    for account, error in outcome.failed.items():
        say(
            f"Account {account} WAS NOT ASKED TO THE END, and orders may be open: {error} {_AGAIN}",
            color="red",
        )


def _strategy_unknown(ids: Sequence[str]) -> str:
    shown = ", ".join(ids[:_SHOWN]) + (" …" if len(ids) > _SHOWN else "")
    return (
        f"{len(ids)} STAYED OPEN, because their strategy is not in this data folder: {shown}. Find out who "
        f"sent them; `execution-engine cancel-all --symbol …` withdraws them, whatever their strategy."
    )


def _to_withdraw(entry: BrokerOrder) -> list[BrokerOrder]:
    """Return what to cancel of a group: the entry, which cancels its exits too, or else the open exits."""
    return [leg for leg in entry.legs if not leg.is_final] if entry.is_final else [entry]


def _order(order: BrokerOrder) -> str:
    prices = [
        f"{name} {number(price)}"
        for name, price in (("limit", order.limit_price), ("stop", order.stop_price))
        if price is not None
    ]
    return ", ".join(
        [f"{order.side} {amount(order.qty, order.notional)} {order.symbol}", *(prices or [order.order_type])]
    )


def _outcome(one: Withdrawal) -> str:
    filled = one.filled_meanwhile_qty
    status = one.why or one.after.order_status
    return f"{status}; {number(filled)} filled on the way" if filled > 0 else status


def _record(outcome: Outcome) -> dict[str, Any]:
    return {
        "exit_code": outcome.exit_code,
        "orders": [_order_record(one) for one in outcome.orders],
        "still_open": [one.before.client_order_id for one in outcome.still_open],
        "unsure": outcome.unsure,
        "strategy_unknown": outcome.unknown,
        "failed": {account: str(error) for account, error in outcome.failed.items()},
    }


def _order_record(one: Withdrawal) -> dict[str, Any]:
    return {
        "client_intent_id": one.before.client_order_id,
        "broker_order_id": one.before.broker_order_id,
        "symbol": one.before.symbol,
        "side": one.before.side,
        "qty": one.before.qty,
        "notional": one.before.notional,
        "order_status": one.after.order_status,
        "filled_qty": one.after.filled_qty,
        "filled_meanwhile_qty": one.filled_meanwhile_qty,
        "is_over": one.is_over,
        "why": one.why,
    }
