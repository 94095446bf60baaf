"""Comparison of a broker's order with the intent that it should come from."""

from __future__ import annotations

from engine.ledger.overfilling import units_for
from engine.model.breaks import units_of
from engine.model.orders import BrokerOrder, OrderIntent
from engine.model.symbols import canonical_symbol


def differences(intent: OrderIntent, order: BrokerOrder) -> str:
    """Return how an order differs from an intent, "" where it does not.

    Compared are id, symbol, side, type and quantity (or notional). Quantities are compared exactly: with the
    15 digits of an intent, two float64 are equal only where the decimals are. Symbols are compared in
    canonical form: Alpaca accepts ``BTCUSD`` and returns ``BTC/USD``. An order by notional may be reported by
    its quantity once it has filled: then what was paid may not be more than the notional.
    """
    pairs: dict[str, tuple[object, object]] = {
        "client_order_id": (intent.client_intent_id, order.client_order_id),
        "symbol": (canonical_symbol(intent.symbol), canonical_symbol(order.symbol)),
        "side": (intent.side.lower(), order.side.lower()),
        "type": (intent.order_type.lower(), order.order_type.lower()),
    }
    if intent.qty is not None:
        pairs["qty"] = intent.qty, order.qty
    elif not _was_filled_within(intent.notional, order):
        pairs["notional"] = intent.notional, order.notional
    return ", ".join(
        f"{name} {'absent' if theirs in (None, '') else theirs!r} instead of {ours!r}"
        for name, (ours, theirs) in pairs.items()
        if ours != theirs
    )


def _was_filled_within(notional: float | None, order: BrokerOrder) -> bool:
    """Return whether an order that is reported by its quantity filled for no more than a notional."""
    most = units_for(notional, order.filled_avg_price)
    return order.notional is None and most is not None and 0 < units_of(order.filled_qty) <= most
