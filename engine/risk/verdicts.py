"""The four answers a rule can give, as codes; ``schema.VERDICTS`` has their names in this order."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.model.quantity import Mask

PASS, FAIL, OFF, UNAVAILABLE = 0, 1, 2, 3

Verdicts = npt.NDArray[np.int8]


def fail_where(breach: Mask) -> Verdicts:
    """Give FAIL where ``breach`` is true and PASS elsewhere."""
    return breach.astype(np.int8)


def everywhere(verdict: int, rows: int) -> Verdicts:
    """Give the same verdict for every row."""
    return np.full(rows, verdict, dtype=np.int8)
