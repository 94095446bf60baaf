"""Which orders reduce a position, whatever else fills.

A sell reduces where its quantity, the working sells and the sells allowed before it are together at most the
long position; a buy likewise against a short one. What crosses zero opens. Where the position or the quantity
is unknown, so is this.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.model.quantity import Ints, Mask
from engine.risk.batch import Batch
from engine.risk.cells import Basis, Cells
from engine.risk.held import book
from engine.risk.inputs import RiskInputs
from engine.risk.running import used_before
from engine.risk.verdicts import FAIL, PASS, UNAVAILABLE, Verdicts

ACCOUNTS_BOOK, OWN_BOOK = 0, 1
"""Whose position is reduced: the account's, or the strategy's own."""

_BASES = (Basis(symbol=True, side=True), Basis(strategy=True, symbol=True, side=True))


@dataclass(frozen=True)
class Reducible:
    """Per cell of account (and strategy), symbol and side: the position that orders of that side reduce.

    ``held`` and ``working`` in units; ``held`` is 0 where the position is on the other side of zero.
    """

    cells: Cells
    held: Ints
    working: Ints
    known: Mask

    @classmethod
    def of(cls, which: int, batch: Batch, inputs: RiskInputs) -> Reducible:
        """Return what can be reduced in a book."""
        cells = Cells.of(batch.buckets, _BASES[which])
        found = book(cells, inputs)
        position = -cells.sign * cells.directed(found.position)
        working = np.where(cells.sign > 0, cells.directed(found.buys), cells.directed(found.sells))
        return cls(cells, np.maximum(position, 0), working, cells.directed(found.known))

    def known_rows(self, batch: Batch) -> Mask:
        """Return the rows of which it can be said whether they reduce."""
        known = np.append(self.known, False)[self.cells.of_bucket]
        return np.asarray(known[batch.buckets.of_row] & batch.traded.known)

    def verdicts(self, batch: Batch, rows: Ints, allowed: Mask) -> Verdicts:
        """Return for some rows whether they reduce: PASS, FAIL, or UNAVAILABLE.

        ``rows``: places in order, all rows of their cells that were allowed among them.
        """
        cells = self.cells.of_bucket[batch.buckets.of_row[rows]]
        units, has_qty = batch.traded.units[rows], batch.traded.known[rows]
        counts = allowed[rows] & batch.is_order[rows]
        before = used_before(cells, self.working, units, counts)
        known = self.known_rows(batch)[rows]
        poison = counts & ~has_qty
        beyond = before + units > np.append(self.held, 0)[cells]
        if poison.any():
            beyond |= used_before(cells, np.zeros_like(self.working), None, poison) > 0
        return np.where(known, np.where(beyond, FAIL, PASS), UNAVAILABLE).astype(np.int8)
