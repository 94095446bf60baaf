"""The arrays of the scan: of the rows to scan alone, as numpy arrays or, for few rows, as lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.model.quantity import Ints, Mask
from engine.risk.batch import Batch
from engine.risk.compiled import compiled, use_compiled
from engine.risk.counted import Counted
from engine.risk.in_force import NO_LIMIT
from engine.risk.reducing import Reducible
from engine.risk.scan import Counters, Money, Once, Reducing, Rows, SelfTrade, Skipping, scan
from engine.risk.self_trade import Crossing
from engine.risk.verdicts import Verdicts

_scan: Callable[..., None] = scan


@dataclass(frozen=True, kw_only=True)
class ToScan:
    """What is scanned: some rows of a batch by some counters.

    ``order``: the places of the rows, ascending. ``must_reduce``, ``books``: as in ``Question``.
    ``waived``: by rule. ``skip``: the rules of which unknown numbers pass.
    """

    batch: Batch
    order: Ints
    open_row: Mask
    counters: Sequence[Counted]
    crossing: Crossing | None
    must_reduce: Mapping[int, npt.NDArray[np.int8]]
    books: Mapping[int, Reducible]
    waived: Mapping[str, Mask]
    skip: frozenset[str]

    def run(self, allowed: Mask, crosses: Verdicts) -> None:
        """Scan the rows and fill in their places of ``allowed`` and ``crosses``."""
        arguments = self._arguments()
        count = len(self.order)
        if use_compiled(count):
            allowed_here, crosses_here = np.zeros(count, dtype=bool), np.zeros(count, dtype=np.int8)
            compiled(_scan)(*arguments, allowed_here, crosses_here)
        else:
            # Item by item, plain Python reads and writes lists several times faster than numpy arrays.
            allowed_list, crosses_list = [False] * count, [0] * count
            lists: tuple[Any, ...] = tuple(_as_lists(part) for part in arguments)
            _scan(*lists, allowed_list, crosses_list)
            allowed_here, crosses_here = np.array(allowed_list, bool), np.array(crosses_list, np.int8)
        allowed[self.order] = allowed_here
        crosses[self.order] = crosses_here

    def _take(self, column: np.ndarray) -> np.ndarray:
        """Return a column of the batch for the rows to scan."""
        return column if len(self.order) == self.batch.rows else column[self.order]

    def _arguments(self) -> tuple[Any, ...]:
        batch, counters = self.batch, self.counters
        bucket = self._take(batch.buckets.of_row)
        rows = Rows(self._take(self.open_row), bucket, self._take(batch.traded.units), self._take(batch.side))
        cells = np.empty((len(counters), len(self.order)), dtype=np.int64)
        used, known = [], []
        size = 0
        for place, one in enumerate(counters):
            kept = self._fill_cells(cells[place], one, size)
            used.append(one.used.units[kept] if kept is not None else one.used.units)
            known.append(one.used.known[kept] if kept is not None else one.used.known)
            size += len(used[-1])
        uniform = np.array(
            [NO_LIMIT if one.uniform is None else one.uniform for one in counters], dtype=np.int64
        )
        limit_at, limits = self._limits()
        scanned = Counters(
            cells,
            _joined(used, np.int64),
            uniform,
            limit_at,
            limits,
            np.array([one.is_of_qty for one in counters], dtype=bool),
        )
        signed = np.array([one.counter.signed for one in counters], dtype=bool)
        skips = np.array([one.rule.name in self.skip for one in counters], dtype=bool)
        known_places = _joined(known, bool)
        return (
            rows,
            scanned,
            signed if signed.any() else None,
            self._waived(),
            Skipping(skips, known_places, self._take(batch.traded.known)) if skips.any() else None,
            self._once(),
            self._reducing(),
            self._money(known_places),
            self._self_trades(),
        )

    def _fill_cells(self, places: Ints, one: Counted, start: int) -> Ints | None:
        """Fill in a counter's places per row; return, of few rows, the cells that these have."""
        cells = self._take(one.cells_of_orders(self.batch))
        if use_compiled(len(self.order)):
            np.add(cells, start, out=places)
            if start and cells.min(initial=0) < 0:
                np.copyto(places, cells, where=cells < 0)
            return None
        kept, place = np.unique(cells, return_inverse=True)
        missing = int(np.searchsorted(kept, 0))
        place = place - missing
        places[:] = np.where(place >= 0, place + start, cells)
        return kept[missing:]

    def _limits(self) -> tuple[Ints, Ints]:
        """Return where each counter's limits begin, -1 where one limit holds for all; and the limits."""
        at, limits, size = [], [], 0
        for one in self.counters:
            at.append(-1 if one.uniform is not None else size)
            if one.uniform is None:
                limits.append(one.limit)
                size += len(one.limit)
        return np.array(at, dtype=np.int64), _joined(limits, np.int64)

    def _waived(self) -> np.ndarray | None:
        if not any(one.rule.name in self.waived for one in self.counters):
            return None
        none = np.zeros(self.batch.rows, dtype=bool)
        return np.vstack([self._take(self.waived.get(one.rule.name, none)) for one in self.counters])

    def _once(self) -> Once | None:
        """Return the places that count once; None where no counter has any."""
        if not any(one.once is not None for one in self.counters):
            return None
        places, entered, size = [], [], 0
        bucket = self._take(self.batch.buckets.of_row)
        for one in self.counters:
            if one.once is None or one.entered is None:
                places.append(np.full(len(self.order), -1))
                continue
            at = one.once[bucket]
            places.append(np.where(at >= 0, at + size, -1))
            entered.append(one.entered)
            size += len(one.entered)
        return Once(_stacked(places, np.int64, len(self.order)), _joined(entered, bool))

    def _reducing(self) -> Reducing | None:
        if not self.must_reduce:
            return None
        cells, held, working, known, size = [], [], [], [], 0
        bucket, is_order = self._take(self.batch.buckets.of_row), self._take(self.batch.is_order)
        for which in self.must_reduce:
            book = self.books[which]
            at = book.cells.of_bucket[bucket]
            cells.append(np.where((at >= 0) & is_order, at + size, -1))
            held.append(book.held)
            working.append(book.working)
            known.append(book.known)
            size += book.cells.count
        return Reducing(
            np.vstack([self._take(needs) for needs in self.must_reduce.values()]),
            np.vstack(cells),
            _joined(held, np.int64),
            _joined(working, np.int64),
            _joined(known, bool),
            self._take(self.batch.traded.known),
            np.zeros(len(self.must_reduce), dtype=np.int64),
        )

    def _money(self, known: Mask) -> Money | None:
        """Return the counters in money; None where there are none."""
        found = [one.money for one in self.counters if one.money is not None]
        if not found:
            return None
        of = np.cumsum([one.money is not None for one in self.counters]) - 1
        bucket = self._take(self.batch.buckets.of_row)
        worst, long, short, size = [], [], [], 0
        for one in found:
            if one.worst is None or one.sides is None:
                worst.append(np.full(len(self.order), -1, dtype=np.int64))
                continue
            at = one.worst[bucket]
            worst.append(np.where(at >= 0, at + size, -1))
            long.append(one.sides.long)
            short.append(one.sides.short)
            size += len(one.sides.long)
        books = list(self.must_reduce)
        return Money(
            np.where([one.money is not None for one in self.counters], of, -1),
            np.vstack([self._take(one.amounts.units) for one in found]),
            np.vstack([self._take(one.amounts.known) for one in found]),
            known.copy(),
            np.array([books.index(one.book) for one in found], dtype=np.int64),
            np.array([one.only_opening for one in found], dtype=bool),
            np.vstack(worst),
            _joined(long, np.int64),
            _joined(short, np.int64),
        )

    def _self_trades(self) -> SelfTrade | None:
        crossing = self.crossing
        if crossing is None:
            return None
        may_cross = ~crossing.watched[self.batch.buckets.of_row]
        if (waived := self.waived.get(crossing.rule.name)) is not None:
            may_cross |= waived
        return SelfTrade(
            self._take(crossing.cells(self.batch)),
            self._take(crossing.price),
            crossing.best_buy.copy(),
            crossing.best_sell.copy(),
            self._take(may_cross),
        )


def _as_lists(part: Any) -> Any:
    if part is None:
        return None
    return type(part)(*(column.tolist() for column in part)) if isinstance(part, tuple) else part.tolist()


def _joined(parts: Sequence[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate(parts).astype(dtype) if parts else np.zeros(0, dtype=dtype)


def _stacked(parts: Sequence[np.ndarray], dtype: type, width: int) -> np.ndarray:
    return np.vstack(parts).astype(dtype, copy=False) if parts else np.zeros((0, width), dtype=dtype)
