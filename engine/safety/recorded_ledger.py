"""The ledger documents that the record of a data folder's live runs implies, and those that a ledger lacks.

Sources are each run's batch, results and fills, and ``late_fills/``. Orders of an unfinished run are not
included: the next run finishes it and books them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import pyarrow as pa

from engine.model.breaks import units_of
from engine.model.orders import BrokerFill, BrokerOrder, intent_of
from engine.model.quantity import UNITS
from engine.record.fills import ledger_documents
from engine.record.late_fills import late_fills_of
from engine.record.objects import Objects
from engine.record.run_folder import BATCH, FILLS, RESULTS, RunFolder, RunFolders
from engine.stores.protocols import LedgerStore

_OF_RESULTS = ["client_intent_id", "broker_order_id", "order_status", "filled_qty", "filled_avg_price"]


def recorded_documents(objects: Objects, *, now: datetime) -> list[dict[str, Any]]:
    """Return a document for each order, or leg, that filled, without the broker's raw fields.

    Raises ``RecordError`` where a run can't be read: its orders are unknown then, not absent.
    """
    runs = [
        folder
        for folder in RunFolders(objects).all()
        if folder.start["mode"] == "live" and RESULTS in folder.names()
    ]
    late: dict[str, list[pa.Table]] = {}
    for table in late_fills_of(objects, {run.run_id for run in runs}):
        if table.num_rows:
            late.setdefault(table["run_id"][0].as_py(), []).append(table)
    return [one for run in runs for one in _of_run(run, late.get(run.run_id, []), now)]


def recorded_order_ids(objects: Objects, *, newest: date, since: date) -> set[str]:
    """Return the broker's ids of orders, and legs that filled, of the live runs of recent sessions.

    Sessions from ``since`` on count; ``newest`` is about today. Raises ``RecordError``.
    """
    found: set[str] = set()
    for runs in RunFolders(objects).by_session(newest):
        if runs[0].trading_date < since:
            break
        for run in runs:
            if run.start["mode"] == "live":
                found |= _order_ids(run)
    return found


def _order_ids(run: RunFolder) -> set[str]:
    names = [name for name in (RESULTS, FILLS) if name in run.names()]
    ids = (run.table(name, ["broker_order_id"])["broker_order_id"] for name in names)
    return {id_ for column in ids for id_ in column.to_pylist() if id_}


def lacking(documents: Iterable[Mapping[str, Any]], ledger: LedgerStore) -> list[Mapping[str, Any]]:
    """Return the documents that a ledger lacks or has with less filled. Raises ``DataUnavailable``."""
    by_account: dict[str, list[Mapping[str, Any]]] = {}
    for document in documents:
        by_account.setdefault(document["broker_account_id"], []).append(document)
    found: list[Mapping[str, Any]] = []
    for account, wanted in by_account.items():
        since = min(date.fromisoformat(document["trading_date"]) for document in wanted)
        kept = {
            str(document.get("broker_order_id")): document
            for document in ledger.account_documents(account, since=since)
        }
        found += [one for one in wanted if not _has(kept.get(one["broker_order_id"]), one)]
    return found


def _has(kept: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> bool:
    if kept is None:
        return False
    filled = kept.get("filled_qty")
    return isinstance(filled, int | float) and units_of(filled) >= units_of(wanted["filled_qty"])


def _of_run(run: RunFolder, late: list[pa.Table], now: datetime) -> Iterator[dict[str, Any]]:
    names = run.names()
    tables = [*([run.table(FILLS)] if FILLS in names else []), *late]
    fills: dict[str, dict[str, BrokerFill]] = {}
    orders_of: dict[tuple[str, str], dict[str, None]] = {}  # an id is unique per account
    for row in (row for table in tables for row in table.to_pylist()):
        fills.setdefault(row["broker_order_id"], {})[row["fill_id"]] = _fill(row)
        orders_of.setdefault(_key(row), {})[row["broker_order_id"]] = None
    results = run.table(RESULTS, _OF_RESULTS).to_pylist()
    if not orders_of and not any(units_of(result["filled_qty"] or 0.0) for result in results):
        return
    batch = run.table(BATCH).to_pylist()
    filled = [
        (row, result)
        for row, result in zip(batch, results, strict=True)
        if row["action"] != "cancel" and (_key(row) in orders_of or units_of(result["filled_qty"] or 0.0))
    ]
    executed = {order_id: list(by_id.values()) for order_id, by_id in fills.items()}
    pairs = [
        (intent_of(row), _entry(result, orders_of.get(_key(row), {}), executed)) for row, result in filled
    ]
    calendar = run.start["settings"]["calendar"]
    for document in ledger_documents(pairs, executed, calendar=calendar, now=now):
        if "exit_of" in document:
            document.pop("order_type", None)  # a leg's own type is not in the record
        yield document


def _key(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["broker_account_id"], row["client_intent_id"]


def _entry(
    result: Mapping[str, Any], order_ids: Iterable[str], fills: Mapping[str, list[BrokerFill]]
) -> BrokerOrder:
    """Return an intent's order, with the other orders of its group that filled as its legs."""
    ids = [*dict.fromkeys(filter(None, [result.get("broker_order_id"), *order_ids]))]
    orders = [_order(order_id, fills.get(order_id, [])) for order_id in ids]
    first, *legs = orders
    reported = result.get("filled_qty") or 0.0
    if units_of(reported) > units_of(first.filled_qty):  # not every execution was reported yet
        first = replace(first, filled_qty=reported, filled_avg_price=result["filled_avg_price"])
    return replace(first, client_order_id=str(result.get("client_intent_id") or ""), legs=tuple(legs))


def _order(order_id: str, fills: list[BrokerFill]) -> BrokerOrder:
    units = [units_of(fill.qty) for fill in fills]
    filled = sum(units)
    cost = sum(one * fill.price for one, fill in zip(units, fills, strict=True))
    return BrokerOrder(
        broker_order_id=order_id,
        client_order_id="",
        order_status="",
        side=fills[0].side if fills else "",
        qty=filled / UNITS if fills else None,
        filled_qty=filled / UNITS,
        filled_avg_price=cost / filled if filled else None,
    )


def _fill(row: Mapping[str, Any]) -> BrokerFill:
    return BrokerFill(
        fill_id=row["fill_id"],
        broker_order_id=row["broker_order_id"],
        symbol=row["symbol"],
        side=row["side"],
        qty=row["qty"],
        price=row["price"],
        filled_at=row["filled_at"],
        cum_qty=row["cum_qty"],
        leaves_qty=row["leaves_qty"],
    )
