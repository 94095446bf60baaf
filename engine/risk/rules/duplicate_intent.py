"""Rule: an id that was allowed once, in a batch or before it, is not allowed again.

Duplicates are removed before a batch is sealed; the rule does not rely on it. Source: SEC Rule
15c3-5(c)(1)(ii), duplicative orders.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.model.quantity import Mask
from engine.risk.batch import Batch
from engine.risk.inputs import RiskInputs
from engine.risk.rule import Counter, RowCells, Rule


def by_id(batch: Batch, inputs: RiskInputs, settings: Mapping[str, Any]) -> RowCells:
    """Return a cell per account and id: the first row of the batch that carries it."""
    first_row = batch.identity.first_row.astype(np.int64)
    used = np.zeros(batch.rows, dtype=np.int64)
    used[first_row[_allowed_before(batch, inputs)]] = 1
    return RowCells(first_row, used, np.ones(batch.rows, dtype=bool))


def _allowed_before(batch: Batch, inputs: RiskInputs) -> Mask:
    """Return which rows carry an id that was allowed for their account before this batch."""
    ids = batch.client_intent_ids
    if ids is None or not inputs.allowed_ids:
        return np.zeros(batch.rows, dtype=bool)
    accounts = batch.text("broker_account_id")
    pairs = zip((accounts.values[code] for code in accounts.codes), ids.astype(object), strict=True)
    return np.array([pair in inputs.allowed_ids for pair in pairs], dtype=bool)


RULE = Rule(
    name="duplicate_intent",
    source="SEC Rule 15c3-5(c)(1)(ii)",
    explain="its id was allowed before",
    faces_cancels=True,
    overridable=False,
    counter=Counter(of="order", by_row=by_id),
    at_most=1,
)
