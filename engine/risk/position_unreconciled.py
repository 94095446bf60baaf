"""Rule: while an unexplained break between ledger and broker is open, a position may only shrink.

A symbol with an open break (``engine.reconciliation.breaks_found``), or any symbol of an account with one
that names no symbol, takes no order but one that makes the position smaller whatever else fills: a sell of at
most the position less working and allowed sells, a buy likewise of a short one. That holds under either
projection. An account whose books were not compared (a row with ``compared`` false) is unavailable, except
for its known breaks. ``engine.risk.scan`` returns the verdict. Source: DESIGN
(reconciliation); SEC 34-70694 on Knight Capital, ¶¶18-20 (positions that no book explained, while orders went
on).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from engine.model.quantity import Ints, Mask
from engine.risk.inputs import RiskInputs
from engine.risk.keys import PositionKeys
from engine.risk.max_position_size_exceeded import Exposure

EXPLAINED, BROKEN, UNKNOWN = 0, 1, 3
"""States of a key: no break, an open break, or unknown."""


@dataclass(frozen=True)
class OpenBreaks:
    """The open breaks for the scan; where there are none (``watched`` off), the arrays are empty.

    ``state`` per key; ``buys`` and ``sells`` per key, in units: working orders, to which the scan adds those
    it allows. With an open break only orders that shrink the position are allowed, so these sums never exceed
    it.
    """

    watched: bool
    state: npt.NDArray[np.int8]
    buys: Ints
    sells: Ints


def open_breaks(held: Exposure, inputs: RiskInputs) -> OpenBreaks:
    """Return the open breaks by the batch's keys; a row without an account makes all keys unknown."""
    if inputs.unreconciled is not None and len(inputs.unreconciled) == 0:
        nothing = np.zeros(0, dtype=np.int64)
        return OpenBreaks(watched=False, state=np.zeros(0, dtype=np.int8), buys=nothing, sells=nothing)
    state = _states(held.keys, inputs.unreconciled)
    return OpenBreaks(watched=True, state=state, buys=held.buys.copy(), sells=held.sells.copy())


def nothing_known_of_breaks(keys: int) -> OpenBreaks:
    """Return the breaks that make every order unavailable."""
    nothing = np.zeros(keys, dtype=np.int64)
    return OpenBreaks(
        watched=True, state=np.full(keys, UNKNOWN, dtype=np.int8), buys=nothing, sells=nothing.copy()
    )


def _states(keys: PositionKeys, breaks: pd.DataFrame | None) -> npt.NDArray[np.int8]:
    unknown = np.full(keys.count, UNKNOWN, dtype=np.int8)
    if breaks is None:
        return unknown
    compared = _compared(breaks)
    not_compared, _ = keys.accounts_in_doubt(breaks[~compared].assign(symbol=None))
    whole_accounts, by_symbol = keys.accounts_in_doubt(breaks[compared])
    codes = keys.codes(by_symbol)
    if not_compared is None or whole_accounts is None or codes is None:
        return unknown
    state = np.full(keys.count, EXPLAINED, dtype=np.int8)
    state[keys.of_accounts(not_compared)] = UNKNOWN
    state[codes[codes >= 0]] = BROKEN
    state[keys.of_accounts(whole_accounts)] = BROKEN
    return state


def _compared(breaks: pd.DataFrame) -> Mask:
    """Return which rows are breaks; all others mean that the books were not compared."""
    if "compared" not in breaks:
        return np.ones(len(breaks), dtype=bool)
    return np.array([cell is True or cell is np.True_ for cell in breaks["compared"]], dtype=bool)
