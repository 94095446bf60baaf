"""Orders of one account that could trade with each other: a buy at or above the lowest price of its sells.

Market, stop and trailing orders may trade at any price, so they meet every order of the other side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from engine.model.columns import NumberColumn, number_column, text_column
from engine.model.quantity import Ints, Mask, to_units
from engine.risk.batch import Batch
from engine.risk.cells import BY_SYMBOL, Cells
from engine.risk.in_force import Held, InForce
from engine.risk.inputs import RiskInputs
from engine.risk.rule import Rule
from engine.risk.scan import BEST_BUY_OF_NONE, BEST_SELL_OF_NONE, NO_CELL
from engine.risk.verdicts import OFF, UNAVAILABLE, Verdicts

UNKNOWN_PRICE = -1
_ANY_BUY = 2 * 10**18
"""The price of a buy that takes any price: above every price that can be written, below "no sells"."""

_PRICED = frozenset({"limit", "stop_limit"})
_UNPRICED = frozenset({"market", "stop", "trailing_stop"})


@dataclass(frozen=True)
class Crossing:
    """The prices at which orders of an account and symbol meet.

    Per bucket: its ``cell``, and whether a level blocks its self-trades (``watched``); orders of other
    buckets may be met all the same. Per cell: ``best_buy`` and ``best_sell`` of the working orders, in units,
    and whether those that a buy, or a sell, could meet are known (``known_to_buys``, ``known_to_sells``).
    ``price``: per row, ``UNKNOWN_PRICE`` for none.
    """

    rule: Rule
    levels: tuple[Held, ...]
    cell: Ints
    watched: Mask
    known_to_buys: Mask
    known_to_sells: Mask
    best_buy: Ints
    best_sell: Ints
    price: Ints

    @classmethod
    def of(cls, rule: Rule, batch: Batch, inputs: RiskInputs, in_force: InForce) -> Crossing | None:
        """Return the prices of a batch's orders and of the working ones, None where no level asks."""
        levels = in_force.of(rule.limit)
        if not levels:
            return None
        cells = Cells.of(batch.buckets, BY_SYMBOL)
        watched = np.zeros(batch.buckets.count, dtype=bool)
        for held in levels:
            watched |= held.buckets if held.buckets is not None else True
        working = _working(cells, inputs.working_order_terms)
        return cls(rule, levels, cells.of_bucket, watched, *working, _prices(batch))

    def cells(self, batch: Batch) -> Ints:
        """Return the cell of each order, negative where it is unknown or the order has no price."""
        has_price = batch.is_order & (self.price >= 0) & (batch.side != 0)
        return np.where(has_price, self.cell[batch.buckets.of_row], NO_CELL)

    def unknown(self, batch: Batch) -> Mask:
        """Return the rows whose verdict is unavailable whatever is allowed before them."""
        cell = self.cell[batch.buckets.of_row]
        price_unknown = (self.price < 0) | (batch.side == 0)
        to_buys, to_sells = (
            np.append(known, [False, False])[cell] for known in (self.known_to_buys, self.known_to_sells)
        )
        unknown = price_unknown | ~np.where(batch.side > 0, to_buys, to_sells)
        return np.asarray(batch.is_order & self.watched[batch.buckets.of_row] & unknown)

    def verdicts(self, batch: Batch, crosses: Verdicts) -> Verdicts:
        """Return the rule's verdicts, from the crossings that the scan found."""
        verdicts = np.where(self.unknown(batch), UNAVAILABLE, crosses).astype(np.int8)
        verdicts[~self.watched[batch.buckets.of_row] | batch.is_cancel] = OFF
        return verdicts

    def contested(self, batch: Batch) -> Mask:
        """Return the buckets in which an order could meet another of the batch or a working one."""
        cells = self.cells(batch)
        rows = np.flatnonzero(cells >= 0)
        cell, price = cells[rows], self.price[rows]
        is_buy = batch.side[rows] > 0
        buys, sells = self.best_buy.copy(), self.best_sell.copy()
        np.maximum.at(buys, cell[is_buy], price[is_buy])
        np.minimum.at(sells, cell[~is_buy], price[~is_buy])
        meets = (buys >= sells) & (buys != BEST_BUY_OF_NONE) & (sells != BEST_SELL_OF_NONE)
        return np.asarray((self.cell >= 0) & np.append(meets, [False, False])[self.cell])


def _prices(batch: Batch) -> Ints:
    """Return the worst price at which each order of the batch may trade."""
    limit = batch.columns.get("limit_price")
    units = np.full(batch.rows, UNKNOWN_PRICE, dtype=np.int64)
    if isinstance(limit, NumberColumn):
        units = limit.units
    order_type = batch.text("order_type")
    return _worst(
        units, order_type.where(_PRICED.__contains__), order_type.where(_UNPRICED.__contains__), batch.side
    )


def _worst(limit: Ints, priced: Mask, unpriced: Mask, side: Ints) -> Ints:
    price = np.where(priced & (limit > 0), limit, UNKNOWN_PRICE)
    return np.where(unpriced, np.where(side > 0, _ANY_BUY, 0), price).astype(np.int64)


def _working(cells: Cells, orders: pd.DataFrame | None) -> tuple[Mask, Mask, Ints, Ints]:
    """Return per cell whether what buys, and sells, could meet is known, and the best prices."""
    buys = np.full(cells.count, BEST_BUY_OF_NONE, dtype=np.int64)
    sells = np.full(cells.count, BEST_SELL_OF_NONE, dtype=np.int64)
    codes = None if orders is None else cells.codes(orders)
    if codes is None or orders is None:
        unknown = np.zeros(cells.count, dtype=bool)
        return unknown, unknown, buys, sells
    wanted = codes >= 0
    codes = codes[wanted]
    side, order_type = text_column(orders["side"]), text_column(orders["order_type"])
    is_buy, is_sell = side.where("buy".__eq__)[wanted], side.where("sell".__eq__)[wanted]
    limit = (
        to_units(number_column(orders["limit_price"]).numbers) if len(orders) else np.zeros(0, dtype=np.int64)
    )
    price = _worst(
        limit[wanted],
        order_type.where(_PRICED.__contains__)[wanted],
        order_type.where(_UNPRICED.__contains__)[wanted],
        np.where(is_buy, 1, -1),
    )
    known_to_buys, known_to_sells = np.ones(cells.count, dtype=bool), np.ones(cells.count, dtype=bool)
    known_to_buys[codes[(price < 0) & ~is_buy | ~(is_buy | is_sell)]] = False
    known_to_sells[codes[(price < 0) & ~is_sell | ~(is_buy | is_sell)]] = False
    np.maximum.at(buys, codes[is_buy], price[is_buy])
    np.minimum.at(sells, codes[is_sell & (price >= 0)], price[is_sell & (price >= 0)])
    return known_to_buys, known_to_sells, buys, sells
