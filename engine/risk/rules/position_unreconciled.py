"""Rule: while an unexplained break between ledger and broker is open, a position may only shrink.

A symbol with an open break (``engine.reconciliation.breaks_found``), or any symbol of an account with one
that names no symbol, takes no order but one that makes the position smaller whatever else fills: a sell of at
most the position less working and allowed sells, a buy likewise of a short one. That holds under either
projection. An account whose books were not compared (a row with ``compared`` false) is unavailable, except
for its known breaks. Source: DESIGN (reconciliation); SEC 34-70694 on Knight Capital, ¶¶18-20 (positions that
no book explained, while orders went on).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from engine.model.quantity import Mask
from engine.risk.batch import Batch
from engine.risk.cells import BY_SYMBOL, Cells
from engine.risk.inputs import RiskInputs
from engine.risk.rule import Rule
from engine.risk.verdicts import FAIL, PASS, UNAVAILABLE, Verdicts, everywhere


def judge(batch: Batch, inputs: RiskInputs, limit: None) -> Verdicts:
    """Fail rows whose symbol has an open break; a row without account or symbol is unavailable."""
    cells = Cells.of(batch.buckets, BY_SYMBOL)
    by_cell = _states(cells, inputs.unreconciled)
    by_bucket = np.append(by_cell, np.int8(UNAVAILABLE))[cells.of_bucket]
    return by_bucket[batch.buckets.of_row]


def _states(cells: Cells, breaks: pd.DataFrame | None) -> Verdicts:
    unknown = everywhere(UNAVAILABLE, cells.count)
    if breaks is None:
        return unknown
    compared = _compared(breaks)
    not_compared, _ = cells.accounts_in_doubt(breaks[~compared].assign(symbol=None))
    whole_accounts, by_symbol = cells.accounts_in_doubt(breaks[compared])
    codes = cells.codes(by_symbol)
    if not_compared is None or whole_accounts is None or codes is None:
        return unknown
    state = everywhere(PASS, cells.count)
    state[cells.of_accounts(not_compared)] = UNAVAILABLE
    state[codes[codes >= 0]] = FAIL
    state[cells.of_accounts(whole_accounts)] = FAIL
    return state


def _compared(breaks: pd.DataFrame) -> Mask:
    """Return which rows are breaks; all others mean that the books were not compared."""
    if "compared" not in breaks:
        return np.ones(len(breaks), dtype=bool)
    return np.array([cell is True or cell is np.True_ for cell in breaks["compared"]], dtype=bool)


RULE = Rule(
    name="position_unreconciled",
    source="DESIGN (reconciliation); SEC 34-70694 ¶¶18-20",
    explain="an unexplained break was open, and the order does not make the position smaller",
    needs_data=True,
    reducing="pass_if_known",
    judge=judge,
)
