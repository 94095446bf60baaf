"""Orders that were not terminal at the end of their run, kept so that later runs can poll them.

``open/<trading date>/<run id>~<account>.json``, the marker, holds those of one account, whole, so that the
run's folder may be archived. It is removed once each of them is terminal and every fill is in the ledger.
Only the account for which they were sent can report that.

``over/<trading date>/<run id>~<account>/<count>.json`` lists the orders of a marker that are closed while
others still work: these are no longer polled.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

import pyarrow as pa

from engine.errors import RecordError
from engine.model.orders import OrderIntent, intent_of
from engine.record.formats import json_bytes, read_json
from engine.record.objects import Objects
from engine.record.run_folder import BATCH, INPUTS, RESULTS, START, RunFolder

_PLACE, _OVER = "open/", "over/"
_KEY_LETTERS = 16
_TIMES = frozenset({"created_at", "valid_until"})


@dataclass(frozen=True, eq=False)
class OpenOrder:
    """An order of an earlier run that was not terminal: its intent, and the broker's id where it is known.

    ``row`` is its place in the run's batch.
    """

    intent: OrderIntent
    broker_order_id: str | None
    status: str
    run_id: str
    row: int


@dataclass(frozen=True)
class LeftOpen:
    """The orders that one run left open in one account.

    ``account_key`` identifies the account, ``host`` is its broker's. ``begun_at`` is a time of the broker's
    clock, before the run's first order; ``noted_at`` is a time of our clock, after its last poll.
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
    """The account and host for which orders were sent; ``key`` identifies the account."""

    account: str
    key: str
    host: str


def note(folder: RunFolder, place: Place, orders: Collection[OpenOrder], *, at: datetime) -> None:
    """Keep the orders of a run that are not terminal at ``at``, in place of those kept before.

    Call it before ``results.parquet`` is sealed, so that no sealed result lacks its marker.
    """
    key = _key(folder.trading_date, folder.run_id, place.key)
    folder.objects.delete(key)
    if orders:
        marker = {
            "account": place.account,
            "account_key": place.key,
            "host": place.host,
            "at": at.isoformat(),
            "begun_at": _begun_at(folder, place.account),
            "rows": [one.row for one in orders],
            "orders": [_as_kept(one) for one in orders],
        }
        folder.objects.put(key, json_bytes(marker))


def left_open(
    objects: Objects, *, of_account: str | None = None, not_of: Collection[str] = ()
) -> list[LeftOpen]:
    """Return the orders that all earlier runs left open, oldest first. Raises ``RecordError``.

    Only those of the account with the key ``of_account``, where it is set, and none of accounts with a key in
    ``not_of``: the files of others aren't read. A run that was killed before its results were sealed is left
    out: it is to be finished first. A run whose folder was archived is known by its marker alone.
    """
    wanted = None if of_account is None else of_account[:_KEY_LETTERS]
    others = {key[:_KEY_LETTERS] for key in not_of}
    whose = ((key, key.rpartition("~")[2].removesuffix(".json")) for key in objects.list(_PLACE))
    keys = [key for key, account in whose if wanted in {None, account} and account not in others]
    found = ((_folder(objects, key), key) for key in keys)
    return [_read(folder, key, names) for folder, key in found if _is_sealed(names := folder.names())]


def _is_sealed(names: set[str]) -> bool:
    """Return whether a run with files of these names has sealed results, or its folder was archived."""
    return RESULTS in names or START not in names


def forget(objects: Objects, left: LeftOpen) -> None:
    """Remove the marker of a run in an account that has no open orders any more."""
    key = _key(left.trading_date, left.run_id, left.account_key)
    objects.delete(key)
    for noted in objects.list(_over(key)):
        objects.delete(noted)


def note_over(objects: Objects, left: LeftOpen, over: Collection[OpenOrder]) -> None:
    """Record that some of a run's open orders are closed: ``left_open`` no longer returns them."""
    place = _over(_key(left.trading_date, left.run_id, left.account_key))
    before = objects.list(place)
    rows = sorted({*_rows_over(objects, place), *(one.row for one in over)})
    objects.put(f"{place}{len(rows):09}.json", json_bytes({"rows": rows}))  # with all of the one before
    for noted in before:
        objects.delete(noted)


def _over(key: str) -> str:
    """Return the key prefix of a marker's list of closed orders."""
    return _OVER + key.removeprefix(_PLACE).removesuffix(".json") + "/"


def _rows_over(objects: Objects, place: str) -> set[int]:
    latest = max(objects.list(place), default=None)
    return set() if latest is None else {int(row) for row in read_json(latest, objects.read(latest))["rows"]}


def _key(trading_date: date, run_id: str, account_key: str) -> str:
    return f"{_PLACE}{trading_date.isoformat()}/{run_id}~{account_key[:_KEY_LETTERS]}.json"


def _folder(objects: Objects, key: str) -> RunFolder:
    _, day, name = key.split("/")
    return RunFolder(objects, date.fromisoformat(day), name.partition("~")[0])


def _read(folder: RunFolder, key: str, names: set[str]) -> LeftOpen:
    marker = read_json(key, folder.objects.read(key))
    over = _rows_over(folder.objects, _over(key))
    if "orders" not in marker:  # written by a version that kept the rows alone
        marker |= _from_run(folder, key, marker, names)
    return LeftOpen(
        folder.trading_date,
        folder.run_id,
        marker["account"],
        marker["account_key"],
        marker["host"],
        datetime.fromisoformat(marker["begun_at"]),
        datetime.fromisoformat(marker["at"]),
        tuple(_from_kept(one, folder.run_id) for one in marker["orders"] if one["row"] not in over),
    )


def _as_kept(one: OpenOrder) -> dict[str, Any]:
    intent = {name: value for name, value in asdict(one.intent).items() if value is not None}
    for name in _TIMES & intent.keys():
        intent[name] = intent[name].isoformat()
    return {
        "row": one.row,
        "status": one.status,
        "broker_order_id": one.broker_order_id,
        "intent": intent,
    }


def _from_kept(kept: dict[str, Any], run_id: str) -> OpenOrder:
    intent = {**kept["intent"], "metadata": json.dumps(kept["intent"]["metadata"])}
    for name in _TIMES & intent.keys():
        intent[name] = datetime.fromisoformat(intent[name])
    return OpenOrder(intent_of(intent), kept["broker_order_id"], kept["status"], run_id, kept["row"])


def _from_run(folder: RunFolder, key: str, marker: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """Return the fields that a marker of rows lacks. Raises ``RecordError`` without the run's folder."""
    if RESULTS not in names:
        raise RecordError(
            f"{key} says that orders of run {folder.run_id} are still open, and {folder.key}, which lists "
            f"them, is gone. Put that folder back from where it was archived until these orders are closed."
        )
    rows = pa.array(marker["rows"], pa.int64())
    intents: list[dict[str, Any]] = folder.table(BATCH).take(rows).to_pylist()
    results = folder.table(RESULTS, ["status", "broker_order_id"]).take(rows)
    status = results["status"].cast(pa.string()).to_pylist()
    orders = zip(intents, results["broker_order_id"].to_pylist(), status, marker["rows"], strict=True)
    return {
        "begun_at": _begun_at(folder, marker["account"]),
        "orders": [
            _as_kept(OpenOrder(intent_of(intent), id_, state, folder.run_id, row))
            for intent, id_, state, row in orders
        ],
    }


def _begun_at(folder: RunFolder, account: str) -> str:
    """Return the broker's time, ISO, before which no order is this run's."""
    return str(folder.json(INPUTS)["broker"][account]["time"])
