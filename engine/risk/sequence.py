"""The sequential rules over a batch: which rows are contested, and the scan over these.

A row none of whose cells is contested passes these rules whatever becomes of the others, so the scan looks at
the contested rows alone. Verdicts and figures then follow from the allowed rows, by running sums.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from engine.model.quantity import Ints, Mask
from engine.risk.batch import Batch
from engine.risk.compiled import compiled, use_compiled
from engine.risk.counted import Counted, Volume, counted
from engine.risk.in_force import InForce
from engine.risk.inputs import RiskInputs
from engine.risk.reducing import Reducible
from engine.risk.rule import Rule
from engine.risk.scan import Books, Counters, Rows, SelfTrade, State, scan
from engine.risk.self_trade import Crossing
from engine.risk.sharing import shares
from engine.risk.verdicts import PASS, Verdicts, everywhere

T = TypeVar("T", Rows, Counters, Books, SelfTrade, State)


@dataclass(frozen=True)
class Prepared:
    """A batch's sequential rules: counters, prices of self-trades, and the errors of those that raised."""

    counters: Mapping[str, Sequence[Counted]]
    crossings: Mapping[str, Crossing]
    raised: Mapping[str, str]


def with_shares(found: Prepared, batch: Batch, open_row: Mask) -> Prepared:
    """Return the same rules, with a further counter for each limit that strategies share in a batch."""
    counters = {rule: [*group, *shares(group, batch, open_row)] for rule, group in found.counters.items()}
    return replace(found, counters=counters)


def prepared(rules: Sequence[Rule], batch: Batch, inputs: RiskInputs, in_force: InForce) -> Prepared:
    """Prepare the sequential rules of a book; one that raises refuses every row that it faces."""
    counters: dict[str, Sequence[Counted]] = {}
    crossings: dict[str, Crossing] = {}
    raised: dict[str, str] = {}
    for rule in rules:
        try:
            if rule.counter is not None:
                counters[rule.name] = counted(rule, batch, inputs, in_force)
            else:
                crossing = Crossing.of(rule, batch, inputs, in_force)
                if crossing is not None:
                    crossings[rule.name] = crossing
        except Exception as error:
            raised[rule.name] = f"{type(error).__name__}: {error}"
    return Prepared(counters, crossings, raised)


@dataclass(frozen=True)
class Question:
    """What a pass over a batch asks.

    ``open_row``: rows that no other rule refuses. ``must_reduce``: per book, rows that pass only if they
    reduce the position there: 1, or 2 where they pass as well if that is unknown, else 0. ``waived``: by
    rule, the rows that may fail it. ``judged``: rows that are not refused beforehand, with their group.
    ``skip``: rules whose unavailable verdicts don't refuse.
    """

    open_row: Mask
    must_reduce: Mapping[int, npt.NDArray[np.int8]]
    books: Mapping[int, Reducible]
    waived: Mapping[str, Mask]
    skip: frozenset[str]
    judged: Mask


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
    volume = Volume.of(batch)
    open_row = question.open_row.copy()
    bucket = batch.buckets.of_row
    contested = np.full(batch.buckets.count, every_row)
    contested_row = np.zeros(batch.rows, dtype=bool)
    for one in counters:
        skips = one.rule.name in question.skip
        if not skips:
            open_row &= ~_unknown(one, batch)
        cells = one.contested(batch, volume)
        if skips:
            cells |= _poisoned(one, batch)
        if not cells.any():
            continue
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
    contested_row |= contested[bucket]
    order = np.flatnonzero(contested_row)
    if len(order):
        allowed = open_row.copy()
        allowed[order] = False
        run_scan(order, _Arrays.of(counters, crossing, batch, question, open_row), allowed, crosses)
    return Answer(allowed, crosses)


def _unknown(one: Counted, batch: Batch) -> Mask:
    """Return the rows of orders whose verdict is unavailable whatever is allowed before them."""
    no_limit = np.iinfo(np.int64).max
    if one.is_by_row:
        cells = one.cells(batch)
        return np.asarray((cells == -1) | ~np.append(one.used.known, [True, False])[cells])
    unsure = ~np.append(one.used.known, [True, False])[one.cell_of] & (one.limit < no_limit)
    if one.unsure is not None:
        unsure |= one.unsure & (one.limit < no_limit)
    rows = unsure[batch.buckets.of_row]
    if one.is_of_qty:
        rows |= ~batch.traded.known & (one.limit < no_limit)[batch.buckets.of_row]
    return rows if one.rule.faces_cancels else rows & batch.is_order


def _poisoned(one: Counted, batch: Batch) -> Mask:
    """Return the cells that an order of unknown quantity would make unknown."""
    cells = np.zeros(len(one.used.units), dtype=bool)
    if one.is_of_qty:
        at = one.cells(batch)[~batch.traded.known & batch.is_order]
        cells[at[at >= 0]] = True
    return cells


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


@dataclass(frozen=True)
class _Arrays:
    """The arrays of the scan."""

    rows: Rows
    counters: Counters
    books: Books
    trades: SelfTrade
    state: State

    @classmethod
    def of(
        cls,
        counters: Sequence[Counted],
        crossing: Crossing | None,
        batch: Batch,
        question: Question,
        open_row: Mask,
    ) -> _Arrays:
        bucket = batch.buckets.of_row
        by_row = [one for one in counters if one.is_by_row]
        everyone = np.arange(batch.rows, dtype=np.int32)
        groups = np.vstack([bucket, everyone]) if by_row else bucket[np.newaxis]
        used_at = np.cumsum([0, *(len(one.used.units) for one in counters)])
        entered = [one.entered for one in counters if one.entered is not None]
        entered_at = np.cumsum([0, *(len(flags) for flags in entered)]).tolist()
        once_at: list[int] = []
        once: list[Ints] = []
        for one in counters:
            if one.once is None:
                once_at.append(-1)
                continue
            once_at.append(sum(len(part) for part in once))
            start = entered_at[len(once)]
            once.append(np.where(one.once < 0, -1, one.once + start))
        books = list(question.must_reduce)
        book_at = np.cumsum([0, *(question.books[book].cells.count for book in books)])
        waived = _waived(counters, question.waived, batch.rows)
        return cls(
            Rows(
                open_row,
                batch.is_order,
                groups,
                batch.traded.units,
                batch.traded.known,
                batch.side,
                _stacked([question.must_reduce[book] for book in books], np.int8, batch.rows),
                crossing.price if crossing else np.zeros(0, dtype=np.int64),
            ),
            Counters(
                np.array([int(one.is_by_row) for one in counters], dtype=np.int64),
                np.cumsum([0, *(len(one.cell_of) for one in counters)])[:-1].astype(np.int64),
                _joined(
                    [
                        np.where(one.cell_of >= 0, one.cell_of + start, one.cell_of)
                        for one, start in zip(counters, used_at, strict=False)
                    ]
                ),
                np.arange(len(counters), dtype=np.int64) * batch.buckets.count,
                _joined([one.limit for one in counters]),
                np.array([one.is_of_qty for one in counters], dtype=bool),
                np.array([one.counter.signed for one in counters], dtype=bool),
                np.array(once_at, dtype=np.int64),
                _joined(once),
                np.array([one.rule.name in question.skip for one in counters], dtype=bool),
                np.array([one.rule.faces_cancels for one in counters], dtype=bool),
                waived,
            ),
            Books(
                _stacked(
                    [
                        np.where(cells >= 0, cells + start, -1)
                        for cells, start in zip(
                            (question.books[book].cells.of_bucket for book in books), book_at, strict=False
                        )
                    ],
                    np.int64,
                    batch.buckets.count,
                ),
                _joined([question.books[book].held for book in books]),
                _joined([question.books[book].known for book in books], bool),
            ),
            SelfTrade(
                crossing.cell if crossing else np.zeros(0, dtype=np.int64),
                crossing.known if crossing else np.zeros(0, dtype=bool),
                question.waived.get(crossing.rule.name, np.zeros(0, dtype=bool))
                if crossing
                else np.zeros(0, dtype=bool),
            ),
            State(
                _joined([one.used.units for one in counters]),
                _joined([one.used.known for one in counters], bool),
                _joined(entered, bool),
                _joined([question.books[book].working for book in books]),
                crossing.best_buy.copy() if crossing else np.zeros(0, dtype=np.int64),
                crossing.best_sell.copy() if crossing else np.zeros(0, dtype=np.int64),
            ),
        )


def _waived(counters: Sequence[Counted], waived: Mapping[str, Mask], rows: int) -> npt.NDArray[np.bool_]:
    """Return the waived rows per counter; no rows at all where none is waived."""
    if not any(one.rule.name in waived for one in counters):
        return np.zeros((0, 0), dtype=bool)
    none = np.zeros(rows, dtype=bool)
    return np.vstack([waived.get(one.rule.name, none) for one in counters])


def _joined(parts: Sequence[np.ndarray], dtype: type = np.int64) -> np.ndarray:
    return np.concatenate(parts).astype(dtype) if parts else np.zeros(0, dtype=dtype)


def _stacked(parts: Sequence[np.ndarray], dtype: type, width: int) -> np.ndarray:
    return np.vstack(parts).astype(dtype) if parts else np.zeros((0, width), dtype=dtype)


def run_scan(order: Ints, arrays: _Arrays, allowed: Mask, crosses: Verdicts) -> None:
    """Run the scan over some rows: compiled for many, as plain Python for few."""
    if use_compiled(len(order)):
        judge = compiled(scan)
        judge(
            order, arrays.rows, arrays.counters, arrays.books, arrays.trades, arrays.state, allowed, crosses
        )
        return
    # Item by item, plain Python reads and writes lists several times faster than numpy arrays.
    allowed_list, crosses_list = allowed.tolist(), crosses.tolist()
    scan(
        order.tolist(),
        _as_lists(arrays.rows),
        _as_lists(arrays.counters),
        _as_lists(arrays.books),
        _as_lists(arrays.trades),
        _as_lists(arrays.state),
        allowed_list,
        crosses_list,
    )
    allowed[:] = allowed_list
    crosses[:] = crosses_list


def _as_lists(arrays: T) -> T:
    return type(arrays)(*(column.tolist() for column in arrays))
