"""Money as exact integers: int64 units of 1e-6 USD, made from quantities and prices in units of 1e-9.

Products are formed without rounding and then rounded up to the unit, so a value is never below the exact one.
What does not fit is ``NOT_AN_AMOUNT``, never a number that wrapped round.
"""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from engine.model.quantity import BOUND, UNITS, Floats, Ints, Mask

MONEY_UNITS = 1_000_000
NOT_AN_AMOUNT = np.iinfo(np.int64).min
LARGEST_AMOUNT = 4 * 10**18
"""4e12 USD: far above any limit, far below the end of int64."""

_LARGEST_PRICE = 2 * 10**18
_EXACT_IN_FLOATS = 2**53


def to_money(numbers: Floats) -> Ints:
    """Return float64 USD in units, rounded to the nearest; ``NOT_AN_AMOUNT`` for NaN and from 4e12 on."""
    usable = np.abs(numbers) < LARGEST_AMOUNT / MONEY_UNITS
    units = np.rint(np.where(usable, numbers, 0.0) * MONEY_UNITS)
    result: Ints = units.astype(np.int64)
    for place in np.flatnonzero(np.abs(units) >= _EXACT_IN_FLOATS).tolist():
        result[place] = round(Decimal(repr(float(numbers[place]))) * MONEY_UNITS)
    result[~usable] = NOT_AN_AMOUNT
    return result


def to_usd(units: Ints) -> Floats:
    """Return units as float64 USD, the nearest float to the exact decimal."""
    usd = units / MONEY_UNITS
    large = np.flatnonzero((units >= _EXACT_IN_FLOATS) | (units <= -_EXACT_IN_FLOATS))
    usd[large] = [unit / MONEY_UNITS for unit in units[large].tolist()]
    return np.asarray(usd)


def usd_to_units(usd: float) -> int:
    """Return one amount in units, as ``to_money`` does for arrays."""
    return int(to_money(np.array([usd], dtype=np.float64))[0])


def value_of(qty: Ints, price: Ints) -> Ints:
    """Return quantity times price in units of money, rounded up, ``NOT_AN_AMOUNT`` above ``LARGEST_AMOUNT``.

    Both are units of 1e-9, from 0 to 2e18; a negative one stands for an unknown number and has no value.
    """
    return _product(qty, price, 1_000, up=True)


def value_below(qty: Ints, price: Ints) -> Ints:
    """Return the same rounded down."""
    return _product(qty, price, 1_000, up=False)


def part_of_price(price: Ints, percent: Ints) -> Ints:
    """Return a percentage of a price, rounded up, in units of 1e-9; ``NOT_AN_AMOUNT`` as for ``value_of``."""
    return _product(price, percent, 100, up=True)


def sums_of(places: Ints, amounts: Ints, count: int) -> tuple[Ints, Mask]:
    """Return the sum of amounts of money at each place, and whether it is at most ``LARGEST_AMOUNT``."""
    sums = np.zeros(count, dtype=np.int64)
    np.add.at(sums, places, amounts)
    largest = np.bincount(places, weights=np.abs(amounts.astype(np.float64)), minlength=count)
    fits: Mask = largest <= LARGEST_AMOUNT
    return np.where(fits, sums, 0), fits


def added_prices(price: Ints, more: Ints) -> Ints:
    """Return the sum of two prices, ``NOT_AN_AMOUNT`` where one is unknown or the sum can't be multiplied."""
    known = (price >= 0) & (more >= 0) & (price <= _LARGEST_PRICE) & (more <= _LARGEST_PRICE)
    total = np.where(known, price, 0) + np.where(known, more, 0)
    return np.where(known & (total <= _LARGEST_PRICE), total, NOT_AN_AMOUNT)


def in_money(units: Ints) -> Ints:
    """Return non-negative units of 1e-9 USD (the notional of an order) in units of money, rounded up."""
    return np.asarray(-(-units // (UNITS // MONEY_UNITS)))


def quantity_for(notional: Ints, price: Ints) -> Ints:
    """Return the quantity that a notional buys at a price, rounded up to 1e-9 shares.

    ``notional`` and ``price``: units of 1e-9 USD, up to 1e18. ``NOT_AN_AMOUNT`` where one of them is not
    above 0, and where the quantity is not below 1e9 shares.
    """
    known = (notional > 0) & (price > 0)
    divisor = np.where(known, price, 1).astype(np.uint64)
    whole, rest = np.divmod(np.where(known, notional, 0).astype(np.uint64), divisor)
    known &= whole < np.uint64(BOUND)
    result = np.where(known, whole, 0).astype(np.uint64)
    for _ in range(9):  # a digit at a time: the rest times 1e9 would not fit
        digit, rest = np.divmod(rest * np.uint64(10), divisor)
        result = result * np.uint64(10) + digit
    result += rest > 0
    known &= result < np.uint64(BOUND * UNITS)
    return np.where(known, result, 0).astype(np.int64) + np.where(known, 0, NOT_AN_AMOUNT)


def _product(one: Ints, other: Ints, thousandth: int, *, up: bool) -> Ints:
    """Return ``one * other / (thousandth * UNITS)``, rounded, of numbers of 1e-9.

    Both are taken apart at the decimal point, so that no part of the product leaves int64.
    """
    known: Mask = (one >= 0) & (other >= 0) & (one <= _LARGEST_PRICE) & (other <= _LARGEST_PRICE)
    whole, rest = np.divmod(np.where(known, one, 0), UNITS)
    other_whole, other_rest = np.divmod(np.where(known, other, 0), UNITS)
    wholes = whole * other_whole
    known &= wholes <= LARGEST_AMOUNT // (UNITS // thousandth)
    mixed = whole * other_rest + rest * other_whole
    result = np.where(known, wholes, 0) * (UNITS // thousandth) + mixed // thousandth
    below = mixed % thousandth * UNITS + rest * other_rest
    result += -(-below // (thousandth * UNITS)) if up else below // (thousandth * UNITS)
    return np.where(known & (result <= LARGEST_AMOUNT), result, NOT_AN_AMOUNT)
