"""How breaks are made and worded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from engine.model.breaks import Break, OwnOrder, shares, units_of
from engine.model.orders import BrokerOrder
from engine.model.symbols import canonical_symbol
from engine.reconciliation.compared_books import SideBySide

ACCEPT = '`execution-engine positions accept FILE --by NAME --why "…"`'


@dataclass(frozen=True)
class BreakMaker:
    """Makes the breaks of an account: both books side by side, as of ``at``."""

    books: SideBySide
    at: datetime

    def of(self, kind: str, symbol: str, units: int, text: str, remedy: str, **others: Any) -> Break:
        """Return a break of a symbol: ``units`` of the difference, what happened, and what to do."""
        symbol = canonical_symbol(symbol)
        return replace(
            Break(
                kind=kind,
                broker_account_id=self.books.ours.account,
                symbol=symbol,
                broker_qty=self.books.broker.get(symbol, 0),
                ledger_qty=self.books.ledger.get(symbol, 0),
                difference_qty=units,
                found_at=self.at,
                said=f"{symbol}: {text}",
                remedy=remedy,
            ),
            **others,
        )


def quantity(qty: float | None) -> str:
    """Return shares as text."""
    return "an unknown quantity" if qty is None else shares(units_of(qty))


def plus(units: int) -> str:
    """Return units as shares with their sign."""
    return f"{'+' if units > 0 else ''}{shares(units)}"


def traded(units: int) -> str:
    """Return what a trade of units did: ``bought 5`` or ``sold 5``."""
    return f"{'sold' if units < 0 else 'bought'} {shares(abs(units))}"


def named(order: OwnOrder) -> str:
    """Return both ids of our order, as far as it has them."""
    if not order.broker_order_id:
        return f"of intent {order.client_intent_id}"
    return f"{order.broker_order_id} (intent {order.client_intent_id})"


def asked_for(order: BrokerOrder) -> str:
    """Return the terms of an order at the broker: ``buy 5, limit 12.3, 2 filled``."""
    amount = (
        f"{order.notional:.10g} USD"
        if order.qty is None and order.notional is not None
        else quantity(order.qty)
    )
    prices = [
        f"{name} {price:.10g}"
        for name, price in (("limit", order.limit_price), ("stop", order.stop_price))
        if price is not None
    ]
    filled = [f"{quantity(order.filled_qty)} filled"] if order.filled_qty else []
    return ", ".join([f"{order.side} {amount}", *(prices or [order.order_type or "order"]), *filled])
