"""Rule: where ledger and broker disagree and nobody has explained why, a position may only shrink.

A symbol with an open break (``engine.reconciliation.breaks_found``), or any symbol of an account with one
that names no symbol, takes no order but one that makes the position smaller whatever else fills: a sell of at
most the position less working and allowed sells, a buy likewise of a short one. That holds under either
projection. An account whose books were not compared (a row with ``compared`` false) is unavailable, but for
the breaks that are known of it. The verdict is given by ``engine.risk.scan``. Source: DESIGN
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
"""Of a key: no break, an open one, or nobody can say."""


@dataclass(frozen=True)
class OpenBreaks:
    """What the scan needs where there is any break at all (``watched``); else the arrays are empty.

    ``state`` per key; ``buys`` and ``sells`` per key, in units: what works, to which the scan adds what it
    allows. Where a break is, only orders that shrink the position are allowed, so these sums stay below it.
    """

    watched: bool
    state: npt.NDArray[np.int8]
    buys: Ints
    sells: Ints


def open_breaks(held: Exposure, inputs: RiskInputs) -> OpenBreaks:
    """Lay the open breaks out by the batch's keys; a row that names no account could be anybody's."""
    if inputs.unreconciled is not None and len(inputs.unreconciled) == 0:
        nothing = np.zeros(0, dtype=np.int64)
        return OpenBreaks(watched=False, state=np.zeros(0, dtype=np.int8), buys=nothing, sells=nothing)
    state = _states(held.keys, inputs.unreconciled)
    return OpenBreaks(watched=True, state=state, buys=held.buys.copy(), sells=held.sells.copy())


def nothing_known_of_breaks(keys: int) -> OpenBreaks:
    """Give what makes every order unavailable."""
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
    """Return which rows are breaks; all others, whatever they hold, say that nothing was compared."""
    if "compared" not in breaks:
        return np.ones(len(breaks), dtype=bool)
    return np.array([cell is True or cell is np.True_ for cell in breaks["compared"]], dtype=bool)
