"""What the rows of a batch add to a counter in money."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.model.quantity import Floats, Ints, Mask
from engine.risk.batch import Batch
from engine.risk.cells import Basis, Cells
from engine.risk.levels import VARIABLE
from engine.risk.reducing import ACCOUNTS_BOOK, OWN_BOOK
from engine.risk.rule import Money, Sides
from engine.risk.running import used_before
from engine.risk.scan import ENOUGH
from engine.risk.valuing import Valuation
from engine.risk.verdicts import PASS, Amounts, Verdicts


@dataclass(frozen=True)
class InMoney:
    """What each row adds to a counter in money, and whose position it has to reduce to pass.

    ``asked``: per bucket, the sum of the known amounts of its orders (floats, roughly), and how many of its
    orders are ``unknown``. ``worst``: per bucket, the place in ``sides`` of what grows worse, None where
    whole amounts are added.
    """

    amounts: Amounts
    amounts_known: bool
    asked: Floats
    unknown: Ints
    book: int
    only_opening: bool
    worst: Ints | None
    sides: Sides | None

    @classmethod
    def of(cls, money: Money, valuation: Valuation, basis: Basis, kind: int = VARIABLE) -> InMoney:
        """Return what rows add to cells of a basis. ``kind``: of the levels that count by it."""
        batch, buckets = valuation.batch, valuation.batch.buckets
        amounts = money.amount(valuation)
        units = np.where(amounts.known & batch.is_order, amounts.units, 0)
        unknown = ~amounts.known & batch.is_order
        worst = sides = None
        if money.worst_by is not None and money.sides is not None:
            inner = Cells.of(buckets, money.worst_by[kind])
            worst, sides = inner.of_bucket, money.sides(inner, valuation)
        asked = np.bincount(buckets.of_row, weights=units, minlength=buckets.count)
        return cls(
            amounts,
            not unknown.any(),
            asked.astype(np.float64),
            np.bincount(buckets.of_row[unknown], minlength=buckets.count),
            OWN_BOOK if basis.strategy else ACCOUNTS_BOOK,
            money.only_opening,
            worst,
            sides,
        )

    def added(self, batch: Batch, at: Any, counts: Mask, reduces: Verdicts | None) -> tuple[Ints, Mask]:
        """Return what some rows add, and whether that is known.

        ``at``: the rows, all of their cells that count among them; ``counts``: which of these are allowed.
        ``reduces``: which of them reduce a position, asked for only where these add nothing.
        """
        amount, known = self.amounts.units[at], self.amounts.known[at]
        if self.only_opening:
            assert reduces is not None
            closes = reduces == PASS
            amount, known = np.where(closes, 0, amount), known | closes
        if self.worst is None or self.sides is None:
            return amount, known
        place, is_buy = self.worst[batch.buckets.of_row[at]], batch.side[at] > 0
        amount = np.where(known, amount, 0)
        buys, sells = np.where(is_buy, amount, 0), np.where(is_buy, 0, amount)
        long = used_before(place, self.sides.long, buys, counts)
        short = used_before(place, self.sides.short, sells, counts)
        worse = np.maximum(np.minimum(long + buys, ENOUGH), np.minimum(short + sells, ENOUGH))
        return np.maximum(worse, 0) - np.maximum(np.maximum(long, short), 0), known
