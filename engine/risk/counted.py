"""Counters of a batch: for each limit that adds up, its cells, what is used of them, and their limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.model.quantity import Floats, Ints, Mask
from engine.risk.batch import Batch
from engine.risk.cells import BY_ACCOUNT, Basis, Cells
from engine.risk.in_force import NO_LIMIT, Held, InForce, by_basis
from engine.risk.inputs import RiskInputs
from engine.risk.rule import Counter, Rule, Used
from engine.risk.running import used_before
from engine.risk.scan import NO_CELL, UNKNOWN_CELL
from engine.risk.verdicts import FAIL, OFF, PASS, UNAVAILABLE, Verdicts, everywhere

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
    apart. ``uniform``: the limit of every row, where they have the same.
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
        """Whether it adds shares; else it counts orders."""
        return self.counter.of == "qty"

    def unknown(self, batch: Batch) -> Mask | None:
        """Return the rows whose verdict is unavailable whatever is allowed before them, None for none."""
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
            if self.once is not None and self.entered is not None:
                asked = self._first_ones(volume)
            inside = at >= 0
            total = np.bincount(at[inside], weights=asked[inside], minlength=count)
            if self.uniform is not None:
                return np.asarray((total * _ROUNDING > self.uniform - self._used()) & (total > 0))
            limit = np.full(count, NO_LIMIT)
            np.minimum.at(limit, at[inside], np.where(volume.orders > 0, self.limit, NO_LIMIT)[inside])
        headroom = np.where(limit < NO_LIMIT, limit, 0) - self._used()
        return np.asarray((total * _ROUNDING > headroom) & (limit < NO_LIMIT))

    def _used(self) -> Ints:
        return np.abs(self.used.units) if self.counter.signed else self.used.units

    def may_refuse(self, batch: Batch, volume: Volume) -> Mask:
        """Return the contested cells, and those that an order of unknown quantity makes unknown."""
        cells = self.contested(batch, volume)
        if self.is_of_qty and not batch.all_traded_known:
            at = self.cells_of_orders(batch)[~batch.traded.known]
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


def counted(rule: Rule, batch: Batch, inputs: RiskInputs, in_force: InForce) -> list[Counted]:
    """Return the counters of a rule: one for each kind of cells that its levels count by."""
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
    assert counter.used is not None
    result = []
    for basis, held in by_basis(levels, counter.bases).items():
        cells = Cells.of(buckets, basis)
        once = entered = unsure = None
        used = counter.used(cells, inputs, settings)
        if counter.once_per is not None and counter.entered is not None:
            ones = Cells.of(buckets, counter.once_per[held[0].level.kind])
            before = counter.entered(ones, inputs)
            once, entered = ones.of_bucket, before.entered
            unsure = ~np.append(before.known, False)[ones.of_bucket]
        result.append(
            Counted(
                rule=rule,
                counter=counter,
                levels=held,
                cell_of=cells.of_bucket,
                is_by_row=False,
                limit=in_force.tightest(held),
                used=used,
                held_at=cells.key_of_bucket,
                once=once,
                entered=entered,
                unsure=unsure,
                basis=basis,
                uniform=_uniform(held),
            )
        )
    return result


@dataclass(frozen=True)
class Outcome:
    """The verdicts of one counter; ``source``: the place of the first failing level, -1 for none.

    ``before``: what is used of each row's cell before it, and ``amount`` what the row adds. Those that were
    not worked out are empty.
    """

    verdicts: Verdicts
    source: npt.NDArray[np.int16] = field(default_factory=lambda: np.zeros(0, dtype=np.int16))
    before: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    amount: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    known: Mask = field(default_factory=lambda: np.zeros(0, dtype=bool))


def outcome(one: Counted, batch: Batch, allowed: Mask, contested: Mask, *, figures: bool) -> Outcome:
    """Return the verdict of a counter on every row, against the allowed rows before it.

    ``contested``: its cells that may refuse a row. ``figures``: what is used is worked out for the rows of
    other cells, too.
    """
    verdicts = _before_the_scan(one, batch)
    if not figures and not contested.any():
        return Outcome(verdicts)
    cells = one.cells_of_orders(batch)
    rows = np.flatnonzero(np.append(contested, [False, False])[cells]) if contested.any() else _NO_ROWS
    before, amount, known = _sums(one, batch, allowed, cells, None if figures else rows)
    if not len(rows):
        return Outcome(verdicts, before=before, amount=amount, known=known)
    source = np.full(batch.rows, -1, dtype=np.int16)
    limits = one.limits(batch)
    at = slice(None) if len(rows) == batch.rows else rows
    limit = limits if isinstance(limits, int) else limits[at]
    total = before[at] + amount[at]
    over = total > limit
    if one.counter.signed:
        now, change = before[at], amount[at]
        over |= total < -limit
        over &= ~((change < 0) & (now >= -change) | (change > 0) & (-now >= change))
    if one.once is not None:
        over &= amount[at] > 0
    here = verdicts[at]
    here[(here == PASS) & over] = FAIL
    here[(here != OFF) & ~known[at]] = UNAVAILABLE
    verdicts[at] = here
    failing = rows[here == FAIL]
    total = total[here == FAIL]
    if one.is_share:
        source[failing] = _tightest(one, batch.buckets.of_row[failing])
        return Outcome(verdicts, source, before, amount, known)
    for place in range(len(one.levels) - 1, -1, -1):
        held = one.levels[place]
        breached = np.abs(total) > held.units if one.counter.signed else total > held.units
        if held.buckets is not None:
            breached &= held.buckets[batch.buckets.of_row[failing]]
        source[failing[breached]] = place
    return Outcome(verdicts, source, before, amount, known)


_NO_ROWS = np.zeros(0, dtype=np.int64)


def _before_the_scan(one: Counted, batch: Batch) -> Verdicts:
    """Return what is known of each row without the rows before it: off, unavailable, or pass."""
    if one.is_by_row:
        verdicts = everywhere(PASS, batch.rows)
        if one.uniform is None and (one.limit == NO_LIMIT).any():
            verdicts[np.asarray(one.limits(batch) == NO_LIMIT)] = OFF
        cells = one.cells_of_orders(batch)
        if not one.used.known.all() or cells.min(initial=0) < 0:
            unknown = ~np.append(one.used.known, [False, False])[cells] & (verdicts == PASS)
            verdicts[unknown] = UNAVAILABLE
    else:
        known = np.append(one.used.known, False)[one.cell_of]
        if one.unsure is not None:
            known &= ~one.unsure
        by_bucket = np.where(one.limit == NO_LIMIT, OFF, np.where(known, PASS, UNAVAILABLE)).astype(np.int8)
        verdicts = by_bucket[batch.buckets.of_row]
        if one.is_of_qty and not batch.all_traded_known:
            verdicts[(verdicts == PASS) & ~batch.traded.known] = UNAVAILABLE
    if one.is_by_row:
        verdicts[one.cells_of_orders(batch) == NO_CELL] = OFF
    elif batch.has_cancels and not one.rule.faces_cancels:
        verdicts[batch.is_cancel] = OFF
    return verdicts


def _sums(
    one: Counted, batch: Batch, allowed: Mask, cells: Ints, rows: Ints | None
) -> tuple[Ints, Ints, Mask]:
    """Return what is used before each row, what it adds, and where both are known.

    ``rows``: the only ones to work it out for, None for all.
    """
    counts = allowed if one.rule.faces_cancels or not batch.has_cancels else allowed & batch.is_order
    everything = rows is None
    at = slice(None) if rows is None else rows
    bucket, here, counts = batch.buckets.of_row[at], cells[at], counts[at]
    needs_qty = one.is_of_qty and not batch.all_traded_known
    has_qty = batch.traded.known[at] if needs_qty else np.ones(len(here), dtype=bool)
    amount = batch.traded.units[at] if one.is_of_qty else np.ones(len(here), dtype=np.int64)
    if one.counter.signed:
        amount = amount * batch.side[at]
    adds = counts & has_qty if needs_qty else counts
    once = None
    if one.once is not None and one.entered is not None:
        once = one.once[bucket]
        again = used_before(once, one.entered.astype(np.int64), None, counts) > 0
        amount = np.where(again & (once >= 0), 0, amount)
    before = used_before(here, one.used.units, amount if one.is_of_qty or once is not None else None, adds)
    known = has_qty
    if not one.used.known.all() or here.min(initial=0) < 0:
        known = has_qty & np.append(one.used.known, [False, False])[here]
    if one.unsure is not None:
        known = known & ~one.unsure[bucket]
    poison = counts & ~has_qty & (here >= 0) if needs_qty else None
    if poison is not None and poison.any():
        known = known & (used_before(here, np.zeros(len(one.used.units), np.int64), None, poison) == 0)
    if everything:
        return before, amount, known
    all_before, all_amounts = np.zeros(batch.rows, dtype=np.int64), np.zeros(batch.rows, dtype=np.int64)
    all_known = np.zeros(batch.rows, dtype=bool)
    all_before[rows], all_amounts[rows], all_known[rows] = before, amount, known
    return all_before, all_amounts, all_known


def _uniform(levels: tuple[Held, ...]) -> int | None:
    """Return the limit that all rows have, None where it depends on the row."""
    if all(held.buckets is None for held in levels):
        return min(held.units for held in levels)
    return None


def _tightest(one: Counted, buckets: Ints) -> npt.NDArray[np.int16]:
    """Return the place of the level with the smallest limit, of some buckets."""
    units = [
        np.where(held.buckets[buckets], held.units, NO_LIMIT)
        if held.buckets is not None
        else np.full(len(buckets), held.units)
        for held in one.levels
    ]
    return np.asarray(np.argmin(np.vstack(units), axis=0), dtype=np.int16)
