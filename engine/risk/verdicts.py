"""The four verdicts of a rule, as codes; ``schema.VERDICTS`` has their names in this order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.model.quantity import Ints, Mask

PASS, FAIL, OFF, UNAVAILABLE = 0, 1, 2, 3

Verdicts = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Amounts:
    """Exact integers, one per row, and which of them are known; the others are never looked at."""

    units: Ints
    known: Mask


def fail_where(breach: Mask) -> Verdicts:
    """Return FAIL where ``breach`` is true and PASS elsewhere."""
    return breach.astype(np.int8)


def any_refusing(verdicts: Verdicts) -> bool:
    """Return whether any verdict is FAIL or UNAVAILABLE, the two odd codes; one pass without a copy."""
    return bool(np.bitwise_or.reduce(verdicts, initial=PASS) & 1)


def everywhere(verdict: int, rows: int) -> Verdicts:
    """Return the same verdict for every row."""
    return np.full(rows, verdict, dtype=np.int8)


def at_most(amounts: Amounts, limit: Ints | int) -> Verdicts:
    """Return PASS where an amount is within the limit, FAIL above it, UNAVAILABLE where it is unknown."""
    verdicts = (amounts.units > limit).astype(np.int8)
    verdicts[~amounts.known] = UNAVAILABLE
    return verdicts


def flagged(flags: npt.NDArray[np.int8]) -> Verdicts:
    """Return the verdicts of flags: 1 passes, 0 fails, anything else is unavailable."""
    return np.where(flags == 1, PASS, np.where(flags == 0, FAIL, UNAVAILABLE)).astype(np.int8)


def worse(one: Verdicts, other: Verdicts, waived: Mask | None = None) -> Verdicts:
    """Return the heavier of two verdicts per row: fail, unavailable, pass, off.

    ``waived``: rows that an override lets fail; since it never waives missing data, unavailable is heavier
    there.
    """
    heavier = np.maximum(_weights(one), _weights(other))
    verdicts = (heavier > 1).view(np.int8) + np.int8(OFF)
    heavier &= 1
    heavier += heavier
    verdicts -= heavier
    if waived is not None:
        verdicts[waived & ((one == UNAVAILABLE) | (other == UNAVAILABLE))] = UNAVAILABLE
    return np.asarray(verdicts, dtype=np.int8)


def _weights(verdicts: Verdicts) -> Verdicts:
    """Return the weight of each verdict, 0 to 3: twice its last bit, and one where its first is not set."""
    weights = verdicts & np.int8(1)
    weights += weights
    weights += verdicts < OFF
    return weights
