"""Chained replay: what earlier runs would have done becomes part of what later ones are judged by.

The recorded snapshot stays the ground: to it comes what counterfactual fills would have added by then, and
from it goes what recorded fills had added that would not have been. So whatever else moved a book (trades by
hand, late fills of other orders) stays in it. An order that would not have been sent leaves the working
orders and the day's count; one that would have been is filled by ``replay.market``, or works until the end
of its session.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from engine.model.quantity import UNITS
from engine.model.symbols import canonical_symbol
from engine.record.late_fills import late_fills
from engine.record.objects import LocalObjects
from replay.outcomes import SIMULATED, Outcomes
from replay.recorded import Recording

Frames = Mapping[str, pa.Table | None]
_FILL = (
    "client_intent_id",
    "broker_account_id",
    "fill_id",
    "symbol",
    "side",
    "qty",
    "filled_at",
    "trading_date",
)
_DATA_FOLDER = 3  # levels above a run's folder: runs/<trading date>/<run id>


@dataclass(frozen=True)
class Fill:
    """An execution, recorded or counterfactual: units of 1e-9 shares, positive for a buy."""

    symbol: str
    units: int
    at: datetime


@dataclass(frozen=True)
class Changed:
    """An order that comes to something else than was recorded.

    ``open_units``: what works of it in the counterfactual, at the end of its run, signed as ``Fill``;
    ``ordered_units``: what was sent then, 0 where nothing was.
    """

    account: str
    symbol: str
    session: date
    then: tuple[Fill, ...]
    now: tuple[Fill, ...]
    open_units: int
    ordered_units: int


@dataclass
class Chain:
    """What has changed so far, and what follows from it for the next run.

    Of changed orders of sessions before, all of whose executions were before a run, nothing counts but what
    they have moved: they are summed, by account and symbol. Where a run of an earlier time follows, the sums
    are taken apart again.
    """

    changed: list[Changed] = field(default_factory=list)
    _settled: list[Changed] = field(default_factory=list)
    _moved: dict[tuple[str, str], int] = field(default_factory=dict)
    _until: tuple[date, datetime] | None = None
    _late: dict[tuple[str, date], list[dict[str, Any]]] = field(default_factory=dict)

    def frames(self, recording: Recording) -> tuple[Frames, bool]:
        """Give a run's inputs as they would have been, and whether that matters to any of its intents."""
        at, session = datetime.fromisoformat(str(recording.inputs["read_at"])), recording.run.trading_date
        self._settle(session, at)
        if not (self.changed or self._moved):
            return recording.frames, False
        frames = dict(recording.frames)
        book = _Book(frames, session)
        touched = {key for key, units in self._moved.items() if book.move(*key, units)}
        for order in self.changed:
            touched |= book.apply(order, at)
        if not touched:
            return recording.frames, False
        return book.tables(frames), _concerns(recording.batch, touched)

    def _settle(self, session: date, at: datetime) -> None:
        """Sum the orders of which only what they moved counts for a run of a session, read at a timestamp."""
        if self._until is not None and (session < self._until[0] or at < self._until[1]):
            self.changed = [*self._settled, *self.changed]
            self._settled, self._moved = [], {}
        self._until = session, at
        left = []
        for order in self.changed:
            if order.session >= session or any(fill.at > at for fill in (*order.then, *order.now)):
                left.append(order)
                continue
            self._settled.append(order)
            for symbol in {fill.symbol for fill in (*order.then, *order.now)}:
                if moved := _sum(order.now, symbol) - _sum(order.then, symbol):
                    key = (order.account, symbol)
                    self._moved[key] = self._moved.get(key, 0) + moved
        self.changed = left

    def add(self, recording: Recording, came_to: Outcomes) -> None:
        """Take in what a run would have done otherwise."""
        rows = np.flatnonzero(came_to.differs)
        if not len(rows) or not recording.is_live:
            return
        batch = recording.batch.select(
            ["client_intent_id", "broker_account_id", "symbol", "side", "action"]
        ).take(pa.array(rows))
        then = self._recorded_fills(recording)
        now = None if came_to.fills is None else _by_intent(came_to.fills.select(list(_FILL)).to_pylist())
        ordered = recording.results["order_qty"].take(pa.array(rows)).to_pylist()
        outcomes = came_to.frame.take(rows).to_dict(orient="records")
        at = datetime.fromisoformat(str(recording.inputs["read_at"]))
        for intent, came, qty_then in zip(batch.to_pylist(), outcomes, ordered, strict=True):
            if intent["action"] == "cancel":
                continue
            key = (intent["broker_account_id"], intent["client_intent_id"])
            sign = 1 if intent["side"] == "buy" else -1
            filled = _units(came["filled_qty"])
            symbol = canonical_symbol(intent["symbol"])
            fills = tuple(now.get(key, ())) if now is not None else _one(symbol, sign * filled, at)
            works = came["source"] == SIMULATED and came["order_status"] == "new"
            self.changed.append(
                Changed(
                    account=intent["broker_account_id"],
                    symbol=symbol,
                    session=recording.run.trading_date,
                    then=tuple(then.get(key, ())),
                    now=fills,
                    open_units=sign * (_units(came["order_qty"]) - filled) if works else 0,
                    ordered_units=sign * _units(qty_then),
                )
            )

    def _recorded_fills(self, recording: Recording) -> dict[tuple[str, str], list[Fill]]:
        """Give a run's executions by intent, those that later runs and syncs brought among them."""
        fills = [] if recording.fills is None else recording.fills.select(list(_FILL)).to_pylist()
        late = [fill for fill in self._late_fills(recording) if fill["fill_id"] not in _ids(fills)]
        return _by_intent([*fills, *late])

    def _late_fills(self, recording: Recording) -> list[dict[str, Any]]:
        path, session = recording.run.path.resolve(), recording.run.trading_date
        if len(path.parents) < _DATA_FOLDER or path.parents[1].name != "runs":
            return []
        root = path.parents[2]
        key = (str(root), session)
        if key not in self._late:
            tables = late_fills(LocalObjects(root), session)
            self._late[key] = [row for table in tables for row in table.select(list(_FILL)).to_pylist()]
        return self._late[key]


class _Book:
    """A run's inputs, to be changed; what is unavailable stays so."""

    def __init__(self, frames: Frames, session: date) -> None:
        self._session = session
        self._positions = _frame(frames, "positions")
        self._trades = _frame(frames, "daily_trades")
        self._working = _frame(frames, "working_orders")

    def apply(self, order: Changed, at: datetime) -> set[tuple[str, str]]:
        """Put one changed order in; gives what it touches: account and symbol, "" for the count of trades."""
        touched = set()
        then, now = ([fill for fill in fills if fill.at <= at] for fills in (order.then, order.now))
        for symbol in {fill.symbol for fill in (*then, *now)}:
            moved = _sum(now, symbol) - _sum(then, symbol)
            if moved and self.move(order.account, symbol, moved):
                touched.add((order.account, symbol))
        if order.session == self._session and self._count(order, bool(then), bool(now), at):
            touched |= {(order.account, ""), (order.account, order.symbol)}
        return touched

    def tables(self, frames: Frames) -> Frames:
        """Give the frames as they are now."""
        told = {"positions": self._positions, "daily_trades": self._trades, "working_orders": self._working}
        return {
            **frames,
            **{
                name: pa.Table.from_pandas(frame, schema=_schema(frames, name), preserve_index=False)
                for name, frame in told.items()
                if frame is not None
            },
        }

    def move(self, account: str, symbol: str, units: int) -> bool:
        """Add units to a position; tell whether that could be."""
        frame = self._positions
        if frame is None:
            return False
        found = np.flatnonzero((frame["broker_account_id"] == account) & (frame["symbol"] == symbol))
        if len(found) == 0:
            row = {"broker_account_id": account, "symbol": symbol, "qty": units / UNITS}
            self._positions = pd.concat([frame, pd.DataFrame([row])], ignore_index=True)
        elif len(found) == 1:
            place = frame.columns.get_loc("qty")
            held = frame.iloc[found[0], place]
            if not np.isnan(held):
                frame.iloc[found[0], place] = (round(held * UNITS) + units) / UNITS
        return len(found) <= 1

    def _count(self, order: Changed, filled_then: bool, filled_now: bool, at: datetime) -> bool:
        """Count an order as a trade where it would have been one, and else no more; tell of a change."""
        worked = self._withdraw(order, at) if order.ordered_units else False
        counted_then = filled_then and not worked
        works_now = bool(order.open_units) and self._works(order)
        change = int(filled_now) - int(counted_then)
        frame = self._trades
        if change and frame is not None:
            found = np.flatnonzero(frame["broker_account_id"] == order.account)
            if len(found) == 1:
                place = frame.columns.get_loc("trades")
                frame.iloc[found[0], place] = max(frame.iloc[found[0], place] + change, 0.0)
            elif len(found) == 0 and change > 0:
                row = {"broker_account_id": order.account, "trades": float(change)}
                self._trades = pd.concat([frame, pd.DataFrame([row])], ignore_index=True)
        return bool(change) or worked or works_now

    def _withdraw(self, order: Changed, at: datetime) -> bool:
        """Take an order that was sent then out of those that work; tell whether it was among them."""
        frame = self._working
        rest = order.ordered_units - sum(fill.units for fill in order.then if fill.at <= at)
        if frame is None or not rest:
            return False
        side = "buy" if order.ordered_units > 0 else "sell"
        is_it = (
            (frame["broker_account_id"] == order.account)
            & (frame["symbol"] == order.symbol)
            & (frame["side"] == side)
            & ((frame["remaining_qty"] * UNITS).round() == abs(rest))
        )
        found = np.flatnonzero(is_it)
        if not len(found):
            return False
        self._working = frame.drop(index=frame.index[found[0]]).reset_index(drop=True)
        return True

    def _works(self, order: Changed) -> bool:
        if self._working is None:
            return False
        row = {
            "broker_account_id": order.account,
            "symbol": order.symbol,
            "side": "buy" if order.open_units > 0 else "sell",
            "remaining_qty": abs(order.open_units) / UNITS,
        }
        self._working = pd.concat([self._working, pd.DataFrame([row])], ignore_index=True)
        return True


def _concerns(batch: pa.Table, touched: set[tuple[str, str]]) -> bool:
    """Tell whether any intent is of an account and symbol, or an account's count, that was touched."""
    pairs = (
        batch.select(["broker_account_id", "symbol"]).group_by(["broker_account_id", "symbol"]).aggregate([])
    )
    accounts, symbols = (pairs[name].cast(pa.string()).to_pylist() for name in pairs.schema.names)
    own = {
        (account, None if symbol is None else canonical_symbol(symbol))
        for account, symbol in zip(accounts, symbols, strict=True)
    }
    own |= {(account, "") for account, _ in own}
    return bool(own & touched)


def _frame(frames: Frames, name: str) -> pd.DataFrame | None:
    """Return a frame to be changed, its symbols in their canonical form."""
    table = frames.get(name)
    if table is None:
        return None
    frame = table.to_pandas()
    if "symbol" in frame:
        frame["symbol"] = frame["symbol"].map(canonical_symbol, na_action="ignore")
    return frame


def _schema(frames: Frames, name: str) -> pa.Schema:
    table = frames[name]
    assert table is not None, "a frame that was unavailable stays so"
    return table.schema


def _by_intent(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], list[Fill]]:
    found: dict[tuple[str, str], list[Fill]] = {}
    for row in rows:
        units = _units(row["qty"]) * (1 if row["side"] == "buy" else -1)
        key = (row["broker_account_id"], row["client_intent_id"])
        found.setdefault(key, []).append(Fill(canonical_symbol(row["symbol"]), units, row["filled_at"]))
    return found


def _ids(fills: Iterable[Mapping[str, Any]]) -> set[str]:
    return {str(fill["fill_id"]) for fill in fills}


def _one(symbol: str, units: int, at: datetime) -> tuple[Fill, ...]:
    return (Fill(symbol, units, at),) if units else ()


def _sum(fills: Iterable[Fill], symbol: str) -> int:
    return sum(fill.units for fill in fills if fill.symbol == symbol)


def _units(qty: float | None) -> int:
    return 0 if qty is None or np.isnan(qty) else round(qty * UNITS)
