"""Trading states in force: which rows are in a scope that an operator halted, or lets only reduce."""

from __future__ import annotations

import numpy as np
import pandas as pd

from engine.model.quantity import Mask
from engine.model.symbols import canonical_symbol
from engine.risk.batch import Batch
from engine.risk.verdicts import UNAVAILABLE, Verdicts, everywhere, fail_where
from engine.text.plain_text import trimmed

HALTED, REDUCING, ACTIVE = "HALTED", "REDUCING", "ACTIVE"
_STATES = frozenset({HALTED, REDUCING, ACTIVE})
_COLUMNS = {"account": "broker_account_id", "symbol": "symbol", "strategy": "strategy_id"}


def rows_in(state: str, batch: Batch, states: pd.DataFrame | None) -> Verdicts:
    """Return FAIL for rows in a scope of this state, PASS for others.

    A row is unavailable where the states are, and in a scope whose state is none that is known.
    """
    if states is None:
        return everywhere(UNAVAILABLE, batch.rows)
    failing = np.zeros(batch.rows, dtype=bool)
    unknown = np.zeros(batch.rows, dtype=bool)
    for entry in states.to_dict("records"):
        rows = _rows(batch, entry.get("scope"), entry.get("name"))
        if rows is None or entry.get("state") not in _STATES:
            unknown |= True if rows is None else rows
        elif entry["state"] == state:
            failing |= rows
    verdicts = fail_where(failing)
    verdicts[unknown & ~failing] = UNAVAILABLE
    return verdicts


def _rows(batch: Batch, scope: object, name: object) -> Mask | None:
    """Return the rows in a scope, None where it is none that is known: it could be any."""
    if scope == "all":
        return np.ones(batch.rows, dtype=bool)
    if scope not in _COLUMNS or not isinstance(name, str) or not trimmed(name):
        return None
    form = canonical_symbol if scope == "symbol" else trimmed
    return batch.text(_COLUMNS[str(scope)]).where(form(name).__eq__)
