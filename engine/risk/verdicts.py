"""The four verdicts of a rule, as codes; ``schema.VERDICTS`` has their names in this order."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.model.quantity import Mask

PASS, FAIL, OFF, UNAVAILABLE = 0, 1, 2, 3

Verdicts = npt.NDArray[np.int8]


def fail_where(breach: Mask) -> Verdicts:
    """Return FAIL where ``breach`` is true and PASS elsewhere."""
    return breach.astype(np.int8)


def everywhere(verdict: int, rows: int) -> Verdicts:
    """Return the same verdict for every row."""
    return np.full(rows, verdict, dtype=np.int8)
