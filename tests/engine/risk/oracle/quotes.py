"""Quotes that may be used, and what orders are worth by them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

import pandas as pd

from tests.engine.risk.oracle.levels import levels_of
from tests.engine.risk.oracle.words import (
    QUANTITY_BOUND,
    Row,
    exact,
    given,
    has_null_key,
    in_units,
    instrument,
    is_quantity,
    is_timestamp,
    number,
)

if TYPE_CHECKING:
    from tests.engine.risk.oracle.state import State

SKEW = pd.Timedelta(seconds=5)
LARGEST = Decimal(4 * 10**12)


@dataclass(frozen=True)
class Quote:
    """Both sides; None where the prices are those that the intents name."""

    bid: Decimal | None
    ask: Decimal | None


def quotes_are_unavailable(state: State) -> bool:
    prices = state.known.prices
    return prices is None or any(map(has_no_symbol, prices))


def has_no_symbol(row: Row) -> bool:
    return has_null_key([row], "symbol") or not str(row["symbol"]).strip()


def quote_of(row: Row, state: State) -> Quote | None:
    """Return the quote of a row's symbol, None where there is none that may be used."""
    prices = state.known.prices
    if prices is None or any(map(has_no_symbol, prices)):
        return None
    mine = [each for each in prices if instrument(each["symbol"]) == instrument(row.get("symbol"))]
    if len(mine) != 1 or mine[0]["verdict"] != "ok":
        return None
    (quote,) = mine
    if quote["source"] == "intents":
        return Quote(None, None)
    bid, ask = price_of(quote["bid"]), price_of(quote["ask"])
    if bid is None or ask is None or ask < bid or not is_timestamp(quote["quote_at"]):
        return None
    age = state.known.as_of - quote["quote_at"]
    too_wide = any(
        (ask - bid) * 200 > exact(level.value) * (ask + bid)
        for level in levels_of(row, "max_spread_pct", state.config)
    )
    too_old = any(
        age > pd.Timedelta(seconds=level.value) for level in levels_of(row, "max_quote_age_s", state.config)
    )
    return None if too_wide or too_old or age < -SKEW else Quote(bid, ask)


def price_of(value: object) -> Decimal | None:
    price = number(value)
    if price is None or not price.is_finite() or not 0 < price < QUANTITY_BOUND:
        return None
    return in_units(price)


def order_price(row: Row, state: State) -> Decimal | None:
    """Return the price at which an order is valued, None where it is unpriced."""
    quote = quote_of(row, state)
    order_type = row["order_type"] if given(row, "order_type") else "market"
    if quote is None:
        return None
    own = [exact(row["limit_price"])] if given(row, "limit_price") else []
    if row.get("side") == "buy" and given(row, "stop_price"):
        own.append(exact(row["stop_price"]))
    if quote.ask is None:
        reference = [exact(row["reference_price"])] if given(row, "reference_price") else []
        return max([*own, *reference]) if order_type in ("limit", "stop_limit") else None
    at_quote = quote.ask
    if order_type == "trailing_stop" and row.get("side") == "buy":
        if given(row, "trail_price"):
            at_quote += exact(row["trail_price"])
        else:
            at_quote += rounded_up(quote.ask * exact(row["trail_percent"]) / 100, "1e-9")
    return max([*own, at_quote])


def order_notional(row: Row, state: State) -> Decimal | None:
    """Return what an order is worth, in USD rounded up to 1e-6."""
    price = order_price(row, state)
    if price is None:
        return None
    if given(row, "notional"):
        return rounded_up(exact(row["notional"]), "1e-6")
    if not is_quantity(row.get("qty")):
        return None
    return min(rounded_up(exact(row["qty"]) * price, "1e-6"), LARGEST)


def rounded_up(amount: Decimal, unit: str) -> Decimal:
    return amount.quantize(Decimal(unit), rounding="ROUND_CEILING")
