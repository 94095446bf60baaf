"""Rule: an account may not exceed its number of trades per session.

The count is today's ledger documents, working orders and the intents allowed before in the batch. Counting
fills only would let any number of unfilled orders through (SEC 34-70694 on Knight Capital, ¶22); RTS 6
Art. 15(2): sent orders count at once. ``engine.risk.scan`` returns the verdict.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from engine.model.columns import number_column
from engine.model.quantity import Ints
from engine.risk.batch import Batch
from engine.risk.inputs import RiskInputs
from engine.risk.keys import AccountKeys, names_every_symbol

UNKNOWN = -1
_LARGEST = 2.0**53


def trades_so_far(batch: Batch, inputs: RiskInputs) -> Ints:
    """Return the trades before the batch, per account code; ``UNKNOWN`` where they can't be counted."""
    keys = AccountKeys.of(batch)
    if inputs.daily_trades is None or inputs.working_orders is None:
        return np.full(keys.count, UNKNOWN, dtype=np.int64)
    trades, known = _ledger_trades(keys, inputs.daily_trades)
    working = keys.codes(inputs.working_orders)
    if working is None or not names_every_symbol(inputs.working_orders):
        return np.full(keys.count, UNKNOWN, dtype=np.int64)
    trades += np.bincount(working[working >= 0], minlength=keys.count)
    trades[~known] = UNKNOWN
    return trades


def _ledger_trades(keys: AccountKeys, daily_trades: pd.DataFrame) -> tuple[Ints, np.ndarray]:
    codes = keys.codes(daily_trades)
    if codes is None:
        return np.zeros(keys.count, dtype=np.int64), np.zeros(keys.count, dtype=bool)
    column = number_column(daily_trades["trades"]) if len(daily_trades) else None
    numbers = np.zeros(0) if column is None else column.numbers
    wanted = codes >= 0
    codes, numbers = codes[wanted], numbers[wanted]
    countable = (numbers >= 0) & (numbers < _LARGEST) & (np.floor(numbers) == numbers)
    trades = np.zeros(keys.count, dtype=np.int64)
    trades[codes[countable]] = numbers[countable].astype(np.int64)
    known = np.bincount(codes, minlength=keys.count) <= 1
    known[codes[~countable]] = False
    return trades, known
