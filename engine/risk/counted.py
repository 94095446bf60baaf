"""Counters of a batch: for each limit that adds up, its cells, what is used of them, and their limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.model.money import MONEY_UNITS
from engine.model.quantity import UNITS, Floats, Ints, Mask
from engine.risk.batch import Batch
from engine.risk.cells import BY_ACCOUNT, Basis, Cells
from engine.risk.in_force import NO_LIMIT, Held, InForce, by_basis
from engine.risk.in_money import InMoney
from engine.risk.rule import Counter, Money, Rule, Used
from engine.risk.scan import NO_CELL, UNKNOWN_CELL
from engine.risk.valuing import Valuation
from engine.risk.verdicts import Amounts

_ROUNDING = 1.0 + 1e-9
"""Sums that only tell which cells are contested are made in floats, and taken as this much larger."""


@dataclass(frozen=True)
class Volume:
    """How much a batch asks for, by bucket: its orders, and their shares in units (floats, roughly)."""

    orders: Ints
    qty: npt.NDArray[Any]

    @classmethod
    def of(cls, batch: Batch) -> Volume:
        """Return the volume of all orders of a batch, whatever becomes of them."""
        bucket, count = batch.buckets.of_row, batch.buckets.count
        if batch.is_cancel.any():
            bucket, units = bucket[batch.is_order], batch.traded.units[batch.is_order]
        else:
            units = batch.traded.units
        return cls(np.bincount(bucket, minlength=count), np.bincount(bucket, weights=units, minlength=count))


@dataclass(frozen=True, kw_only=True)
class Counted:
    """A counter over one kind of cells.

    ``cell_of``: the cell per bucket, or per row where ``is_by_row``. ``limit``: per bucket, ``NO_LIMIT``
    for none. ``held_at``: per bucket, the cell without side. ``once``: per bucket, the cell that counts
    once, -1 for none; ``entered``: which of these were entered before. ``unsure``: buckets of which that
    is unknown. ``is_share``: it counts a strategy's share of the limit. ``basis``: what tells its cells
    apart. ``uniform``: the limit of every row, where they have the same. ``money``: what it counts in
    money, if it does.
    """

    rule: Rule
    counter: Counter
    levels: tuple[Held, ...]
    cell_of: Ints
    is_by_row: bool
    limit: Ints
    used: Used
    held_at: Ints | None = None
    once: Ints | None = None
    entered: Mask | None = None
    unsure: Mask | None = None
    is_share: bool = False
    basis: Basis = BY_ACCOUNT
    uniform: int | None = None
    money: InMoney | None = None
    cache: dict[str, Any] = field(default_factory=dict)

    def cells(self, batch: Batch) -> Ints:
        """Return the cell of each row, negative for none."""
        if self.is_by_row:
            return self.cell_of
        if "cells" not in self.cache:
            self.cache["cells"] = self.cell_of[batch.buckets.of_row]
        cells: Ints = self.cache["cells"]
        return cells

    def cells_of_orders(self, batch: Batch) -> Ints:
        """Return the cell of each row that counts, ``NO_CELL`` for a cancel that doesn't."""
        cells = self.cells(batch)
        if self.rule.faces_cancels or not batch.has_cancels:
            return cells
        return np.where(batch.is_cancel, NO_CELL, cells)

    def limits(self, batch: Batch) -> Ints | int:
        """Return the limit of each row, or the one limit of all."""
        return self.limit[batch.buckets.of_row] if self.uniform is None else self.uniform

    @property
    def is_of_qty(self) -> bool:
        """Whether it adds shares."""
        return self.counter.of == "qty"

    @property
    def scale(self) -> int:
        """How many units make one: of shares, of money, or of what is counted."""
        return MONEY_UNITS if self.money is not None else UNITS if self.is_of_qty else 1

    def amounts(self, batch: Batch) -> Amounts | None:
        """Return what each row adds, None where it is 1."""
        return self.money.amounts if self.money is not None else batch.traded if self.is_of_qty else None

    def adds_unknown(self, batch: Batch) -> Mask | None:
        """Return the rows of which it is not known what they add, None for none."""
        if self.money is not None:
            return None if self.money.amounts_known else ~self.money.amounts.known
        return ~batch.traded.known if self.is_of_qty and not batch.all_traded_known else None

    def unknown(self, batch: Batch) -> Mask | None:
        """Return the rows whose verdict is unavailable whatever is allowed before them, None for none.

        In money, what is unknown may pass by reducing a position, unless the row's cell is not known at all.
        """
        if self.money is not None:
            no_cell = ((self.cell_of == UNKNOWN_CELL) & (self.limit < NO_LIMIT))[batch.buckets.of_row]
            return np.asarray(no_cell & batch.is_order)
        if self.is_by_row:
            cells = self.cells(batch)
            if self.used.known.all() and cells.min(initial=0) >= 0:
                return None
            rows = (cells == UNKNOWN_CELL) | ~np.append(self.used.known, [True, False])[cells]
            rows &= np.asarray(self.limits(batch) < NO_LIMIT)
        else:
            unsure = ~np.append(self.used.known, [True, False])[self.cell_of] & (self.limit < NO_LIMIT)
            if self.unsure is not None:
                unsure |= self.unsure & (self.limit < NO_LIMIT)
            needs_qty = self.is_of_qty and not batch.all_traded_known
            if not needs_qty and not unsure.any():
                return None
            rows = unsure[batch.buckets.of_row]
            if needs_qty:
                rows |= ~batch.traded.known & np.asarray(self.limits(batch) < NO_LIMIT)
        return rows if self.rule.faces_cancels else np.asarray(rows & batch.is_order)

    def contested(self, batch: Batch, volume: Volume) -> Mask:
        """Return which cells' limits the orders of the batch exceed together, or may exceed.

        A cell that is not contested refuses no row, whichever of them are allowed.
        """
        if "contested" not in self.cache:
            self.cache["contested"] = self._contested(batch, volume)
        cells: Mask = self.cache["contested"]
        return cells

    def _contested(self, batch: Batch, volume: Volume) -> Mask:
        count = len(self.used.units)
        at = self.cell_of
        if self.is_by_row:
            total: npt.NDArray[Any] = np.bincount(
                at if at.min(initial=0) >= 0 else at[at >= 0], minlength=count
            )
            if self.uniform is not None:
                return np.asarray(self.used.units + total > self.uniform)
            limit = np.full(count, NO_LIMIT)
            rows = np.flatnonzero(at >= 0)
            np.minimum.at(limit, at[rows], self.limit[batch.buckets.of_row[rows]])
        else:
            asked = volume.qty if self.is_of_qty else volume.orders.astype(np.float64)
            if self.money is not None:
                asked = self.money.asked
            if self.once is not None and self.entered is not None:
                asked = self._first_ones(volume)
            inside = at >= 0
            total = np.bincount(at[inside], weights=asked[inside], minlength=count)
            if self.uniform is not None:
                over = (total * _ROUNDING > self.uniform - self._used()) & (total > 0)
                return np.asarray(over | self._in_doubt())
            limit = np.full(count, NO_LIMIT)
            np.minimum.at(limit, at[inside], np.where(volume.orders > 0, self.limit, NO_LIMIT)[inside])
        headroom = np.where(limit < NO_LIMIT, limit, 0) - self._used()
        return np.asarray(((total * _ROUNDING > headroom) | self._in_doubt()) & (limit < NO_LIMIT))

    def _in_doubt(self) -> Mask | bool:
        """Return which cells of money only rows that reduce a position may pass, or may come to be so."""
        if self.money is None:
            return False
        doubt = ~self.used.known
        doubt[self.cell_of[(self.money.unknown > 0) & (self.cell_of >= 0)]] = True
        return doubt

    def _used(self) -> Ints:
        return np.abs(self.used.units) if self.counter.signed else self.used.units

    def may_refuse(self, batch: Batch, volume: Volume) -> Mask:
        """Return the contested cells, and those that an order of unknown quantity makes unknown."""
        cells = self.contested(batch, volume)
        unknown = self.adds_unknown(batch)
        if unknown is not None:
            at = self.cells_of_orders(batch)[unknown]
            cells = cells.copy()
            cells[at[at >= 0]] = True
        return cells

    def _first_ones(self, volume: Volume) -> Floats:
        """Return 1 for one bucket of each cell that rows may enter for the first time, else 0."""
        assert self.once is not None
        assert self.entered is not None
        enters = (volume.orders > 0) & (self.once >= 0) & ~np.append(self.entered, True)[self.once]
        places = np.flatnonzero(enters)
        _, first = np.unique(self.once[places], return_index=True)
        ones = np.zeros(len(volume.orders))
        ones[places[first]] = 1.0
        return ones


def counted(rule: Rule, valuation: Valuation, in_force: InForce) -> list[Counted]:
    """Return the counters of a rule: one for each kind of cells that its levels count by."""
    batch, inputs = valuation.batch, valuation.inputs
    counter, settings = rule.counter, in_force.settings(rule)
    if in_force.config.position_projection == "net" and rule.net_counter is not None:
        counter = rule.net_counter
    assert counter is not None
    levels = in_force.of(rule.limit, rule.units, rule.kinds)
    buckets = batch.buckets
    if counter.by_row is not None:
        if rule.limit is not None and not levels:
            return []
        limit = in_force.tightest(levels)
        if rule.at_most is not None:
            limit = np.full(buckets.count, rule.at_most, dtype=np.int64)
        found = counter.by_row(batch, inputs, settings)
        used = Used(found.used, found.known)
        return [
            Counted(
                rule=rule,
                counter=counter,
                levels=levels,
                cell_of=found.cell.astype(np.int64),
                is_by_row=True,
                limit=limit,
                used=used,
                uniform=rule.at_most if rule.at_most is not None else _uniform(levels),
            )
        ]
    result = []
    for basis, of_basis in by_basis(levels, counter.bases).items():
        cells, held = Cells.of(buckets, basis), of_basis
        once = entered = unsure = in_money = None
        if counter.once_per is not None and counter.entered is not None:
            ones = Cells.of(buckets, counter.once_per[held[0].level.kind])
            before = counter.entered(ones, inputs)
            once, entered = ones.of_bucket, before.entered
            unsure = ~np.append(before.known, False)[ones.of_bucket]
        if counter.money is not None:
            in_money = InMoney.of(counter.money, valuation, basis, held[0].level.kind)
            held = tuple(_by_account(level, cells, counter.money, valuation) for level in of_basis)
        result.append(
            Counted(
                rule=rule,
                counter=counter,
                levels=held,
                cell_of=cells.of_bucket,
                is_by_row=False,
                limit=in_force.tightest(held),
                used=_used(counter, cells, valuation, settings),
                held_at=cells.key_of_bucket,
                once=once,
                entered=entered,
                unsure=unsure,
                basis=basis,
                uniform=_uniform(held),
                money=in_money,
            )
        )
    return result


def _used(counter: Counter, cells: Cells, valuation: Valuation, settings: Mapping[str, Any]) -> Used:
    if counter.money is not None:
        return counter.money.used(cells, valuation)
    assert counter.used is not None
    return counter.used(cells, valuation.inputs, settings)


def _by_account(held: Held, cells: Cells, money: Money, valuation: Valuation) -> Held:
    """Return a level with the limit that its value stands for in each cell, where that is not the value."""
    if money.limit is None:
        return held
    limits = np.append(money.limit(cells, valuation, held.level.value), 0)
    return replace(held, by_bucket=limits[cells.of_bucket])


def _uniform(levels: tuple[Held, ...]) -> int | None:
    """Return the limit that all rows have, None where it depends on the row."""
    if all(held.buckets is None and held.by_bucket is None for held in levels):
        return min(held.units for held in levels)
    return None
