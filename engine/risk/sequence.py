"""The sequential rules over a batch: which rows are contested, and the scan over these.

A row none of whose cells is contested passes these rules whatever becomes of the others, so the scan looks at
the contested rows alone. Verdicts and figures then follow from the allowed rows, by running sums.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from engine.model.quantity import Mask
from engine.risk.batch import Batch
from engine.risk.counted import Counted, Volume, counted
from engine.risk.in_force import InForce
from engine.risk.reducing import Reducible
from engine.risk.rule import Rule
from engine.risk.scanned import ToScan
from engine.risk.self_trade import Crossing
from engine.risk.sharing import shares
from engine.risk.valuing import Valuation
from engine.risk.verdicts import PASS, Verdicts, everywhere


@dataclass(frozen=True)
class Prepared:
    """A batch's sequential rules: counters, prices of self-trades, and the errors of those that raised."""

    counters: Mapping[str, Sequence[Counted]]
    crossings: Mapping[str, Crossing]
    raised: Mapping[str, str]
    volume: Volume

    def without(self, rules: Collection[str]) -> Prepared:
        """Return the same without the counters of some rules."""
        kept = {name: group for name, group in self.counters.items() if name not in rules}
        return self if len(kept) == len(self.counters) else replace(self, counters=kept)


def with_shares(found: Prepared, batch: Batch, open_row: Mask) -> Prepared:
    """Return the same rules, with a further counter for each limit that strategies share in a batch."""
    counters = {rule: [*group, *shares(group, batch, open_row)] for rule, group in found.counters.items()}
    return replace(found, counters=counters)


def prepared(rules: Sequence[Rule], valuation: Valuation, in_force: InForce) -> Prepared:
    """Prepare the sequential rules of a book; one that raises refuses every row that it faces."""
    batch, inputs = valuation.batch, valuation.inputs
    counters: dict[str, Sequence[Counted]] = {}
    crossings: dict[str, Crossing] = {}
    raised: dict[str, str] = {}
    for rule in rules:
        try:
            if rule.counter is not None:
                counters[rule.name] = counted(rule, valuation, in_force)
            else:
                crossing = Crossing.of(rule, batch, inputs, in_force)
                if crossing is not None:
                    crossings[rule.name] = crossing
        except Exception as error:
            raised[rule.name] = f"{type(error).__name__}: {error}"
    return Prepared(counters, crossings, raised, Volume.of(batch))


@dataclass(frozen=True)
class Question:
    """What a pass over a batch asks.

    ``open_row``: rows that no other rule refuses. ``must_reduce``: per book, rows that pass only if they
    reduce the position there: 1, or 2 where they pass as well if that is unknown, else 0; counters in money
    let rows pass that reduce a position in these books. ``waived``: by
    rule, the rows that may fail it. ``judged``: rows that are not refused beforehand, with their group.
    ``skip``: rules whose unavailable verdicts don't refuse.
    """

    open_row: Mask
    must_reduce: Mapping[int, npt.NDArray[np.int8]]
    books: Mapping[int, Reducible]
    waived: Mapping[str, Mask]
    skip: frozenset[str]
    judged: Mask

    def waived_failures(self, rule: Rule) -> Mask | None:
        """Return the rows that may fail a rule but not lack its data, None for none."""
        return None if rule.name in self.skip else self.waived.get(rule.name)


@dataclass(frozen=True)
class Answer:
    """The allowed rows, and where the scan found a self-trade."""

    allowed: Mask
    crosses: Verdicts


def judge_in_sequence(
    prepared: Prepared, batch: Batch, question: Question, *, every_row: bool = False
) -> Answer:
    """Return which rows are allowed. ``every_row``: scan all rows, contested or not (the definition)."""
    counters = [one for group in prepared.counters.values() for one in group]
    crossing = next(iter(prepared.crossings.values()), None)
    volume = prepared.volume
    open_row = question.open_row.copy()
    contested = np.zeros(batch.buckets.count, dtype=bool)
    contested_row = np.full(batch.rows, every_row)
    scanned = []
    for one in counters:
        skips = one.rule.name in question.skip
        if not skips:
            unknown = one.unknown(batch)
            if unknown is not None:
                open_row &= ~unknown
        cells = one.may_refuse(batch, volume) if skips else one.contested(batch, volume)
        if not every_row and not cells.any():
            continue
        scanned.append(one)
        at = np.append(cells, [False, False])[one.cell_of]
        if one.is_by_row:
            contested_row |= at
        else:
            contested |= at
    if crossing is not None:
        open_row &= ~crossing.unknown(batch)
        contested |= crossing.contested(batch)
    for book, needs in question.must_reduce.items():
        contested |= _contested_to_reduce(question.books[book], needs, batch, volume)
    allowed, crosses = open_row, everywhere(PASS, batch.rows)
    if contested.any():
        contested_row |= contested[batch.buckets.of_row]
    order = np.flatnonzero(contested_row)
    if len(order):
        allowed = open_row.copy()
        ToScan(
            batch=batch,
            order=order,
            open_row=open_row,
            counters=scanned,
            crossing=crossing,
            must_reduce=question.must_reduce,
            books=question.books,
            waived=question.waived,
            skip=question.skip,
        ).run(allowed, crosses)
    return Answer(allowed, crosses)


def _contested_to_reduce(book: Reducible, needs: npt.NDArray[np.int8], batch: Batch, volume: Volume) -> Mask:
    """Return the buckets of cells in which some row must reduce, and not all orders together do."""
    at = book.cells.of_bucket
    asks = np.bincount(batch.buckets.of_row[needs > 0], minlength=batch.buckets.count) > 0
    asked = np.zeros(book.cells.count, dtype=bool)
    asked[at[asks & (at >= 0)]] = True
    total = np.bincount(at[at >= 0], weights=volume.qty[at >= 0], minlength=book.cells.count)
    unknown = np.zeros(book.cells.count, dtype=bool)
    cells = at[batch.buckets.of_row[~batch.traded.known & batch.is_order]]
    unknown[cells[cells >= 0]] = True
    too_much = ~book.known | unknown | (book.working + total * (1.0 + 1e-9) > book.held)
    return np.append(asked & too_much, False)[at] | (asks & (at < 0))
