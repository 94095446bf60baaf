"""Rule: no account's position in a symbol grows beyond the limit, whatever fills.

Worst case (default): a buy is judged as if every working and allowed buy had filled and no sell, a sell the
other way round, so no subset of fills breaches the limit, and a position that is over it may still shrink.
Net: SEED's rule on the position that results if everything fills. ``engine.risk.scan``
returns the verdict. Source: SEED (max position size); FIA 2024 (position limits include working orders).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from engine.model.columns import number_column, text_column
from engine.model.quantity import NOT_A_QUANTITY, UNITS, Floats, Ints, Mask, round_to_units
from engine.risk.batch import Batch
from engine.risk.inputs import RiskInputs
from engine.risk.keys import PositionKeys

LARGEST_SUM = 4 * UNITS * UNITS
"""Working orders beyond this sum are unavailable: far above any limit, far below int64 overflow."""


@dataclass(frozen=True)
class Exposure:
    """Position and working orders per key, in units, and whether they are known."""

    keys: PositionKeys
    position: Ints
    position_known: Mask
    buys: Ints
    sells: Ints
    known: Mask

    @property
    def key(self) -> Ints:
        """The key of each row of the batch, -1 for none."""
        return self.keys.key


def exposure(batch: Batch, inputs: RiskInputs) -> Exposure:
    """Return positions and working orders by the batch's keys."""
    keys = PositionKeys.of(batch)
    position, position_known = _positions(keys, inputs.positions)
    buys, sells, working_known = _working(keys, inputs.working_orders)
    return Exposure(keys, position, position_known, buys, sells, position_known & working_known)


def _positions(keys: PositionKeys, positions: pd.DataFrame | None) -> tuple[Ints, Mask]:
    """Return the positions by key. A row without a symbol makes its whole account unknown."""
    held = np.zeros(keys.count, dtype=np.int64)
    doubtful: Ints | None = None
    codes: Ints | None = None
    if positions is not None:
        doubtful, positions = keys.accounts_in_doubt(positions)
        codes = keys.codes(positions)
    if codes is None or doubtful is None or positions is None:
        return held, np.zeros(keys.count, dtype=bool)
    wanted = codes >= 0
    codes = codes[wanted]
    units = round_to_units(_numbers(positions, "qty")[wanted])
    held[codes] = units
    known = np.bincount(codes, minlength=keys.count) <= 1
    known[codes[units == NOT_A_QUANTITY]] = False
    known[keys.of_accounts(doubtful)] = False
    return held, known


def _working(keys: PositionKeys, orders: pd.DataFrame | None) -> tuple[Ints, Ints, Mask]:
    """Return the sums of open buys and sells per key."""
    nothing = np.zeros(keys.count, dtype=np.int64)
    codes = None if orders is None else keys.codes(orders)
    if codes is None or orders is None:
        return nothing, nothing, np.zeros(keys.count, dtype=bool)
    wanted = codes >= 0
    codes = codes[wanted]
    units = round_to_units(_numbers(orders, "remaining_qty")[wanted])
    side = text_column(orders["side"])
    is_buy, is_sell = side.where("buy".__eq__)[wanted], side.where("sell".__eq__)[wanted]
    usable = (units >= 0) & (is_buy | is_sell)
    known = np.ones(keys.count, dtype=bool)
    known[codes[~usable]] = False
    buys = _sums(codes[usable & is_buy], units[usable & is_buy], keys.count)
    sells = _sums(codes[usable & is_sell], units[usable & is_sell], keys.count)
    known &= (buys <= LARGEST_SUM) & (sells <= LARGEST_SUM)
    return buys, sells, known


def _sums(codes: Ints, units: Ints, count: int) -> Ints:
    """Return sums per key; a sum that might overflow is capped just above ``LARGEST_SUM``."""
    sums = np.zeros(count, dtype=np.int64)
    np.add.at(sums, codes, units)
    roughly = np.bincount(codes, weights=units, minlength=count)
    sums[roughly > LARGEST_SUM] = LARGEST_SUM + 1
    return sums


def _numbers(frame: pd.DataFrame, name: str) -> Floats:
    """Return a column's numbers, NaN for values that are not numbers."""
    return number_column(frame[name]).numbers
