"""Quantities as exact integers: int64 units of 1e-9 of a share.

A float64 carries every number below 1e9 that has at most 9 decimals and 15 significant digits, but sums
of such floats do not: 0.1 + 0.2 > 0.3. All sums and comparisons of quantities are therefore made in units.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt

UNITS = 1_000_000_000
BOUND = 1e9
NOT_A_QUANTITY = np.iinfo(np.int64).min
_POWERS = np.array([1e9, 1e8, 1e7, 1e6])  # as written: 10.0**9 computed by vectors need not be exact

_BLOCK = 16_384
"""Numbers that are scaled at a time: few enough for all of it to stay in the processor's cache."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def to_units(numbers: Floats) -> Ints:
    """Return float64 numbers in units, exactly, or ``NOT_A_QUANTITY`` where that is not possible.

    That is so for NaN, infinities, 1e9 and above in absolute value, and numbers that need more than 9
    decimals or more than 15 significant digits.
    """
    units = np.empty(len(numbers), dtype=np.int64)
    for start in range(0, len(numbers), _BLOCK):
        scaled, exact = _scaled(numbers[start : start + _BLOCK])
        units[start : start + _BLOCK] = _selected(scaled, exact, NOT_A_QUANTITY)
    return units


def round_to_units(numbers: Floats) -> Ints:
    """Return float64 numbers in units, rounded to the nearest number of 9 decimals and 15 significant digits.

    ``NOT_A_QUANTITY`` for NaN and from 1e9 on. For figures that others computed (a broker's position), which
    may carry float noise; from 1e6 on that is in the ninth decimal and before. Nearest is judged by the
    exact value of the float, a tie goes to the even unit.
    """
    units, _ = _scaled(numbers)
    _settle_ties(units, numbers)
    units[~(np.abs(numbers) < BOUND) | (np.abs(units) >= BOUND * UNITS)] = NOT_A_QUANTITY
    return units


def _settle_ties(units: Ints, numbers: Floats) -> None:
    """Round by exact fractions where a product, which may be rounded, is half-way between two units."""
    product = np.where(np.abs(numbers) < 1e6, numbers, 0.0) * 1e9
    ties = np.flatnonzero(np.abs(product - np.floor(product)) == 0.5)
    for place in ties.tolist():
        units[place] = round(Fraction(float(numbers[place])) * UNITS)


def total_shares(numbers: Floats) -> float:
    """Return the sum of quantities in shares, added in units; NaN where one is not a quantity."""
    units = round_to_units(numbers)
    return float("nan") if (units == NOT_A_QUANTITY).any() else sum(units.tolist()) / UNITS


def to_shares(units: Ints) -> Floats:
    """Return units as float64 shares, the nearest float to the exact decimal."""
    shares = units / UNITS
    if units.max(initial=0) >= 2**53 or units.min(initial=0) <= -(2**53):
        # Beyond what a float64 holds exactly, Python's division of integers still rounds once.
        large = np.flatnonzero((units >= 2**53) | (units <= -(2**53)))
        shares[large] = [unit / UNITS for unit in units[large].tolist()]
    return np.asarray(shares)


def shares_to_units(shares: float) -> int:
    """Return one quantity in units, as ``to_units`` does for arrays."""
    return int(to_units(np.array([shares], dtype=np.float64))[0])


def _selected(numbers: Ints, wanted: Mask, otherwise: int) -> Ints:
    """Return ``np.where(wanted, numbers, otherwise)``, by bits: a branch would be a guess for each."""
    bits = -wanted.astype(np.int64)
    return np.asarray((numbers & bits) | (otherwise & ~bits))


def _scaled(numbers: Floats) -> tuple[Ints, Mask]:
    """Scale by a power of ten that keeps the product below 1e15, where float64 is exact to the digit.

    15 significant digits leave 9 decimals below 1e6, 8 below 1e7, 7 below 1e8 and 6 below 1e9.
    """
    size = np.abs(numbers)
    usable = size < BOUND
    safe = numbers if usable.all() else _selected(numbers.view(np.int64), usable, 0).view(np.float64)
    if not (size >= 1e6).any():
        scaled = np.rint(safe * 1e9)
        return scaled.astype(np.int64), usable & (scaled / 1e9 == safe)
    fewer = (size >= 1e6).astype(np.int64) + (size >= 1e7) + (size >= 1e8)
    power = _POWERS[fewer]
    scaled = np.rint(safe * power)
    return scaled.astype(np.int64) * 10**fewer, usable & (scaled / power == safe)
