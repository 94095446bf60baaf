"""A rehearsal: files go through the stages of a run whose record stays in memory.

It shows what the next run would do with these files, by the same code. Nothing is written to the data folder,
nothing is sent, and no broker is queried; of its market data, only where a limit needs prices.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from engine.context import RunContext
from engine.errors import AlreadyWritten, DataUnavailable
from engine.log import EventLog
from engine.model.calendar import check_calendar, trading_date
from engine.reconciliation.break_files import breaks_found
from engine.reconciliation.working_orders import attempted, frame_of
from engine.record.objects import Content, Objects
from engine.record.open_orders import left_open
from engine.record.run_folder import INPUTS, RunFolder, RunFolders
from engine.risk.config import RiskConfig
from engine.run.collect import collect
from engine.run.decide import decide
from engine.run.risk_inputs import accounts_of, as_recorded, record_inputs
from engine.run.starting import sealed_start
from engine.settings.variables import RunSettings
from engine.stores.inbox.inbox import Inbox
from engine.stores.protocols import PositionStore, SyncMark

_NAME = "check"
_APART_NS = 1_000
"""Between the modification times of two files, which keeps them in the given order."""


@dataclass(frozen=True)
class InMemory:
    """The objects of a place, and new ones that are kept in memory only."""

    place: Objects
    new: dict[str, bytes] = field(default_factory=dict)

    def put(self, key: str, content: Content) -> None:
        """Keep a new object; see ``Objects``."""
        if key in self.new:
            raise AlreadyWritten(f"{key} exists already; files of record are written once.")
        self.new[key] = bytes(content)

    def read(self, key: str) -> bytes:
        """Return an object's content; see ``Objects``."""
        return self.new[key] if key in self.new else self.place.read(key)

    def list(self, prefix: str) -> list[str]:
        """Return the keys below a prefix; see ``Objects``."""
        return sorted({*self.place.list(prefix), *(key for key in self.new if key.startswith(prefix))})

    def delete(self, key: str) -> None:
        """Remove a new object; those of the place stay."""
        self.new.pop(key, None)

    def folders(self, prefix: str) -> dict[str, str]:
        """Return the folders directly below a prefix; those of new objects have no stamp."""
        below = (key.removeprefix(prefix) for key in self.new if key.startswith(prefix))
        new = {key.partition("/")[0]: "" for key in below if "/" in key}
        return {**self.place.folders(prefix), **new}

    def has(self, key: str) -> bool:
        """Return whether there is an object, new or of the place."""
        return key in self.new or self.place.has(key)


def rehearse_collecting(
    files: Sequence[tuple[str, bytes]], settings: RunSettings, config: RiskConfig, context: RunContext
) -> tuple[RunFolder, list[str]]:
    """Collect files (name and content) as the next run would if they were dropped now, in this order.

    Returns the run's folder, which is in memory, and the name of each file in it: its own, with a number
    before it where two have the same. Raises ``EngineError`` where the record of earlier runs can't be read.
    """
    check_calendar(settings.calendar)
    as_of = context.clock()
    with TemporaryDirectory() as place:
        names = _written(files, Path(place), now_ns=round(as_of.timestamp() * 1e9))
        context = replace(
            context,
            objects=InMemory(context.objects),
            inbox=Inbox(Path(place)),
            log=EventLog(io.StringIO()),
            connections=None,
        )
        whole = replace(settings, inbox_settle_s=0.0)
        start = sealed_start(whole, config, context, slot=_NAME, as_of=as_of)
        folder = RunFolders(context.objects).create(trading_date(as_of, settings.calendar), _NAME, start)
        collect(folder, context)
    return folder, names


def rehearse_deciding(folder: RunFolder, context: RunContext) -> None:
    """Judge a collected batch by the stores, the limits and the kill switch as of now.

    In live mode the latest sync stands in for the broker: an account that was never synced is unavailable,
    working orders are those that earlier runs left open, at their full quantity, and breaks that a sync found
    are still open. ``basis`` explains this.
    """
    context = replace(context, objects=folder.objects, log=EventLog(io.StringIO()), connections=None)
    record_inputs(folder, context)
    if folder.start["mode"] == "live":
        _as_last_synced(folder, context.positions, context.objects)
    decide(folder, context)


def basis(folder: RunFolder, positions: PositionStore) -> list[str]:
    """Return the basis of a rehearsal's verdicts, as sentences."""
    if folder.start["mode"] != "live":
        return ["As a dry run: positions and trades as the stores have them, no working orders."]
    asked = (
        "The broker was not asked. Working orders are those that earlier runs left open, at their full "
        "quantity; orders that were placed by other means are not among them."
    )
    sentences = [asked]
    for account, mark in _marks(positions, accounts_of(folder)).items():
        when = "never synced, so its position is unavailable"
        if mark is not None:
            when = f"positions and trades as of the sync of {mark.synced_at:%Y-%m-%d %H:%M:%S} UTC"
        sentences.append(f"Account {account}: {when}.")
    return sentences


def _written(files: Sequence[tuple[str, bytes]], place: Path, *, now_ns: int) -> list[str]:
    names: list[str] = []
    for number, (name, content) in enumerate(files):
        below = name if name not in names else f"{number + 1}/{name}"
        path = place / below
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        timestamp = now_ns - (len(files) - number) * _APART_NS
        os.utime(path, ns=(timestamp, timestamp))
        names.append(below)
    return names


def _as_last_synced(folder: RunFolder, positions: PositionStore, objects: Objects) -> None:
    """Replace a dry run's assumptions about the broker by what is on record."""
    accounts = accounts_of(folder)
    marks = _marks(positions, accounts)
    orders = _left_open(objects, accounts)
    _replace(folder, "working_orders", orders)
    if "working_order_terms.parquet" in folder.names():
        _replace(folder, "working_order_terms", orders)
    _replace(folder, "unreconciled", _open_breaks(objects, marks))
    if "positions" not in folder.json(INPUTS)["unavailable"]:
        never = [account for account, mark in marks.items() if mark is None]
        unknown = pd.DataFrame({"broker_account_id": never, "symbol": None, "qty": math.nan})
        known = folder.table("positions.parquet").to_pandas()
        known = known[~known["broker_account_id"].isin(never)]
        _replace(folder, "positions", pd.concat([known, unknown], ignore_index=True))


def _replace(folder: RunFolder, name: str, frame: pd.DataFrame) -> None:
    folder.remove(f"{name}.parquet")
    folder.write(f"{name}.parquet", as_recorded(name, frame))


def _marks(positions: PositionStore, accounts: Sequence[str]) -> dict[str, SyncMark | None]:
    """Return the mark of each account's latest sync; None where there is none or it can't be read."""
    marks: dict[str, SyncMark | None] = {}
    for account in accounts:
        try:
            marks[account] = positions.sync_mark(account)
        except DataUnavailable:
            marks[account] = None
    return marks


def _left_open(objects: Objects, accounts: Sequence[str]) -> pd.DataFrame:
    """Return the orders that earlier runs left open as working orders of their full quantity, with terms."""
    return frame_of(
        attempted(one.intent.broker_account_id, one.intent)
        for left in left_open(objects)
        for one in left.orders
        if one.intent.broker_account_id in accounts and one.intent.action != "cancel"
    )


def _open_breaks(objects: Objects, marks: Mapping[str, SyncMark | None]) -> pd.DataFrame:
    """Return the symbols with open breaks; None, for all symbols, where not every break is on record.

    An account that no sync has reconciled has a row with ``compared`` False.
    """
    rows: list[tuple[str, str | None, bool]] = []
    for account, mark in marks.items():
        if mark is None or (mark.reconciled_on is None and not mark.open_breaks):
            rows.append((account, None, False))
            continue
        found = breaks_found(objects, mark.trading_date) if mark.open_breaks else []
        differ = [one for one in found if one.broker_account_id == account and not one.is_repaired]
        rows += [(account, one.symbol or None, True) for one in differ]
        if len(differ) < mark.open_breaks:
            rows.append((account, None, True))
    return pd.DataFrame(rows, columns=["broker_account_id", "symbol", "compared"], dtype="object")
