"""What a counter answers of every row, once it is known which rows are allowed: by running sums."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from engine.model.quantity import Ints, Mask
from engine.risk.batch import Batch
from engine.risk.counted import Counted
from engine.risk.in_force import NO_LIMIT
from engine.risk.running import used_before
from engine.risk.scan import NO_CELL
from engine.risk.verdicts import FAIL, OFF, PASS, UNAVAILABLE, Verdicts, everywhere


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


def outcome(
    one: Counted,
    batch: Batch,
    allowed: Mask,
    contested: Mask,
    reduces: Callable[[int], Verdicts],
    *,
    figures: bool,
) -> Outcome:
    """Return the verdict of a counter on every row, against the allowed rows before it.

    ``contested``: its cells that may refuse a row. ``reduces``: of a book, which rows reduce a position in
    it. ``figures``: what is used is worked out for the rows of other cells, too.
    """
    verdicts = _before_the_scan(one, batch)
    if not figures and not contested.any():
        return Outcome(verdicts)
    cells = one.cells_of_orders(batch)
    rows = np.flatnonzero(np.append(contested, [False, False])[cells]) if contested.any() else _NO_ROWS
    before, amount, known = _sums(one, batch, allowed, cells, None if figures else rows, reduces)
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
    if one.money is not None:
        here = _reduced(here, reduces(one.money.book)[at])
    verdicts[at] = here
    failing = rows[here == FAIL]
    total = total[here == FAIL]
    if one.is_share:
        source[failing] = _tightest(one, batch.buckets.of_row[failing])
        return Outcome(verdicts, source, before, amount, known)
    for place in range(len(one.levels) - 1, -1, -1):
        held = one.levels[place]
        most = held.at(batch.buckets.of_row[failing])
        breached = np.abs(total) > most if one.counter.signed else total > most
        if held.buckets is not None:
            breached &= held.buckets[batch.buckets.of_row[failing]]
        source[failing[breached]] = place
    return Outcome(verdicts, source, before, amount, known)


_NO_ROWS = np.zeros(0, dtype=np.int64)


def _reduced(verdicts: Verdicts, reduces: Verdicts) -> Verdicts:
    """Return verdicts in money with rows let through that reduce a position."""
    asks = (verdicts == FAIL) | (verdicts == UNAVAILABLE)
    let_through = np.where(asks & (reduces == PASS), np.int8(PASS), verdicts)
    return np.where((verdicts == FAIL) & (reduces == UNAVAILABLE), np.int8(UNAVAILABLE), let_through)


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
        unknown_amount = one.adds_unknown(batch)
        if unknown_amount is not None:
            verdicts[(verdicts == PASS) & unknown_amount] = UNAVAILABLE
    if one.is_by_row:
        verdicts[one.cells_of_orders(batch) == NO_CELL] = OFF
    elif batch.has_cancels and not one.rule.faces_cancels:
        verdicts[batch.is_cancel] = OFF
    return verdicts


def _sums(
    one: Counted,
    batch: Batch,
    allowed: Mask,
    cells: Ints,
    rows: Ints | None,
    reduces: Callable[[int], Verdicts],
) -> tuple[Ints, Ints, Mask]:
    """Return what is used before each row, what it adds, and where both are known.

    ``rows``: the only ones to work it out for, None for all.
    """
    counts = allowed if one.rule.faces_cancels or not batch.has_cancels else allowed & batch.is_order
    everything = rows is None
    at = slice(None) if rows is None else rows
    bucket, here, counts = batch.buckets.of_row[at], cells[at], counts[at]
    amounts, unknown = one.amounts(batch), one.adds_unknown(batch)
    needs_qty = unknown is not None
    has_qty = ~unknown[at] if unknown is not None else np.ones(len(here), dtype=bool)
    amount = np.ones(len(here), dtype=np.int64) if amounts is None else amounts.units[at]
    if one.money is not None:
        closing = reduces(one.money.book)[at] if one.money.only_opening else None
        amount, has_qty = one.money.added(batch, at, counts, closing)
    if one.counter.signed:
        amount = amount * batch.side[at]
    adds = counts & has_qty if needs_qty else counts
    once = None
    if one.once is not None and one.entered is not None:
        once = one.once[bucket]
        again = used_before(once, one.entered.astype(np.int64), None, counts) > 0
        amount = np.where(again & (once >= 0), 0, amount)
    counts_ones = amounts is None and once is None
    before = used_before(here, one.used.units, None if counts_ones else amount, adds)
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


def _tightest(one: Counted, buckets: Ints) -> npt.NDArray[np.int16]:
    """Return the place of the level with the smallest limit, of some buckets."""
    units = [
        np.where(held.buckets[buckets], held.at(buckets), NO_LIMIT)
        if held.buckets is not None
        else np.full(len(buckets), held.at(buckets))
        for held in one.levels
    ]
    return np.asarray(np.argmin(np.vstack(units), axis=0), dtype=np.int16)
