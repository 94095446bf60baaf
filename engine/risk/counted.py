"""Counters of a batch: for each limit that adds up, its cells, what is used of them, and their limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.model.quantity import Floats, Ints, Mask
from engine.risk.batch import Batch
from engine.risk.cells import Cells
from engine.risk.in_force import NO_LIMIT, Held, InForce, by_basis
from engine.risk.inputs import RiskInputs
from engine.risk.rule import Counter, Rule, Used
from engine.risk.running import used_before
from engine.risk.scan import NO_CELL
from engine.risk.verdicts import FAIL, OFF, PASS, UNAVAILABLE, Verdicts

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
    once, -1 for none; ``entered``: which of these
    were entered before. ``unsure``: buckets of which that is unknown. ``is_share``: it
    counts a strategy's share of the limit.
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

    def cells(self, batch: Batch) -> Ints:
        """Return the cell of each row, negative for none."""
        return self.cell_of if self.is_by_row else self.cell_of[batch.buckets.of_row]

    @property
    def is_of_qty(self) -> bool:
        """Whether it adds shares; else it counts orders."""
        return self.counter.of == "qty"

    def known(self, batch: Batch, cells: Ints) -> Mask:
        """Return whether what is used of each row's cell is known; it is not for a negative one."""
        known = np.append(self.used.known, False)[cells]
        return known if self.unsure is None else known & ~self.unsure[batch.buckets.of_row]

    def contested(self, batch: Batch, volume: Volume) -> Mask:
        """Return which cells' limits the orders of the batch exceed together, or may exceed.

        A cell that is not contested refuses no row, whichever of them are allowed.
        """
        count = len(self.used.units)
        at = self.cell_of
        if self.is_by_row:
            total: npt.NDArray[Any] = np.bincount(at[at >= 0], minlength=count).astype(np.float64)
            limit = np.full(count, NO_LIMIT)
            rows = np.flatnonzero(at >= 0)
            np.minimum.at(limit, at[rows], self.limit[batch.buckets.of_row[rows]])
        else:
            asked = volume.qty if self.is_of_qty else volume.orders.astype(np.float64)
            if self.once is not None and self.entered is not None:
                asked = self._first_ones(volume)
            inside = at >= 0
            total = np.bincount(at[inside], weights=asked[inside], minlength=count)
            limit = np.full(count, NO_LIMIT)
            np.minimum.at(limit, at[inside], np.where(volume.orders > 0, self.limit, NO_LIMIT)[inside])
        used = np.abs(self.used.units) if self.counter.signed else self.used.units
        return np.asarray((used + total * _ROUNDING > limit) & (limit < NO_LIMIT))

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
            )
        )
    return result


@dataclass(frozen=True)
class Outcome:
    """The verdicts of one counter; ``source``: the place of the first failing level, -1 for none.

    ``before``: what is used of each row's cell before it, and ``amount`` what the row adds.
    """

    verdicts: Verdicts
    source: npt.NDArray[np.int16]
    before: Ints
    amount: Ints
    known: Mask


def outcome(one: Counted, batch: Batch, allowed: Mask) -> Outcome:
    """Return the verdict of a counter on every row, against the allowed rows before it."""
    cells = one.cells(batch)
    bucket = batch.buckets.of_row
    rows = batch.rows
    takes_part = np.ones(rows, dtype=bool) if one.rule.faces_cancels else batch.is_order
    has_qty = batch.traded.known if one.is_of_qty else np.ones(rows, dtype=bool)
    amount = np.where(has_qty, batch.traded.units, 0) if one.is_of_qty else np.ones(rows, dtype=np.int64)
    if one.counter.signed:
        amount = amount * batch.side
    counts = allowed & takes_part
    if one.once is not None and one.entered is not None:
        again = used_before(one.once[bucket], one.entered.astype(np.int64), None, counts) > 0
        amount = np.where(again & (one.once[bucket] >= 0), 0, amount)
    before = used_before(
        cells, one.used.units, None if not one.is_of_qty and one.once is None else amount, counts
    )
    known = one.known(batch, cells) & has_qty
    poison = counts & ~has_qty & (cells >= 0)
    if poison.any():
        known &= used_before(cells, np.zeros(len(one.used.units), np.int64), None, poison) == 0
    limit = one.limit[bucket]
    over = before + amount > limit
    if one.counter.signed:
        over |= before + amount < -limit
        over &= ~((amount < 0) & (before >= -amount) | (amount > 0) & (-before >= amount))
    if one.once is not None:
        over &= amount > 0
    verdicts = np.where(known, np.where(over, FAIL, PASS), UNAVAILABLE).astype(np.int8)
    verdicts[(limit == NO_LIMIT) | ~takes_part | (cells == NO_CELL)] = OFF
    source = np.full(rows, -1, dtype=np.int16)
    failing = np.flatnonzero(verdicts == FAIL)
    if one.is_share:
        source[failing] = _tightest(one, bucket[failing])
        return Outcome(verdicts, source, before, amount, known)
    total = before[failing] + amount[failing]
    for place in range(len(one.levels) - 1, -1, -1):
        held = one.levels[place]
        breached = np.abs(total) > held.units if one.counter.signed else total > held.units
        if held.buckets is not None:
            breached &= held.buckets[bucket[failing]]
        source[failing[breached]] = place
    return Outcome(verdicts, source, before, amount, known)


def _tightest(one: Counted, buckets: npt.NDArray[np.int32]) -> npt.NDArray[np.int16]:
    """Return the place of the level with the smallest limit, of some buckets."""
    units = [
        np.where(held.buckets[buckets], held.units, NO_LIMIT)
        if held.buckets is not None
        else np.full(len(buckets), held.units)
        for held in one.levels
    ]
    return np.asarray(np.argmin(np.vstack(units), axis=0), dtype=np.int16)
