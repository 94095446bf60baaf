"""Exact decimals of requests and bodies, formatted as Alpaca formats them.

Money is multiplied and added in a context that never rounds, so that sums over any number of fills are exact
to the last digit. Only quotients (average prices) are rounded, by the functions that say so.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from functools import lru_cache
from math import isfinite

EXACT = Context(prec=120, traps=[InvalidOperation, DivisionByZero, Overflow])
# Methods of the context rather than our own functions, as a fill calls them a dozen times.
times, plus, minus = EXACT.multiply, EXACT.add, EXACT.subtract

ZERO = Decimal(0)
ONE = Decimal(1)
SHARE_STEP = Decimal("1e-9")
CENT = Decimal("0.01")
HUNDREDTH_OF_A_CENT = Decimal("0.0001")

_LARGEST = Decimal(10) ** 15
_SMALLEST = -_LARGEST
_DIGITS = 40
_WRITTEN = re.compile(r"[+-]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})([eE][+-]?\d{1,2})?", re.ASCII)


def number(value: object) -> Decimal | None:
    """Return the decimal of a JSON number or numeric string; ``None`` for anything else and beyond 1e15."""
    if isinstance(value, str):
        return _read(value) if len(value) <= 2 * _DIGITS else None
    if isinstance(value, int) and not isinstance(value, bool):
        return _bounded(Decimal(value)) if _SMALLEST <= value <= _LARGEST else None
    if isinstance(value, float) and isfinite(value):
        return _bounded(Decimal(repr(value)))
    return None


@lru_cache(maxsize=4096)
def _read(text: str) -> Decimal | None:
    return None if _WRITTEN.fullmatch(text) is None else _bounded(Decimal(text))


def _bounded(decimal: Decimal) -> Decimal | None:
    return decimal if _SMALLEST <= decimal <= _LARGEST and places(decimal) <= _DIGITS else None


def plain(decimal: Decimal) -> str:
    """Return a decimal as text without exponent or trailing zeros: 200, 0.5, -12.25."""
    if not decimal:
        return "0"
    text = format(decimal, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def plain_or_none(decimal: Decimal | None) -> str | None:
    """Return a decimal as ``plain`` does, and None for None."""
    return None if decimal is None else plain(decimal)


def places(decimal: Decimal) -> int:
    """Return the number of decimal places without trailing zeros: 1 for 1.50, 0 for whole numbers."""
    if not decimal.is_finite():
        raise TypeError(f"{decimal} has no decimals; expected a finite number. Check it where it is read.")
    return 0 if is_whole(decimal) else len(plain(decimal).partition(".")[2])


def is_whole(decimal: Decimal) -> bool:
    """Return whether a quantity is whole shares."""
    return decimal == decimal.to_integral_value()


def ratio(dividend: Decimal, divisor: Decimal, step: Decimal) -> Decimal:
    """Return the quotient, rounded to the step (half to even)."""
    return EXACT.divide(dividend, divisor).quantize(step, context=EXACT)


def shares_for(money: Decimal, price: Decimal) -> Decimal:
    """Return the shares that an amount buys, rounded down to billionths."""
    return EXACT.divide(money, price).quantize(SHARE_STEP, rounding=ROUND_FLOOR, context=EXACT)


def tick(price: Decimal) -> Decimal:
    """Return the tick size of a price: a cent from one dollar on, a hundredth of that below (Rule 612)."""
    return CENT if price >= ONE else HUNDREDTH_OF_A_CENT


def on_tick(price: Decimal, *, up: bool) -> Decimal:
    """Return a price rounded to its tick, up or down, but never down to zero."""
    rounded = price.quantize(tick(price), ROUND_CEILING if up else ROUND_FLOOR)
    return rounded if rounded > HUNDREDTH_OF_A_CENT else HUNDREDTH_OF_A_CENT
