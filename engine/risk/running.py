"""What is used of a row's cell before it: the allowed amounts of the rows before, added up cell by cell."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.model.quantity import Ints, Mask
from engine.risk.compiled import compiled, use_compiled
from engine.risk.scan import ENOUGH


def used_before(cells: Ints, start: Ints, amounts: Ints | None, counted: Mask) -> Ints:
    """Return what is used of each row's cell before it.

    ``cells``: a cell per row, negative for none (the answer there means nothing). ``start``: what is used
    of each cell before the first row. ``amounts``: units, None for 1 each. ``counted``: the rows that are
    added. Like the scan's, sums stop at ``ENOUGH`` on both sides of zero.
    """
    rows = len(cells)
    if use_compiled(rows):
        before = np.zeros(rows, dtype=np.int64)
        ones = np.ones(1, dtype=np.int64)
        compiled(add_up)(cells, start.copy(), ones if amounts is None else amounts, counted, before)
        return before
    if amounts is not None and len(amounts) > 1 and not _stays_below_enough(start, amounts):
        before_each = [0] * rows
        add_up(cells.tolist(), start.tolist(), amounts.tolist(), counted.tolist(), before_each)
        return np.array(before_each, dtype=np.int64)
    added = counted.astype(np.int64) if amounts is None else np.where(counted, amounts, 0)
    order = np.argsort(cells, kind="stable")
    in_order = cells[order]
    sums = np.cumsum(added[order]) - added[order]  # may wrap round; differences are right all the same
    first = np.flatnonzero(np.append(True, in_order[1:] != in_order[:-1])) if rows else np.zeros(0, np.int64)
    lengths = np.diff(np.append(first, rows))
    before = np.zeros(rows, dtype=np.int64)
    before[order] = sums - np.repeat(sums[first], lengths)
    return np.asarray(before + np.append(start, 0)[np.where(cells < 0, len(start), cells)])


def add_up(cells: Any, used: Any, amounts: Any, counted: Any, before: Any) -> None:
    """Fill ``before``; ``used`` is changed in place. One amount stands for all rows."""
    same = len(amounts) == 1
    for row in range(len(cells)):
        cell = cells[row]
        if cell < 0:
            continue
        before[row] = used[cell]
        if counted[row]:
            total = used[cell] + (amounts[0] if same else amounts[row])
            used[cell] = min(max(total, -ENOUGH), ENOUGH)


def _stays_below_enough(start: Ints, amounts: Ints) -> bool:
    """Return whether no sum of these can reach ``ENOUGH``, roughly."""
    largest = np.abs(start.astype(np.float64)).max(initial=0.0)
    return bool(largest + np.abs(amounts.astype(np.float64)).sum() < 0.9 * ENOUGH)
