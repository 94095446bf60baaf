"""Rule: an id that was allowed once in a batch is not allowed again.

Files are cleared of duplicates before a batch is sealed; the gate does not rely on it. The verdict depends
on what was allowed before, so it is given by ``engine.risk.scan``. Source: SEC Rule 15c3-5(c)(1)(ii),
duplicative orders.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.risk.batch import Batch


def first_rows(batch: Batch) -> npt.NDArray[np.int32]:
    """Give, for each row, the first row of the batch with the same account and id."""
    return batch.identity.first_row
