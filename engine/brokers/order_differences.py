"""Comparison of a broker's order with the intent that it should come from."""

from __future__ import annotations

from engine.model.orders import BrokerOrder, OrderIntent
from engine.model.symbols import canonical_symbol


def differences(intent: OrderIntent, order: BrokerOrder) -> str:
    """Return how an order differs from an intent, "" where it does not.

    Compared are id, symbol, side, type and quantity (or notional). Quantities are compared exactly: with the
    15 digits of an intent, two float64 are equal only where the decimals are. Symbols are compared in
    canonical form: Alpaca accepts ``BTCUSD`` and returns ``BTC/USD``.
    """
    size = "qty" if intent.qty is not None else "notional"
    pairs = {
        "client_order_id": (intent.client_intent_id, order.client_order_id),
        "symbol": (canonical_symbol(intent.symbol), canonical_symbol(order.symbol)),
        "side": (intent.side.lower(), order.side.lower()),
        "type": (intent.order_type.lower(), order.order_type.lower()),
        size: (getattr(intent, size), getattr(order, size)),
    }
    return ", ".join(
        f"{name} {'absent' if theirs in (None, '') else theirs!r} instead of {ours!r}"
        for name, (ours, theirs) in pairs.items()
        if ours != theirs
    )
