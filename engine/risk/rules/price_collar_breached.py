"""Rule: no limit or stop price that is further beyond the quote than a collar.

A buy's prices may be at most so many per cent above the ask, a sell's at most so many below the bid; passive
prices pass. Every limit price, that of a stop-limit order included, is judged by ``price_collar_pct``, every
stop price by ``stop_collar_pct``, the one at which a trailing stop would stand now too. Exit legs are orders
of the other side, those of an OCO of the same. No price of the strategy's own stands in for the quote.
Source: RTS 6 Art. 15(1)(a), price collars; SEC Rule 15c3-5(c)(1)(ii); FIA 2024 (price tolerance).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from engine.model.columns import NumberColumn
from engine.model.money import added_prices, part_of_price
from engine.model.quantity import UNITS, Floats, Ints, Mask, shares_to_units, to_shares
from engine.risk.rule import Figure, Limit, Part, PricedJudge, Rule
from engine.risk.valuing import Valuation
from engine.risk.verdicts import FAIL, PASS, UNAVAILABLE, Amounts, Verdicts
from engine.settings.values import as_quantity

_LARGEST = np.iinfo(np.int64).max
_WHOLE = 100 * UNITS


@dataclass(frozen=True)
class _Priced:
    """Prices of one kind, in units, where ``given``; ``side`` of the order, or leg, that has them."""

    units: Ints
    given: Mask
    side: Ints


def _limit_prices(valuation: Valuation) -> Iterator[_Priced]:
    yield from _priced(valuation, "limit_price")
    yield from _priced(valuation, "take_profit_limit_price", is_exit=True)
    yield from _priced(valuation, "stop_loss_limit_price", is_exit=True)


def _stop_prices(valuation: Valuation) -> Iterator[_Priced]:
    yield from _priced(valuation, "stop_price")
    yield from _priced(valuation, "stop_loss_stop_price", is_exit=True)
    yield from _trailing(valuation)


def _priced(valuation: Valuation, name: str, *, is_exit: bool = False) -> Iterator[_Priced]:
    """Yield the prices of a column, nothing where no row has one."""
    batch, units = valuation.batch, _units(valuation, name)
    if units.any():
        side = batch.side
        if is_exit:
            side = np.where(batch.text("order_class").where("oco".__eq__), side, -side)
        yield _Priced(units, units > 0, side)


def _trailing(valuation: Valuation) -> Iterator[_Priced]:
    """Yield the stop prices at which trailing stops would stand now."""
    side = valuation.batch.side
    trail, percent = _units(valuation, "trail_price"), _units(valuation, "trail_percent")
    if not (trail.any() or percent.any()):
        return
    quote = np.where(side > 0, valuation.ask.units, valuation.bid.units)
    distance = np.where(trail > 0, trail, part_of_price(quote, percent))
    above = added_prices(quote, distance)
    below = quote - np.where(distance < 0, _LARGEST, distance)
    stop = np.where(side > 0, np.where(above < 0, _LARGEST, above), np.maximum(below, 0))
    yield _Priced(stop, (trail > 0) | (percent > 0), side)


def _units(valuation: Valuation, name: str) -> Ints:
    column = valuation.batch.columns.get(name)
    if not isinstance(column, NumberColumn):
        return np.zeros(valuation.batch.rows, dtype=np.int64)
    return np.maximum(column.units, 0)


_PRICES = {"price_collar_pct": _limit_prices, "stop_collar_pct": _stop_prices}


def _judge(key: str) -> PricedJudge:
    """Return a judge that fails orders with a price beyond the collar, unavailable without a quote."""

    def judge(valuation: Valuation, collar_pct: float) -> Verdicts:
        collar = shares_to_units(collar_pct)
        highest = _bounds(valuation, valuation.ask, lambda ask: ask * (_WHOLE + collar) // _WHOLE)
        lowest = _bounds(valuation, valuation.bid, lambda bid: -(-bid * (_WHOLE - collar) // _WHOLE))
        is_quoted = valuation.ask.known & valuation.bid.known
        verdicts = np.full(valuation.batch.rows, PASS, dtype=np.int8)
        for price in _PRICES[key](valuation):
            rows = np.flatnonzero(price.given)
            units, side = price.units[rows], price.side[rows]
            known = is_quoted[rows] & (side != 0)
            beyond = np.where(side > 0, units > highest[rows], units < lowest[rows])
            verdicts[rows[~known]] = UNAVAILABLE
            verdicts[rows[known & beyond]] = FAIL
        return verdicts

    return judge


def _bounds(valuation: Valuation, side: Amounts, bound: Callable[[int], int]) -> Ints:
    """Return the bound of each row's quote, exact; the largest, or smallest, number where it is no price."""
    buckets = valuation.batch.buckets
    quotes = np.zeros(buckets.count, dtype=np.int64)
    quotes[buckets.of_row] = side.units
    bound_of = {quote: min(max(bound(quote), -_LARGEST), _LARGEST) for quote in np.unique(quotes).tolist()}
    return np.array([bound_of[quote] for quote in quotes.tolist()], dtype=np.int64)[buckets.of_row]


def facts(valuation: Valuation, passing: Mask) -> Mapping[str, Floats]:
    """Return each order's quote, and how far beyond it its prices are in per cent, NaN for passive ones."""
    sides = {"quote_bid": valuation.bid, "quote_ask": valuation.ask}
    quotes = {name: np.where(side.known, to_shares(side.units), np.nan) for name, side in sides.items()}
    return {
        **quotes,
        "limit_beyond_pct": _beyond(_limit_prices(valuation), **quotes),
        "stop_beyond_pct": _beyond(_stop_prices(valuation), **quotes),
    }


def _beyond(prices: Iterable[_Priced], *, quote_bid: Floats, quote_ask: Floats) -> Floats:
    furthest = np.full(len(quote_bid), np.nan)
    for price in prices:
        rows = np.flatnonzero(price.given)
        usd = to_shares(price.units[rows])
        beyond = np.where(price.side[rows] > 0, usd / quote_ask[rows] - 1, 1 - usd / quote_bid[rows]) * 100
        furthest[rows] = np.fmax(furthest[rows], np.where(beyond > 0, beyond, np.nan))
    return furthest


def _collar(key: str, what: str) -> Limit:
    return Limit(
        key=key,
        unit="%",
        parse=as_quantity,
        meaning=f"how far a {what} may be beyond the quote: above the ask to buy, below the bid to sell",
        env=f"EXEC_{key.upper()}",
    )


RULE = Rule(
    name="price_collar_breached",
    source="RTS 6 Art. 15(1)(a); SEC Rule 15c3-5(c)(1)(ii); FIA 2024",
    explain=(
        "a price is further beyond the quote than {limit_source} allows: bid {quote_bid}, ask {quote_ask}; "
        "its limit price by {limit_beyond_pct:,.4g} %, allowed {price_collar_limit_pct} %; "
        "its stop price by {stop_beyond_pct:,.4g} %, allowed {stop_collar_limit_pct} %"
    ),
    limit=_collar("price_collar_pct", "limit price"),
    reads=("prices",),
    reads_by_key={"stop_collar_pct": ("prices",)},
    figures=(
        Figure("quote_bid", "USD", "fact"),
        Figure("quote_ask", "USD", "fact"),
        Figure("limit_beyond_pct", "%", "fact"),
        Figure("price_collar_limit_pct", "%", "limit"),
        Figure("stop_beyond_pct", "%", "fact"),
        Figure("stop_collar_limit_pct", "%", "limit", key="stop_collar_pct"),
    ),
    facts=facts,
    priced_judge=_judge("price_collar_pct"),
    more=(Part(limit=_collar("stop_collar_pct", "stop price"), priced_judge=_judge("stop_collar_pct")),),
)
