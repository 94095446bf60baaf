"""Positions and working orders by cell, in exact units, and whether they are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from engine.model.columns import number_column, text_column
from engine.model.quantity import NOT_A_QUANTITY, UNITS, Floats, Ints, Mask, round_to_units
from engine.risk.cells import Cells
from engine.risk.inputs import RiskInputs

LARGEST_SUM = 4 * UNITS * UNITS
"""Working orders beyond this sum are unavailable: far above any limit, far below int64 overflow."""

QUOTED_QTY = "quoted_qty"
"""The column with the quantity that a quote gives a working order by notional (``working_quantities``)."""


@dataclass(frozen=True)
class Book:
    """Per cell without side: the position and the working orders, in units. ``known``: all of it is."""

    position: Ints
    position_known: Mask
    buys: Ints
    sells: Ints
    known: Mask


def book(cells: Cells, inputs: RiskInputs) -> Book:
    """Return positions and working orders by cell: of the account, or of a strategy if the basis has it."""
    if cells.basis.strategy:
        frame, orders = inputs.strategy_positions, with_strategy(inputs.working_order_terms)
    else:
        frame, orders = inputs.positions, inputs.working_orders
    position, position_known = _positions(cells, frame)
    buys, sells, working_known = _working(cells, orders)
    return Book(position, position_known, buys, sells, position_known & working_known)


def numbers(frame: pd.DataFrame, name: str) -> Floats:
    """Return a column's numbers, NaN for values that are not numbers."""
    return number_column(frame[name]).numbers


def with_strategy(frame: pd.DataFrame | None) -> pd.DataFrame | None:
    """Return the working orders or trades of strategies; what has no strategy is the account's alone."""
    return None if frame is None else frame[frame["strategy_id"].notna()]


def _positions(cells: Cells, positions: pd.DataFrame | None) -> tuple[Ints, Mask]:
    """Return the positions by cell. A row without a symbol makes its whole account unknown."""
    held = np.zeros(cells.undirected, dtype=np.int64)
    doubtful: Ints | None = None
    codes: Ints | None = None
    if positions is not None:
        doubtful, positions = cells.accounts_in_doubt(positions)
        codes = cells.codes(positions)
    if codes is None or doubtful is None or positions is None:
        return held, np.zeros(cells.undirected, dtype=bool)
    wanted = codes >= 0
    codes = codes[wanted]
    units = round_to_units(numbers(positions, "qty")[wanted])
    held[codes] = units
    known = np.bincount(codes, minlength=cells.undirected) <= 1
    known[codes[units == NOT_A_QUANTITY]] = False
    known[cells.of_accounts(doubtful)] = False
    return held, known


def _working(cells: Cells, orders: pd.DataFrame | None) -> tuple[Ints, Ints, Mask]:
    """Return the sums of open buys and sells per cell."""
    nothing = np.zeros(cells.undirected, dtype=np.int64)
    codes = None if orders is None else cells.codes(orders)
    if codes is None or orders is None:
        return nothing, nothing, np.zeros(cells.undirected, dtype=bool)
    wanted = codes >= 0
    codes = codes[wanted]
    qty = numbers(orders, "remaining_qty")
    if QUOTED_QTY in orders.columns:
        qty = np.where(np.isnan(qty), numbers(orders, QUOTED_QTY), qty)
    units = round_to_units(qty[wanted])
    side = text_column(orders["side"])
    is_buy, is_sell = side.where("buy".__eq__)[wanted], side.where("sell".__eq__)[wanted]
    usable = (units >= 0) & (is_buy | is_sell)
    known = np.ones(cells.undirected, dtype=bool)
    known[codes[~usable]] = False
    buys = _sums(codes[usable & is_buy], units[usable & is_buy], cells.undirected)
    sells = _sums(codes[usable & is_sell], units[usable & is_sell], cells.undirected)
    known &= (buys <= LARGEST_SUM) & (sells <= LARGEST_SUM)
    return buys, sells, known


def _sums(codes: Ints, units: Ints, count: int) -> Ints:
    """Return sums per cell; a sum that might overflow is capped just above ``LARGEST_SUM``."""
    sums = np.zeros(count, dtype=np.int64)
    np.add.at(sums, codes, units)
    roughly = np.bincount(codes, weights=units, minlength=count)
    sums[roughly > LARGEST_SUM] = LARGEST_SUM + 1
    return sums
