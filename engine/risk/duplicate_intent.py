"""Rule: an id that was allowed once, in a batch or before it, is not allowed again.

Duplicates are removed before a batch is sealed; the rule does not rely on it. The verdict depends on what
was allowed before, so ``engine.risk.scan`` returns it. Source: SEC Rule 15c3-5(c)(1)(ii),
duplicative orders.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.model.quantity import Mask
from engine.risk.batch import Batch
from engine.risk.inputs import RiskInputs


def first_rows(batch: Batch) -> npt.NDArray[np.int32]:
    """Return, for each row, the first row of the batch with the same account and id."""
    return batch.identity.first_row


def allowed_before(batch: Batch, inputs: RiskInputs) -> Mask:
    """Return which rows carry an id that was allowed for their account before this batch."""
    ids = batch.client_intent_ids
    if ids is None or not inputs.allowed_ids:
        return np.zeros(batch.rows, dtype=bool)
    accounts = batch.text("broker_account_id")
    pairs = zip((accounts.values[code] for code in accounts.codes), ids.astype(object), strict=True)
    return np.array([pair in inputs.allowed_ids for pair in pairs], dtype=bool)
