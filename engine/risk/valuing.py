"""What orders are worth: the price at which each is valued, and its notional, in exact integers.

Buys are valued at the highest of ask, limit and stop, trailing stops among them at the ask plus the trail;
sells at the higher of ask and limit. So a strategy's own price only ever makes an order worth more. Where the
source of prices is the intents, limit orders are valued at the higher of reference and limit (a buy's stop
included), and all other orders have no price. An order by notional is worth its notional, but like any other
only where it has a price.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from engine.model.columns import NumberColumn, TextColumn
from engine.model.money import NOT_AN_AMOUNT, added_prices, in_money, part_of_price, quantity_for, value_of
from engine.model.quantity import Ints, Mask
from engine.risk.batch import Batch
from engine.risk.inputs import RiskInputs
from engine.risk.losses import Loss, losses
from engine.risk.quotes import OK, Codes, QuoteLevels, Quotes
from engine.risk.verdicts import Amounts

LIMITED = frozenset({"limit", "stop_limit"})
STOPPED = frozenset({"stop", "stop_limit"})
TRAILING = "trailing_stop"


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The terms of orders that their price follows from, per order, in units; not above 0 where not given.

    ``side``: +1 buy, -1 sell, 0 unknown.
    """

    side: Ints
    order_type: TextColumn
    limit: Ints
    stop: Ints
    trail_price: Ints
    trail_percent: Ints
    reference: Ints


def prices_of(terms: Terms, ask: Ints, priced: Mask, by_reference: Mask) -> Ints:
    """Return the price at which each order is valued, ``NOT_AN_AMOUNT`` where it has none.

    ``ask``: of its quote, valid where ``priced``. ``by_reference``: its price is the one that it names.
    """
    is_limit = terms.order_type.where(LIMITED.__contains__)
    is_stop = terms.order_type.where(STOPPED.__contains__)
    trails = terms.order_type.where(TRAILING.__eq__)
    is_market = terms.order_type.where("market".__eq__)
    is_buy = terms.side > 0
    own = np.maximum(terms.limit, np.where(is_buy, terms.stop, 0))
    trail = np.where(terms.trail_price > 0, terms.trail_price, part_of_price(ask, terms.trail_percent))
    at_quote = np.where(trails & is_buy, added_prices(ask, trail), ask)
    price = np.where(by_reference, np.maximum(own, terms.reference), np.maximum(own, at_quote))
    known = np.where(by_reference, is_limit, priced & (is_limit | is_stop | trails | is_market))
    known &= (terms.limit > 0) | ~is_limit
    known &= (terms.stop > 0) | ~is_stop | ~is_buy
    known &= ~(trails & is_buy) | (terms.trail_price > 0) | (terms.trail_percent > 0)
    known &= (at_quote > 0) | by_reference
    return np.where(known & (terms.side != 0) & (price > 0), price, NOT_AN_AMOUNT)


@dataclass(frozen=True)
class Valuation:
    """A batch, valued by the quotes of its inputs; worked out once, where a rule asks.

    Amounts are per row: prices in units of 1e-9 USD, ``order_notional`` in units of 1e-6 USD. Cancels have
    whatever their columns give, and are not to be looked at.
    """

    batch: Batch
    inputs: RiskInputs
    levels: QuoteLevels

    @cached_property
    def quotes(self) -> Quotes:
        """The quotes of the inputs."""
        return Quotes.of(self.inputs)

    @cached_property
    def quote_verdicts(self) -> Codes:
        """What is wrong with each row's quote, as a code of ``quotes.words``; 0 (``ok``) for nothing.

        Where the intents are the source of prices, a row's quote says nothing of it: ``order_price`` does.
        """
        return np.asarray(self._verdict_of_bucket[self.batch.buckets.of_row])

    @cached_property
    def bid(self) -> Amounts:
        """The bid of each row's quote; unknown where the quote is not valid."""
        return self._side(self.quotes.bid)

    @cached_property
    def ask(self) -> Amounts:
        """The ask of each row's quote; unknown where the quote is not valid."""
        return self._side(self.quotes.ask)

    @cached_property
    def order_price(self) -> Amounts:
        """The price at which each order is valued; unknown where it is unpriced."""
        by_reference = self._of_intents & (self.quote_verdicts == OK)
        price = prices_of(
            self._terms, np.where(self.ask.known, self.ask.units, 0), self.ask.known, by_reference
        )
        known = price != NOT_AN_AMOUNT
        return Amounts(np.where(known, price, 0), known)

    @cached_property
    def order_notional(self) -> Amounts:
        """What each order is worth, rounded up; unknown where it is unpriced, or worth more than 4e12 USD."""
        return self.worth(self.order_price)

    @cached_property
    def losses(self) -> Mapping[str, Loss]:
        """What each account has lost, of those of which that is known."""
        return losses(self.inputs, self.levels)

    @cached_property
    def beyond_any_amount(self) -> Mask:
        """The orders that are worth more than any amount of money, and so more than any limit."""
        return np.asarray(self.batch.qty.known & self.order_price.known & ~self.order_notional.known)

    @cached_property
    def quantity_by_notional(self) -> Amounts:
        """The quantity of each order by notional: at the bid, rounded up; unknown without a valid quote."""
        by_notional = self._notional > 0
        units = quantity_for(self._notional, np.where(self.bid.known, self.bid.units, 0))
        known = by_notional & ~self.batch.qty.known & (units != NOT_AN_AMOUNT)
        return Amounts(np.where(known, units, 0), known)

    def worth(self, price: Amounts) -> Amounts:
        """Return what each order is worth at a price per row; one by notional its notional."""
        qty = self.batch.qty
        units = value_of(qty.units, price.units)
        known = qty.known & (units != NOT_AN_AMOUNT)
        if (self._notional > 0).any():
            by_notional = (self._notional > 0) & ~qty.known
            units = np.where(by_notional, in_money(np.maximum(self._notional, 0)), units)
            known |= by_notional
        known &= price.known
        return Amounts(np.where(known, units, 0), known)

    @cached_property
    def _place_of_bucket(self) -> Ints:
        """The place of each bucket's quote."""
        buckets = self.batch.buckets
        names: list[str | None] = [*buckets.symbol_codes, None]
        return self.quotes.places(names)[buckets.symbol]

    @cached_property
    def _verdict_of_bucket(self) -> Codes:
        limits = self.levels.by_bucket(self.batch.buckets)
        return self.quotes.verdicts(self._place_of_bucket, *limits)

    @cached_property
    def _of_intents(self) -> Mask:
        return np.asarray(self.quotes.of_intents[self._place_of_bucket][self.batch.buckets.of_row])

    def _side(self, of_quotes: Ints) -> Amounts:
        known = (self._verdict_of_bucket == OK) & ~self.quotes.of_intents[self._place_of_bucket]
        units = np.where(known, of_quotes[self._place_of_bucket], 0)
        bucket = self.batch.buckets.of_row
        return Amounts(units[bucket], known[bucket])

    @cached_property
    def _notional(self) -> Ints:
        return self._units("notional")

    @cached_property
    def _terms(self) -> Terms:
        return Terms(
            side=self.batch.side,
            order_type=self.batch.text("order_type"),
            limit=self._units("limit_price"),
            stop=self._units("stop_price"),
            trail_price=self._units("trail_price"),
            trail_percent=self._units("trail_percent"),
            reference=self._units("reference_price"),
        )

    def _units(self, name: str) -> Ints:
        """Return a column in units, not above 0 where it is missing or malformed."""
        column = self.batch.columns.get(name)
        if not isinstance(column, NumberColumn):
            return np.zeros(self.batch.rows, dtype=np.int64)
        return column.units
