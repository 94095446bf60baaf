"""Simulated outcomes of orders that were never sent.

An order fills whole at one price: the intent's reference price, else the last price at which the symbol was
traded or valued in the same record. A limit or stop is compared with that price once. Depth, spread and
later prices are unknown, so every outcome is marked as simulated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from engine.model.quantity import UNITS

REFERENCE, LAST, NO_PRICE = "reference_price", "last price", "no price"


@dataclass(frozen=True)
class Outcome:
    """An order's outcome: Alpaca's order status, shares filled, USD per share, and the price's source.

    ``qty`` is the ordered quantity in shares, that of an order by notional what it buys at the price; None
    where that price is unknown.
    """

    order_status: str
    filled_qty: float
    price: float | None
    price_source: str
    qty: float | None


def outcome(order: Mapping[str, Any], last_price: float | None) -> Outcome:
    """Return the simulated outcome of an order.

    ``order``: an intent's ``side, qty, notional, order_type, time_in_force, limit_price, stop_price,
    reference_price``; None or NaN where absent. ``last_price``: USD per share, None where unknown.
    """
    price, source = _price(order, last_price)
    if price is None:
        return Outcome("new", 0.0, None, NO_PRICE, _number(order.get("qty")))
    qty = _number(order.get("qty"))
    notional = _number(order.get("notional"))
    if qty is None and notional is not None:
        qty = shares_for(notional, price)
    if qty is not None and _trades(order, price):
        return Outcome("filled", qty, price, source, qty)
    gone = order.get("time_in_force") in {"ioc", "fok"}
    return Outcome("canceled" if gone else "new", 0.0, None, source, qty)


def shares_for(notional: float, price: float) -> float:
    """Return the shares that a notional buys at a price, rounded down to billionths as Alpaca does."""
    return math.floor(Fraction(repr(notional)) / Fraction(repr(price)) * UNITS) / UNITS


def _price(order: Mapping[str, Any], last_price: float | None) -> tuple[float | None, str]:
    named = _number(order.get("reference_price"))
    if named is not None:
        return named, REFERENCE
    if last_price is not None and math.isfinite(last_price) and last_price > 0:
        return last_price, LAST
    return None, NO_PRICE


def _trades(order: Mapping[str, Any], price: float) -> bool:
    """Return whether an order trades at a price; a trailing stop never does, as it has no earlier price."""
    kind, is_buy = str(order.get("order_type") or "market"), order.get("side") == "buy"
    limit, stop = _number(order.get("limit_price")), _number(order.get("stop_price"))
    if kind == "trailing_stop":
        return False
    if kind in {"stop", "stop_limit"} and (stop is None or (price < stop if is_buy else price > stop)):
        return False
    if kind in {"limit", "stop_limit"}:
        return limit is not None and (price <= limit if is_buy else price >= limit)
    return True


def _number(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None
