"""Orders that were not over at the end of their run: where later runs find them.

``open/<trading date>/<run id>~<account>.json`` lists those of one account, and is removed once each of
them is over and every fill of it is in the ledger. Only the account that they were sent for can tell.

``over/<trading date>/<run id>~<account>/<how many>.json`` lists those of them that are over already while
others work on: nobody asks for these any more.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pyarrow as pa

from engine.orders import OrderIntent, intent_of
from engine.record import json_bytes, read_json
from engine.stores.objects import Objects
from engine.stores.runs import BATCH, INPUTS, RESULTS, RunFolder

_PLACE, _OVER = "open/", "over/"
_KEY_LETTERS = 16


@dataclass(frozen=True, eq=False)
class OpenOrder:
    """An order of an earlier run that was not over: its intent, and the broker's id where it is known.

    ``row`` is its place in the run's batch.
    """

    intent: OrderIntent
    broker_order_id: str | None
    status: str
    run_id: str
    row: int


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


def left_open(
    objects: Objects, *, of_account: str | None = None, not_of: Collection[str] = ()
) -> list[LeftOpen]:
    """Give what all earlier runs left open, oldest first. Raises ``RecordError`` where it can't be read.

    Only of the account with the key ``of_account``, where one is given, and of none with a key of ``not_of``:
    the files of others aren't read. A run that was killed before its results were sealed has left nothing
    yet: it is to be finished first.
    """
    wanted = None if of_account is None else of_account[:_KEY_LETTERS]
    others = {key[:_KEY_LETTERS] for key in not_of}
    whose = ((key, key.rpartition("~")[2].removesuffix(".json")) for key in objects.list(_PLACE))
    keys = [key for key, account in whose if wanted in {None, account} and account not in others]
    found = ((_folder(objects, key), key) for key in keys)
    return [_read(folder, key) for folder, key in found if RESULTS in folder.names()]


def forget(objects: Objects, left: LeftOpen) -> None:
    """Forget what a run left of an account that has nothing open any more."""
    key = _key(left.trading_date, left.run_id, left.account_key)
    objects.delete(key)
    for noted in objects.list(_over(key)):
        objects.delete(noted)


def note_over(objects: Objects, left: LeftOpen, over: Collection[OpenOrder]) -> None:
    """Keep that some of a run's orders are over, while others aren't: ``left_open`` gives them no more."""
    place = _over(_key(left.trading_date, left.run_id, left.account_key))
    before = objects.list(place)
    rows = sorted({*_rows_over(objects, place), *(one.row for one in over)})
    objects.put(f"{place}{len(rows):09}.json", json_bytes({"rows": rows}))  # with all of the one before
    for noted in before:
        objects.delete(noted)


def _over(key: str) -> str:
    """Give where it is kept which orders of a marker are over."""
    return _OVER + key.removeprefix(_PLACE).removesuffix(".json") + "/"


def _rows_over(objects: Objects, place: str) -> set[int]:
    latest = max(objects.list(place), default=None)
    return set() if latest is None else {int(row) for row in read_json(latest, objects.read(latest))["rows"]}


def _key(trading_date: date, run_id: str, account_key: str) -> str:
    return f"{_PLACE}{trading_date.isoformat()}/{run_id}~{account_key[:_KEY_LETTERS]}.json"


def _folder(objects: Objects, key: str) -> RunFolder:
    _, day, name = key.split("/")
    return RunFolder(objects, date.fromisoformat(day), name.partition("~")[0])


def _read(folder: RunFolder, key: str) -> LeftOpen:
    noted = read_json(key, folder.objects.read(key))
    over = _rows_over(folder.objects, _over(key))
    rows = pa.array([row for row in noted["rows"] if row not in over], pa.int64())
    said: list[dict[str, Any]] = folder.table(BATCH).take(rows).to_pylist()
    results = folder.table(RESULTS, ["status", "broker_order_id"]).take(rows)
    status = results["status"].cast(pa.string()).to_pylist()
    orders = zip(said, results["broker_order_id"].to_pylist(), status, rows.to_pylist(), strict=True)
    return LeftOpen(
        folder.trading_date,
        folder.run_id,
        noted["account"],
        noted["account_key"],
        noted["host"],
        datetime.fromisoformat(folder.json(INPUTS)["broker"][noted["account"]]["time"]),
        datetime.fromisoformat(noted["at"]),
        tuple(
            OpenOrder(intent_of(row), id_, status, folder.run_id, place) for row, id_, status, place in orders
        ),
    )
