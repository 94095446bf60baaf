"""Orders that were not over at the end of their run: where later runs find them.

``open/<trading date>/<run id>~<account>.json`` lists those of one account, and is removed once each of
them is over and every fill of it is in the ledger. Only the account that they were sent for can tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pyarrow as pa

from engine.orders import OrderIntent, intent_of
from engine.record import json_bytes, read_json
from engine.stores.objects import Objects
from engine.stores.runs import BATCH, INPUTS, RESULTS, RunFolder

_PLACE = "open/"
_KEY_LETTERS = 16


@dataclass(frozen=True, eq=False)
class OpenOrder:
    """An order of an earlier run that was not over: its intent, and the broker's id where it is known."""

    intent: OrderIntent
    broker_order_id: str | None
    status: str
    run_id: str


@dataclass(frozen=True)
class LeftOpen:
    """What one run left open of one account.

    ``account_key`` tells the account from any other, ``host`` is where it is. ``begun_at`` is a moment of the
    broker's own, before the run's first order; ``noted_at`` one of ours, after its last look.
    """

    trading_date: date
    run_id: str
    account: str
    account_key: str
    host: str
    begun_at: datetime
    noted_at: datetime
    orders: tuple[OpenOrder, ...]


@dataclass(frozen=True)
class Place:
    """Which account at which host orders were sent for; ``key`` tells it from any other."""

    account: str
    key: str
    host: str


def note(folder: RunFolder, place: Place, rows: list[int], *, at: datetime) -> None:
    """Keep which rows of a run are not over (``at`` a moment), instead of what was kept of it before.

    To be done before ``results.parquet`` is sealed: whoever reads it then finds every result's row.
    """
    key = _key(folder.trading_date, folder.run_id, place.key)
    folder.objects.delete(key)
    if rows:
        said = {"account": place.account, "account_key": place.key, "host": place.host}
        folder.objects.put(key, json_bytes({**said, "at": at.isoformat(), "rows": rows}))


def left_open(objects: Objects) -> list[LeftOpen]:
    """Give what all earlier runs left open, oldest first. Raises ``RecordError`` where it can't be read.

    A run that was killed before its results were sealed has left nothing yet: it is to be finished first.
    """
    found = ((_folder(objects, key), key) for key in objects.list(_PLACE))
    return [_read(folder, key) for folder, key in found if RESULTS in folder.names()]


def forget(objects: Objects, left: LeftOpen) -> None:
    """Forget what a run left of an account that has nothing open any more."""
    objects.delete(_key(left.trading_date, left.run_id, left.account_key))


def _key(trading_date: date, run_id: str, account_key: str) -> str:
    return f"{_PLACE}{trading_date.isoformat()}/{run_id}~{account_key[:_KEY_LETTERS]}.json"


def _folder(objects: Objects, key: str) -> RunFolder:
    _, day, name = key.split("/")
    return RunFolder(objects, date.fromisoformat(day), name.partition("~")[0])


def _read(folder: RunFolder, key: str) -> LeftOpen:
    noted = read_json(key, folder.objects.read(key))
    rows = pa.array(noted["rows"], pa.int64())
    said: list[dict[str, Any]] = folder.table(BATCH).take(rows).to_pylist()
    results = folder.table(RESULTS, ["status", "broker_order_id"]).take(rows)
    status = results["status"].cast(pa.string()).to_pylist()
    orders = zip(said, results["broker_order_id"].to_pylist(), status, strict=True)
    return LeftOpen(
        folder.trading_date,
        folder.run_id,
        noted["account"],
        noted["account_key"],
        noted["host"],
        datetime.fromisoformat(folder.json(INPUTS)["broker"][noted["account"]]["time"]),
        datetime.fromisoformat(noted["at"]),
        tuple(OpenOrder(intent_of(row), id_, status, folder.run_id) for row, id_, status in orders),
    )
