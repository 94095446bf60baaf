"""Prices and quantities of fills."""

from __future__ import annotations

from decimal import Decimal
from random import Random

from replay.simulator.account.book import Book
from replay.simulator.decimals import ZERO, on_tick, shares_for
from replay.simulator.exchange.lifecycle import Lifecycle
from replay.simulator.market.tape import Tape
from replay.simulator.orders.order import Order
from replay.simulator.timestamps import MILLISECOND

_TWO = Decimal(2)
_STEPS = 1000
_SLIPPAGE = tuple(Decimal(step) / _STEPS for step in range(_STEPS))  # of half the spread
_SHORTEST_PAUSE, _LONGEST_PAUSE = 50, 500
_NEVER_IN_PARTS = frozenset({"fok", "opg", "cls"})


class Execution:
    """Fills orders within the quote, some of them in part, never beyond an order's limit price."""

    def __init__(
        self, tape: Tape, book: Book, lifecycle: Lifecycle, chance: Random, partial_fill_probability: float
    ) -> None:
        self._tape = tape
        self._book = book
        self._lifecycle = lifecycle
        self._chance = chance
        self._partial_fill_probability = partial_fill_probability

    def fill(
        self, order: Order, price: Decimal, t_ns: int, qty: Decimal | None = None, *, beyond: bool = False
    ) -> list[Order]:
        """Fill an order in full, in part at random, or by ``qty`` shares; return the legs this activates.

        ``beyond``: fill ``qty`` shares even where fewer are left of the order.
        """
        whole = self._all(order, price)
        shares = self._shares(order, price) if qty is None else qty if beyond else min(qty, whole)
        if shares <= ZERO:  # less than a billionth of a share, by the notional or after a split
            self._lifecycle.end_with_group(order, "canceled", t_ns)
            return []
        complete = order.qty is None and shares >= whole
        return self._lifecycle.fill(order, shares, price, t_ns, complete=complete)

    def marketable(self, order: Order, t_ns: int) -> bool:
        """Return whether the quote is at an order's limit or better."""
        if order.side == "buy":
            return self.allowed(order, self._tape.ask(order.symbol, t_ns))
        return self.allowed(order, self._tape.bid(order.symbol, t_ns))

    def allowed(self, order: Order, price: Decimal) -> bool:
        """Return whether a price is no worse than an order's limit."""
        limit = order.limit_price
        if limit is None:
            return True
        return price <= limit if order.side == "buy" else price >= limit

    def price_at_quote(self, order: Order, t_ns: int) -> Decimal:
        """Return the price of an immediate fill: at random from the mid price to the opposite quote."""
        slippage = _SLIPPAGE[self._chance.randrange(_STEPS)]
        bid, ask = self._tape.bid(order.symbol, t_ns), self._tape.ask(order.symbol, t_ns)
        mid = (bid + ask) / _TWO
        if order.side == "buy":
            price = on_tick(mid + (ask - mid) * slippage, up=True)
        else:
            price = on_tick(mid - (mid - bid) * slippage, up=False)
        return _no_worse(order, price)

    def price_on_path(self, order: Order, t_ns: int) -> Decimal:
        """Return the fill price of an order whose price was reached: the path's, or its limit if better."""
        price = self._tape.exact_price(order.symbol, t_ns)
        return _no_worse(order, on_tick(price, up=order.side == "buy"))

    def pause_ns(self) -> int:
        """Return a random delay until the rest of a partly filled order is tried."""
        return self._chance.randint(_SHORTEST_PAUSE, _LONGEST_PAUSE) * MILLISECOND

    def _shares(self, order: Order, price: Decimal) -> Decimal:
        shares = self._all(order, price)
        if shares < _TWO or order.fractional or order.time_in_force in _NEVER_IN_PARTS:
            return shares
        if self._chance.random() >= self._partial_fill_probability:
            return shares
        return Decimal(self._chance.randint(1, int(shares) - 1))

    def _all(self, order: Order, price: Decimal) -> Decimal:
        if order.notional is None:
            return order.remaining
        shares = shares_for(order.remaining_notional, price)
        if not order.closing:
            return shares
        position = self._book.position(order.symbol)
        if position is None:
            return ZERO
        return min(shares, abs(position.qty) - position.held + order.holding)


def _no_worse(order: Order, price: Decimal) -> Decimal:
    if order.limit_price is None:
        return price
    return min(price, order.limit_price) if order.side == "buy" else max(price, order.limit_price)
