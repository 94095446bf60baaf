"""Chained replay: the counterfactual outcomes of earlier runs change the inputs of later ones.

Each run starts from its recorded snapshot. Counterfactual fills up to its time are added, and recorded fills
that would not have happened are subtracted. Every other change of the book (manual trades, late fills of
other orders) stays in it. An order that would not have been sent is removed from the working orders and from
the day's count. A newly sent one is filled by ``replay.market``, or works until the end of its session.
"""

from __future__ import annotations

import math
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
    "price",
    "filled_at",
    "trading_date",
)
_CENT = 0.011
"""The difference of two remaining notionals of one order: average prices are rounded."""
_DATA_FOLDER = 3  # levels above a run's folder: runs/<trading date>/<run id>


@dataclass(frozen=True)
class Fill:
    """An execution, recorded or counterfactual: units of 1e-9 shares, positive for a buy; USD per share."""

    symbol: str
    units: int
    at: datetime
    price: float = field(default=math.nan, compare=False)


@dataclass(frozen=True)
class Changed:
    """An order whose outcome isn't the recorded one.

    ``open_units``: the counterfactual open quantity at the end of its run, signed as ``Fill``;
    ``ordered_units``: the recorded order's quantity, 0 where none was sent. Of an order by notional these are
    0; ``open_notional`` and ``ordered_notional`` are its amounts in USD, signed likewise.
    """

    account: str
    symbol: str
    session: date
    then: tuple[Fill, ...]
    now: tuple[Fill, ...]
    open_units: int
    ordered_units: int
    open_notional: float = 0.0
    ordered_notional: float = 0.0


@dataclass
class Chain:
    """The changed orders so far, and their effect on the inputs of the next run.

    Changed orders of earlier sessions whose executions all precede a run matter only by the quantity they
    moved, so they are summed by account and symbol. If a run of an earlier time follows, the sums are undone.
    """

    changed: list[Changed] = field(default_factory=list)
    _settled: list[Changed] = field(default_factory=list)
    _moved: dict[tuple[str, str], int] = field(default_factory=dict)
    _until: tuple[date, datetime] | None = None
    _late: dict[tuple[str, date], list[dict[str, Any]]] = field(default_factory=dict)

    def frames(self, recording: Recording) -> tuple[Frames, bool]:
        """Return a run's counterfactual inputs, and whether the change concerns any of its intents."""
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
        """Sum the orders that matter only by the quantity they moved, as of ``session`` and ``at``."""
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

    def add(self, recording: Recording, replayed: Outcomes) -> None:
        """Add the orders of a run whose outcomes differ."""
        rows = np.flatnonzero(replayed.differs)
        if not len(rows) or not recording.is_live:
            return
        batch = recording.batch.select(
            ["client_intent_id", "broker_account_id", "symbol", "side", "action", "notional"]
        ).take(pa.array(rows))
        then = self._recorded_fills(recording)
        now = None if replayed.fills is None else _by_intent(replayed.fills.select(list(_FILL)).to_pylist())
        recorded = recording.results.select(["order_qty", "broker_order_id"]).take(pa.array(rows)).to_pylist()
        outcomes = replayed.frame.take(rows).to_dict(orient="records")
        at = datetime.fromisoformat(str(recording.inputs["read_at"]))
        for intent, outcome, order_then in zip(batch.to_pylist(), outcomes, recorded, strict=True):
            if intent["action"] == "cancel":
                continue
            key = (intent["broker_account_id"], intent["client_intent_id"])
            sign = 1 if intent["side"] == "buy" else -1
            filled = _units(outcome["filled_qty"])
            symbol = canonical_symbol(intent["symbol"])
            fills = tuple(now.get(key, ())) if now is not None else _one(symbol, sign * filled, at)
            works = outcome["source"] == SIMULATED and outcome["order_status"] == "new"
            notional = sign * (intent["notional"] or 0.0)
            was_sent = order_then["broker_order_id"] is not None
            self.changed.append(
                Changed(
                    account=intent["broker_account_id"],
                    symbol=symbol,
                    session=recording.run.trading_date,
                    then=tuple(then.get(key, ())),
                    now=fills,
                    open_units=sign * (_units(outcome["order_qty"]) - filled)
                    if works and not notional
                    else 0,
                    ordered_units=0 if notional else sign * _units(order_then["order_qty"]),
                    open_notional=notional if works else 0.0,
                    ordered_notional=notional if was_sent else 0.0,
                )
            )

    def _recorded_fills(self, recording: Recording) -> dict[tuple[str, str], list[Fill]]:
        """Return a run's executions by intent, including those that later runs and syncs recorded."""
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
    """A run's inputs, to be changed; an unavailable input stays unavailable."""

    def __init__(self, frames: Frames, session: date) -> None:
        self._session = session
        self._positions = _frame(frames, "positions")
        self._trades = _frame(frames, "daily_trades")
        self._working = _frame(frames, "working_orders")

    def apply(self, order: Changed, at: datetime) -> set[tuple[str, str]]:
        """Apply one changed order; return the (account, symbol) pairs it touches, "" for the trade count."""
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
        """Return the changed frames."""
        own = {"positions": self._positions, "daily_trades": self._trades, "working_orders": self._working}
        return {
            **frames,
            **{
                name: pa.Table.from_pandas(frame, schema=_schema(frames, name), preserve_index=False)
                for name, frame in own.items()
                if frame is not None
            },
        }

    def move(self, account: str, symbol: str, units: int) -> bool:
        """Add units to a position; return False where positions are unavailable or ambiguous."""
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
        """Correct the trade count and the working orders for an order; return whether either changed."""
        worked = self._withdraw(order, at)
        counted_then = filled_then and not worked
        works_now = bool(order.open_units or order.open_notional) and self._works(order)
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
        """Remove a recorded order from the working orders; return whether it was among them."""
        frame = self._working
        amount = order.ordered_units or order.ordered_notional
        if frame is None or not amount:
            return False
        is_it = (
            (frame["broker_account_id"] == order.account)
            & (frame["symbol"] == order.symbol)
            & (frame["side"] == ("buy" if amount > 0 else "sell"))
            & _has_left(frame, order, [fill for fill in order.then if fill.at <= at])
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
            "side": "buy" if (order.open_units or order.open_notional) > 0 else "sell",
            "remaining_qty": abs(order.open_units) / UNITS if order.open_units else math.nan,
            "remaining_notional": abs(order.open_notional) or math.nan,
        }
        self._working = pd.concat([self._working, pd.DataFrame([row])], ignore_index=True)
        return True


def _has_left(frame: pd.DataFrame, order: Changed, filled: Iterable[Fill]) -> pd.Series:
    """Return the working orders of which as much is left as of a recorded order after its executions.

    An order by notional is found by its remaining notional; an earlier version's frame has none, and there
    such an order stays, unknown as it was.
    """
    nothing = pd.Series(False, index=frame.index)
    if order.ordered_units:
        rest = order.ordered_units - sum(fill.units for fill in filled)
        return (frame["remaining_qty"] * UNITS).round() == abs(rest) if rest else nothing
    if "remaining_notional" not in frame:
        return nothing
    spent = math.fsum(fill.units / UNITS * fill.price for fill in filled)
    left = frame["remaining_notional"] - abs(order.ordered_notional - spent)
    return (left > -_CENT) & (left < _CENT) & (frame["remaining_notional"] > 0)


def _concerns(batch: pa.Table, touched: set[tuple[str, str]]) -> bool:
    """Return whether any intent belongs to a touched account and symbol, or a touched trade count."""
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
    assert table is not None, "an unavailable frame stays unavailable"
    return table.schema


def _by_intent(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], list[Fill]]:
    found: dict[tuple[str, str], list[Fill]] = {}
    for row in rows:
        units = _units(row["qty"]) * (1 if row["side"] == "buy" else -1)
        key = (row["broker_account_id"], row["client_intent_id"])
        fill = Fill(canonical_symbol(row["symbol"]), units, row["filled_at"], _price(row["price"]))
        found.setdefault(key, []).append(fill)
    return found


def _ids(fills: Iterable[Mapping[str, Any]]) -> set[str]:
    return {str(fill["fill_id"]) for fill in fills}


def _one(symbol: str, units: int, at: datetime) -> tuple[Fill, ...]:
    return (Fill(symbol, units, at),) if units else ()


def _sum(fills: Iterable[Fill], symbol: str) -> int:
    return sum(fill.units for fill in fills if fill.symbol == symbol)


def _units(qty: float | None) -> int:
    return 0 if qty is None or np.isnan(qty) else round(qty * UNITS)


def _price(price: float | None) -> float:
    return math.nan if price is None else price
