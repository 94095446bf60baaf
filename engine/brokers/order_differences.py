"""Whether an order at a broker is the one that was meant."""

from __future__ import annotations

from engine.model.orders import BrokerOrder, OrderIntent
from engine.model.symbols import canonical_symbol


def differences(intent: OrderIntent, order: BrokerOrder) -> str:
    """Say where an order is another than the one that was meant ("" where it is not).

    Compared are id, symbol, side, type and quantity (or notional), the last exactly: what a float64 carries
    of an intent's 15 digits is equal only where the decimals are. Symbols are compared in their canonical
    form: Alpaca takes ``BTCUSD`` and answers ``BTC/USD``.
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
