"""What the promises say, held against the brokers' own books: nothing here asks the engine what is right.

Each sentence that is wrong begins with its kind::

    doubled      an intent has two orders
    lost         an intent that was allowed has no order and no word that none was sent, or none knows it
    doubtful     an order, or the lack of one, that the record is silent about, or that stays in doubt
    limit        positions and working orders of an account could come beyond its limit (``limits``)
    exit code    an exit code that doesn't tell the truth
    books        ledger, fills and positions are not the broker's
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd

from engine.model.quantity import UNITS
from engine.record.objects import LocalObjects
from engine.record.run_folder import RunFolder, RunFolders
from jobs.setup import read_setup
from tests.desk import NOON, Row

_NOT_SENT = {"rejected", "halted", "expired", "broker_rejected"}
_DEAD = {"rejected", "canceled", "expired"}


@dataclass(frozen=True)
class Account:
    """A broker account: its name, the broker's whole state, and ids whose data folder was lost."""

    name: str
    state: dict[str, Any]
    lost: frozenset[str] = frozenset()

    @property
    def orders(self) -> dict[str, list[Row]]:
        """The orders that were sent, by client id; the exits of groups are none."""
        found: dict[str, list[Row]] = defaultdict(list)
        for order in self.state["orders"]:
            if order.get("group_role") in (None, "entry"):
                found[order["client_order_id"]].append(order)
        return found


@dataclass
class Record:
    """What data folders say: the rows of their finished runs, and the unfinished runs that may have sent."""

    rows: list[Row] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    attempted: set[str] = field(default_factory=set)
    manifests: dict[str, dict[str, Any]] = field(default_factory=dict)
    waiting: int = 0

    @classmethod
    def of(cls, folders: Sequence[Path]) -> Record:
        record = cls()
        for folder in folders:
            if not folder.is_dir():
                continue
            for run in RunFolders(LocalObjects(folder)).all():
                record._add(run)
            inbox = folder / "inbox"
            record.waiting += sum(path.is_file() for path in inbox.rglob("*")) if inbox.is_dir() else 0
        return record

    def _add(self, run: RunFolder) -> None:
        names = run.names()
        attempts = [name for name in names if name.startswith("attempts/")]
        ids = {one["client_order_id"] for name in attempts for one in run.json(name)["orders"]}
        if "manifest.json" not in names:
            if attempts and run.json("run.json")["mode"] == "live":
                self.unfinished.append(run.run_id)
                self.attempted |= ids
            return
        self.manifests[run.run_id] = run.json("manifest.json")
        batch = run.table("intents.parquet", ["broker_account_id", "client_intent_id", "action"]).to_pandas()
        allowed = run.table("decisions.parquet", ["allowed"]).to_pandas()
        results = run.table("results.parquet", ["status", "reason", "broker_order_id"]).to_pandas()
        whole = pd.concat([batch, allowed, results], axis=1).astype(object)
        rows = whole.where(whole.notna(), None).to_dict("records")
        self.rows += [{**row, "run": run.run_id} for row in rows]

    def of_account(self, name: str) -> dict[str, list[Row]]:
        """Return the rows of orders by client id."""
        found: dict[str, list[Row]] = defaultdict(list)
        for row in self.rows:
            if row["broker_account_id"] == name and row["action"] != "cancel":
                found[row["client_intent_id"]].append(row)
        return found


def after_a_command(
    code: int, printed: dict[str, Any] | None, text: str, accounts: list[Account], record: Record
) -> list[str]:
    """Return where the exit code of a run isn't the truth; ``printed`` is its JSON where asked for."""
    return [*_said(code, printed, text), *_meant(code, printed, record), *_hidden(code, accounts, record)]


def _said(code: int, printed: dict[str, Any] | None, text: str) -> Iterator[str]:
    if code not in {0, 1, 3, 4}:
        yield f"exit code: {code} of a run whose settings are right: {text[-800:]}"
    if printed is not None and printed.get("exit_code") != code:
        yield f"exit code: ended with {code} and printed {printed.get('exit_code')}: {text[-500:]}"
    if code == 1 and "Traceback" in text:
        yield f"exit code: a run failed as nobody expected: {text[-1500:]}"


def _meant(code: int, printed: dict[str, Any] | None, record: Record) -> Iterator[str]:
    """Hold the code against what the run's own record says."""
    if not printed or "run_id" not in printed:
        return
    runs = [printed["run_id"], *(one["run_id"] for one in printed.get("resumed", []))]
    manifests = [record.manifests[run] for run in runs if run in record.manifests]
    rows = [row for row in record.rows if row["run"] in runs]
    statuses = Counter(row["status"] for row in rows)
    broken = [one["name"] for one in manifests for one in one["identities"] if not one["holds"]]
    if code == 0 and (statuses["unresolved"] or statuses["halted"] or broken or record.unfinished):
        yield f"exit code: 0 with {dict(statuses)}, {broken} and unfinished runs {record.unfinished}"
    if statuses["unresolved"] and code != 4:
        yield f"exit code: {code} with {statuses['unresolved']} unresolved"


def _hidden(code: int, accounts: list[Account], record: Record) -> Iterator[str]:
    """Of a run that ended with 0 nothing may be in doubt, whatever it thinks of it."""
    if code != 0:
        return
    for account in accounts:
        rows, orders = record.of_account(account.name), account.orders
        for id_, own in rows.items():
            placed = [row for row in own if row["status"] == "placed"]
            if placed and id_ not in orders:
                yield f"exit code: 0, and {id_} is placed by the record alone"
            if not placed and _is_alive(orders.get(id_, [])) and own[-1]["status"] != "unresolved":
                yield f"exit code: 0, and {id_} is {own[-1]['status']} while its order lives"


def _is_alive(orders: list[Row]) -> bool:
    return any(order["status"] not in _DEAD or Decimal(order["filled_qty"]) for order in orders)


def at_the_end(
    accounts: list[Account], record: Record, intents: list[tuple[str, str]], env: dict[str, str]
) -> list[str]:
    """Return what is wrong once every run has come to its end and every order is over."""
    wrong = [f"doubtful: run {run} is never finished" for run in record.unfinished]
    if record.waiting:
        wrong.append(f"lost: {record.waiting} files stay in the inbox")
    for account in accounts:
        own = [id_ for name, id_ in intents if name == account.name]
        wrong += [*of_intents(account, record, own), *_of_books(account, env)]
    return wrong


def of_intents(account: Account, record: Record, intents: list[str]) -> Iterator[str]:
    """Every intent has one order, or a result that says truly that it has none."""
    rows, orders = record.of_account(account.name), account.orders
    cancels = {row["client_intent_id"] for row in record.rows if row["action"] == "cancel"}
    for id_ in intents:
        if id_ not in rows and id_ not in cancels and id_ not in account.lost:
            yield f"lost: {id_} was dropped, and no result knows it"
    for id_, own in rows.items():
        placed = [row for row in own if row["status"] == "placed"]
        there = orders.get(id_, [])
        if len(placed) > 1:
            yield f"doubled: {id_} was placed {len(placed)} times"
        if placed and not there:
            yield f"lost: {id_} is placed, and the broker has no such order"
        if placed and there and placed[0]["broker_order_id"] != there[0]["id"]:
            yield f"doubtful: {id_} is order {there[0]['id']}, the record says {placed[0]['broker_order_id']}"
        for row in own:
            yield from _of_a_result(row, there, record, is_placed=bool(placed))
    known = rows.keys() | account.lost
    for id_, there in orders.items():
        if len(there) > 1:
            yield f"doubled: {id_} is at the broker {len(there)} times"
        if id_ not in known:
            yield f"doubtful: {id_} is at the broker, and no result knows it"
        if all(row["status"] == "rejected" for row in rows.get(id_, [])) and id_ not in account.lost:
            yield f"doubtful: {id_} was refused, and is at the broker"


def _of_a_result(row: Row, there: list[Row], record: Record, *, is_placed: bool) -> Iterator[str]:
    id_, status = row["client_intent_id"], row["status"]
    if status == "unresolved":
        if record.manifests[row["run"]]["exit_code"] != 4:
            yield f"doubtful: {id_} is unresolved in a run that ended otherwise than with 4"
    elif status not in {"placed", *_NOT_SENT}:
        yield f"doubtful: {id_} is {status}"
    elif status in _NOT_SENT and not is_placed and _is_alive(there):
        yield f"doubtful: {id_} is {status} ({row['reason']}), and at the broker"
    if (status == "rejected") == bool(row["allowed"]):
        yield f"lost: {id_} is {status} where allowed is {row['allowed']}"


def _of_books(account: Account, env: dict[str, str]) -> Iterator[str]:
    """Ledger and fills give the broker's positions; each fill is in the ledger once."""
    stores = read_setup(env).stores
    at_broker = {
        row["symbol"]: Decimal(row["qty"]) for row in account.state["positions"] if Decimal(row["qty"])
    }
    net = stores.ledger.net_positions(account.name)
    ledger = {symbol: Decimal(units) / UNITS for symbol, units in net.items() if units}
    if ledger != at_broker:
        yield f"books: the ledger sums up to {ledger}, the broker has {at_broker}"
    kept = stores.positions.positions([account.name], as_of=pd.Timestamp(NOON) + pd.Timedelta(hours=3))
    book = {row["symbol"]: Decimal(str(row["qty"])) for row in kept.to_dict("records") if row["qty"]}
    if book != at_broker:
        yield f"books: the book has {book}, the broker {at_broker}"
    filled: dict[str, Decimal] = defaultdict(Decimal)
    for fill in account.state["fills"]:
        filled[fill["order_id"]] += Decimal(fill["qty"])
    ours = {order["id"]: order["client_order_id"] for order in account.state["orders"]}
    for order_id, qty in filled.items():
        document = stores.ledger.ledger_document(order_id) or {}
        if ours[order_id] not in account.lost and document.get("filled_qty") != float(qty):
            yield f"books: {qty} of order {order_id} filled, the ledger has {document.get('filled_qty')}"
